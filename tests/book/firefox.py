"""A real Firefox, asked through WebDriver BiDi: it speaks that itself, so no driver and no patched browser is needed."""

import json
import re
import subprocess
import time
from pathlib import Path

import websocket


class Firefox:
    """Firefox without a window, with a profile of its own in `folder`."""

    def __init__(self, program: str, folder: Path):
        self.log = folder / "firefox.log"
        command = [program, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.number, self.events = 0, []

    def __enter__(self):
        try:
            for _ in range(300):
                assert self.process.poll() is None, self.log.read_text()
                if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", self.log.read_text()):
                    break
                time.sleep(0.2)
            self.socket = websocket.create_connection(f"{found[1]}/session", timeout=120, suppress_origin=True)
            self.ask("session.new", capabilities={})
            self.context = self.ask("browsingContext.getTree")["contexts"][0]["context"]
            self.ask("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    def ask(self, method: str, **params) -> dict:
        """Send a command and wait for its result; what happens in between is kept in `events`."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv())
            if said.get("id") == self.number:
                assert said["type"] == "success", said
                return said["result"]
            self.events.append(said)

    def goto(self, url: str) -> None:
        """Load a page and wait until all of it is there."""
        self.ask("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def evaluate(self, code: str):
        """What a JavaScript expression gives, awaited, through JSON."""
        wrapped = f"(async () => JSON.stringify(await ({code})))()"
        result = self.ask("script.evaluate", expression=wrapped, target={"context": self.context}, awaitPromise=True)
        assert result["type"] == "success", result
        return json.loads(result["result"].get("value", "null"))

    def key(self, *keys: str) -> None:
        """Press keys one after the other."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.ask("input.performActions", context=self.context, actions=[{"type": "key", "id": "keys", "actions": actions}])

    def click(self, selector: str) -> None:
        """Click with the mouse at the middle of an element."""
        middle = "((e) => { e.scrollIntoView({ block: 'center', behavior: 'instant' }); const b = e.getBoundingClientRect(); " \
                 f"return [b.x + b.width / 2, b.y + b.height / 2]; }})(document.querySelector({json.dumps(selector)}))"
        x, y = map(round, self.evaluate(middle))
        actions = [{"type": "pointerMove", "x": x, "y": y}, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self.ask("input.performActions", context=self.context, actions=[{"type": "pointer", "id": "mouse", "actions": actions}])

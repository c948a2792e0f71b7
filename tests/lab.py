"""JupyterLab as `make lab` starts it, for tests that ask it something."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import requests

from radar_nb.storage.places import REPOSITORY

OPTIONS = re.search(r"^lab:.*\n\t\$\(BIN\)/jupyter lab (\S.*?) \$\(if", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)[1].split()
DIRECTORIES = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")


class Lab:
    """A running JupyterLab in `folder`, its settings in `folder/settings`.

    It has the address that the user is told, its beginning `url`, the port, the token that the server has made, and the process.
    """

    def __init__(self, folder: Path):
        self.folder, self.log = folder, folder / "lab.log"
        environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy") and key != "JUPYTER_TOKEN"}
        environment |= {name: str(folder / "settings") for name in DIRECTORIES} | {"RADAR_RUN": str(folder / "run")}
        with self.log.open("w") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *OPTIONS, "--port=0", "--no-browser", "--allow-root"], cwd=folder,
                                            env=environment, stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self):
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self):
        for _ in range(600):
            assert self.process.poll() is None, self.log.read_text()
            if found := re.search(r"(http://127\.0\.0\.1:(\d+))/lab/tree/notebooks/00_start_here\.ipynb\?token=([0-9a-f]{40,})", self.log.read_text()):
                self.address, self.url, self.port, self.token = found[0], found[1], int(found[2]), found[3]
                try:
                    return self.ask("/api/status", self.token).raise_for_status()
                except requests.ConnectionError:
                    pass  # it tells its address before it listens there
            time.sleep(0.2)
        raise AssertionError("JupyterLab did not answer within two minutes")

    def __exit__(self, *_):
        if self.process.poll() is None:
            for kernel in psutil.Process(self.process.pid).children(recursive=True):
                kernel.terminate()
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:  # a kernel that is just starting holds it up
            self.process.kill()
            self.process.wait(30)

    def ask(self, path: str, token: str = "", method: str = "GET", **headers: str) -> requests.Response:
        """What the server answers; redirects are not followed."""
        if token:
            headers["Authorization"] = f"token {token}"
        with requests.Session() as http:  # a new one each time: cookies would open the door for good
            http.trust_env = False  # no proxy between us and ourselves
            return http.request(method, self.url + path, headers=headers, timeout=20, allow_redirects=False)

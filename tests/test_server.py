"""`make lab`: the server that it starts listens on this machine alone, and gives nothing to whoever has no token."""

import os
import re
import socket
import subprocess
import sys
import time

import psutil
import pytest
import requests

from radar_nb.profiles import REPOSITORY


def ask(url, method="GET", **headers):
    with requests.Session() as http:  # a new one each time: a cookie would open the door for good
        http.trust_env = False  # no proxy between us and ourselves
        return http.request(method, url, headers=headers, timeout=20, allow_redirects=False)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The recipe of `make lab` in a folder of its own, on a free port: address, the token that the server has made, process."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "secret.txt").write_text("precious")
    options = re.search(r"^lab:.*\n\t\$\(BIN\)/jupyter lab (\S.*?) notebooks/", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)[1].split()
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment |= {name: str(folder / "settings") for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    environment.pop("JUPYTER_TOKEN", None)
    with (folder / "lab.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options, "--port=0", "--no-browser", "--allow-root"], cwd=folder,
                                   env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "lab.log").read_text()
            found = re.search(r"(http://127\.0\.0\.1:(\d+))/lab\S*\?token=([0-9a-f]{40,})", (folder / "lab.log").read_text())
            if found and listens(found[2]):  # it tells its address before it listens there
                break
            time.sleep(0.2)
        else:
            raise AssertionError("JupyterLab did not listen within two minutes")
        yield found[1], found[3], process
    finally:
        process.terminate()
        process.wait(30)


def test_it_listens_on_this_machine_alone(lab):
    listening = [connection.laddr.ip for connection in psutil.Process(lab[2].pid).net_connections("inet") if connection.status == psutil.CONN_LISTEN]
    assert listening and set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize(("method", "path"), [("GET", "/lab"), ("GET", "/tree"), ("GET", "/files/secret.txt"), ("GET", "/api/contents"),
                                              ("GET", "/api/contents/secret.txt"), ("GET", "/api/kernels"), ("POST", "/api/kernels"), ("GET", "/api/sessions"),
                                              ("POST", "/api/terminals"), ("PUT", "/api/contents/new.txt"), ("DELETE", "/api/contents/secret.txt")])
def test_without_the_token_there_is_nothing(lab, method, path):
    url, token, _ = lab
    for headers in ({}, {"Authorization": "token " + "0" * len(token)}):
        answer = ask(url + path, method, **headers)
        assert answer.status_code in (302, 403, 404, 405) and "precious" not in answer.text and "secret" not in answer.text, answer.status_code
        assert answer.status_code != 302 or "/login" in answer.headers["Location"]


def test_with_the_token_it_works(lab):
    url, token, _ = lab
    assert "precious" in ask(f"{url}/api/contents/secret.txt", Authorization=f"token {token}").text
    assert ask(f"{url}/api/kernels", Authorization=f"token {token}").json() == [], "and nobody has started one"


def test_another_site_cannot_reach_it_by_a_name_of_its_own(lab):
    url, token, _ = lab
    assert ask(f"{url}/api/contents", Host="evil.example", Authorization=f"token {token}").status_code == 403

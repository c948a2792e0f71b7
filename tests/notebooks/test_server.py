"""`make lab`: the server that it starts listens on this machine alone, and gives nothing to whoever has no token."""

import psutil
import pytest
from lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab as `make lab` starts it, in a folder with a secret."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "secret.txt").write_text("precious")
    with Lab(folder) as running:
        yield running


def test_it_listens_on_this_machine_alone(lab):
    listening = [connection.laddr.ip for connection in psutil.Process(lab.process.pid).net_connections("inet") if connection.status == psutil.CONN_LISTEN]
    assert listening and set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize(("method", "path"), [("GET", "/lab"), ("GET", "/tree"), ("GET", "/files/secret.txt"), ("GET", "/api/contents"),
                                              ("GET", "/api/contents/secret.txt"), ("GET", "/api/kernels"), ("POST", "/api/kernels"), ("GET", "/api/sessions"),
                                              ("POST", "/api/terminals"), ("PUT", "/api/contents/new.txt"), ("DELETE", "/api/contents/secret.txt")])
def test_without_the_token_there_is_nothing(lab, method, path):
    for token in ("", "0" * len(lab.token)):
        answer = lab.ask(path, token, method)
        assert answer.status_code in (302, 403, 404, 405) and "precious" not in answer.text and "secret" not in answer.text, answer.status_code
        assert answer.status_code != 302 or "/login" in answer.headers["Location"]


def test_with_the_token_it_works(lab):
    assert "precious" in lab.ask("/api/contents/secret.txt", lab.token).text
    assert lab.ask("/api/kernels", lab.token).json() == [], "and nobody has started one"


def test_another_site_cannot_reach_it_by_a_name_of_its_own(lab):
    assert lab.ask("/api/contents", lab.token, Host="evil.example").status_code == 403

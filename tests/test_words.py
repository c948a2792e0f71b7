"""The front door: README's length, sentences, links and commands, and those of every page in docs/."""

import ast
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from radar_nb.arguments import make_parser
from radar_nb.storage.places import REPOSITORY

README = REPOSITORY / "README.md"
PAGES = [README, REPOSITORY / "CLAIMS.md", REPOSITORY / "data_download/README.md", *sorted((REPOSITORY / "docs").glob("*.md")),
         REPOSITORY / "docs/report/report.md"]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))
BOOK = sorted((REPOSITORY / "docs/book").glob("*.md"))
# Wordings that readers stumbled over.
STUMBLES = "|".join((
    "calls? an image", "ms an image", "[Hh]ow often", "lives? (from|off|on a)", "hangs? on", "(possible|random) worlds", "[Tt]old, not told",
    "what we took", r"\b[Ww]hoever\b", "[Ww]ho (only )?(wants|has|knows) the", "in the place of", "for want of", "(is|are) asked for",
    "gone on with", "goes on where", "becomes what", "with distrust", r"\banew\b", r"\bmade (surface|data set|image)s?\b",
    r"\ban? (panel|point|row|bar) an? (?!few)", r"\bone( model)? an? (method|angle|resolution|network|file)\b", "windows a side", "come along for",
    "nothing of either", "of one name", "(take|takes|taken|taking) off", "drowns", "no room left"))
sys.path.insert(0, str(REPOSITORY))
import go  # noqa: E402


def sentences(text):
    """The sentences of a page's prose: no code, tables, headings; a link counts as its words."""
    text = re.sub(r"```.*?```|<!--.*?-->|\$\$.*?\$\$|!\[[^\]]*\]\([^)]*\)", "", text, flags=re.DOTALL)
    text = re.sub(r"\$[^$\n]*\$", "x", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))
    lines = [line.lstrip("> ") for line in text.splitlines() if not line.startswith(("|", "#"))]
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[*-]|\d+\.) )", "\n".join(lines)):
        yield from re.split(r"(?<=[.!?:;])\s+|(?<=[.!?][)*])\s+|(?<=[.!?]\*\*)\s+", re.sub(r"\s+", " ", paragraph).strip().lstrip("*- "))


def test_readme_is_a_screen_and_a_half():
    assert len(README.read_text().splitlines()) <= 120


def prose(path):
    """The words of a page, or of a notebook's Markdown cells."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("page", [*PAGES, *BOOK, *NOTEBOOKS], ids=lambda page: page.name)
def test_no_sentence_has_more_than_30_words(page):
    long = [sentence for sentence in sentences(prose(page)) if len(sentence.split()) > 30]
    assert not long, long


@pytest.mark.parametrize("page", [*PAGES, *BOOK, *NOTEBOOKS], ids=lambda page: page.name)
def test_wordings_that_readers_stumbled_over_stay_away(page):
    text = re.sub(r"\s+", " ", prose(page))
    found = [text[max(0, hit.start() - 30):hit.end() + 30] for hit in re.finditer(STUMBLES, text)]
    assert not found, found


def spoken(path):
    """The texts of a module that a user may read: everything in quotes but docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.body[0].value) for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)}
    return [node.value for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs]


def test_wordings_that_readers_stumbled_over_stay_away_from_messages():
    modules = [*REPOSITORY.glob("radar_nb/**/*.py"), *REPOSITORY.glob("data_download/*.py"), REPOSITORY / "go.py"]
    found = [(path.name, text) for path in modules for text in spoken(path)
             if re.search(STUMBLES, re.sub(r"\s+", " ", text))]
    assert len(modules) > 90 and not found, found


def test_a_stumble_would_be_seen():
    for text in ("How often is it called?", "one model an angle", "the method lives from it", "a point a variant", "a made surface"):
        assert re.search(STUMBLES, text), text


def test_long_sentences_would_be_seen():
    assert max(len(s.split()) for s in sentences("word " * 31 + ".\n\n| " + "word " * 50)) == 32


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_are_alive(page):
    """In the repository, so in JupyterLab and on a forge: the file is there. The book has a test of its own."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:|#", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve()
        assert target.exists() and target.is_relative_to(REPOSITORY), link
        if anchor and target.suffix == ".md":
            headings = {re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
                        for line in target.read_text().splitlines() if line.startswith("#")}
            assert anchor in headings, link


def commands(text):
    """Every call of make, go.py, `radar_nb` and `data_download` in code, inline or fenced, without comments."""
    code = [line for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    code += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in code:
        line = re.sub(r"\s#.*|^#.*", "", line).strip()
        if re.match(r"(\w+=\S+ )*(make|python3?|torchrun|\.venv/bin/python) ", line) and "NAME…" not in line:
            yield line


def test_no_command_of_the_pages_is_dead(capsys):
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    seen = 0
    for page in PAGES:
        for line in commands(page.read_text()):
            words = [word for word in shlex.split(line) if not re.match(r"[A-Z_]+=", word)]
            seen += 1
            if words[0] == "make":
                assert set(words[1:]) <= targets, f"{page.name}: {line}"
            elif words[1] == "go.py" and words[2] in go.COMMANDS:
                continue
            elif words[1] == "go.py" or "radar_nb" in words:
                parse(words[2:] if words[1] == "go.py" else words[words.index("radar_nb") + 1:], f"{page.name}: {line}")
            elif "-m" in words and words[words.index("-m") + 1] == "data_download":
                known = subprocess.run([sys.executable, "-m", "data_download", "--help"], cwd=REPOSITORY,
                                       capture_output=True, text=True, check=True).stdout
                assert all(word in known for word in words if word.startswith("--")), f"{page.name}: {line}"
            elif words[1].endswith(".py"):
                assert (REPOSITORY / words[1]).is_file(), f"{page.name}: {line}"
    assert seen > 30


def parse(arguments, said):
    """The command line takes it. A command that is only named (`python -m radar_nb train`) must exist."""
    if not arguments or arguments == ["--help"]:
        return
    if len(arguments) == 1:
        arguments.append("--help")
    try:
        make_parser().parse_args(arguments)
    except SystemExit as exit_:
        assert exit_.code == 0, said


def test_go_names_every_command_and_refuses_none_in_silence(capsys):
    assert go.main([]) == 2
    text = capsys.readouterr().out
    assert all(f"go.py {name}" in text for name in go.COMMANDS)
    assert go.main(["--help"]) == 0


def test_go_needs_nothing_but_python():
    found = re.findall(r"^(?:import|from) (\w+)", Path(go.__file__).read_text(), re.MULTILINE)
    assert set(found) <= sys.stdlib_module_names


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that go.py takes for the repository, with an environment that is there."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("torch==1\nnumpy==2\n")
    python = tmp_path / ".venv" / "python"
    monkeypatch.setattr(go, "HERE", tmp_path)
    monkeypatch.setattr(go, "VENV", python.parent)
    monkeypatch.setattr(go, "PYTHON", python)
    return tmp_path


def test_a_second_call_installs_nothing_and_a_changed_list_does(place, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(go.venv, "create", lambda folder, with_pip: (folder.mkdir(), go.PYTHON.write_text("")))
    monkeypatch.setattr(go, "has_gpu", lambda: False)
    monkeypatch.setattr(go.urllib.request, "urlopen", lambda url, timeout: io.BytesIO())
    monkeypatch.setattr(go, "follow", lambda command, total: calls.append((command, total)) or 0)
    assert go.install() == 0 and go.install() == 0
    assert len(calls) == 1 and calls[0][1] == 2 and go.CPU_WHEELS in calls[0][0]
    (place / "constraints.txt").write_text("torch==2\n")
    assert go.install() == 0 and len(calls) == 2
    monkeypatch.setattr(go, "has_gpu", lambda: True)
    (place / "constraints.txt").write_text("torch==3\n")
    assert go.install() == 0 and go.CPU_WHEELS not in calls[-1][0]


def test_without_the_index_of_cpu_wheels_the_user_is_told_what_comes_instead(monkeypatch, capsys):
    def silent(url, timeout):
        raise OSError("no route")

    monkeypatch.setattr(go, "has_gpu", lambda: False)
    monkeypatch.setattr(go.urllib.request, "urlopen", silent)
    assert go.cpu_index() == []
    assert "no route" in (said := capsys.readouterr().out) and "CUDA" in said


def test_a_failed_installation_shows_why_and_is_tried_again(place, monkeypatch, capsys):
    code = "print('Collecting torch'); print('ERROR: no space left on device'); raise SystemExit(3)"
    assert go.follow([sys.executable, "-c", code], 2) == 3
    said = capsys.readouterr()
    assert "1 of 2  torch" in said.out and "no space left on device" in said.err and "call it again" in said.err
    go.VENV.mkdir()
    monkeypatch.setattr(go, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(go, "follow", lambda command, total: 1)
    assert go.install() == 1 and not (go.VENV / ".ready").exists()


def test_go_passes_exit_status_and_arguments_on(place, monkeypatch):
    monkeypatch.setattr(go, "install", lambda: 0)
    monkeypatch.setattr(go, "PYTHON", Path(sys.executable))
    (place / "radar_nb.py").write_text("import sys; sys.exit(len(sys.argv))")
    assert go.main(["train", "--steps", "5"]) == 4


def test_lab_starts_for_root_too(place, monkeypatch):
    calls = []
    monkeypatch.setattr(go, "install", lambda: 0)
    monkeypatch.setattr(go.os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setattr(go.subprocess, "run", lambda command, **options: calls.append(command) or subprocess.CompletedProcess(command, 0))
    assert go.main(["lab", "--no-browser"]) == 0 == go.main(["run"])
    assert calls[0][-2:] == ["--no-browser", "--allow-root"] and "--allow-root" not in calls[1]


def test_an_old_python_is_refused_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(go.sys, "version_info", (3, 10))
    assert go.main(["lab"]) == 2 and len(capsys.readouterr().err.splitlines()) == 1


def test_codecheck_lists_files_that_are_there():
    """The rules of specification 2.0 that an author can keep: the rest belongs to whoever checks."""
    text = (REPOSITORY / "codecheck.yml").read_text(encoding="utf-8")
    found = yaml.safe_load(text)
    assert text.startswith("---\n") and found["version"] == "https://codecheck.org.uk/spec/config/2.0/"
    assert found["paper"]["title"] and found["paper"]["reference"].startswith("https://")
    assert all(author["name"] for author in found["paper"]["authors"])
    for item in found["manifest"]:
        assert (REPOSITORY / item["file"]).is_file() and item["comment"], item
    for name in ("FIXME", "TODO", "XXX"):
        assert name not in text


def test_commands_of_codecheck_and_checklists_are_alive():
    for line in re.findall(r"python (?:go\.py|-m radar_nb) ([^.;\"]+)", (REPOSITORY / "codecheck.yml").read_text()):
        words = shlex.split(line)
        if words[0] not in go.COMMANDS:
            parse(words + (["x"] if words[-1] == "--out" else []), line)

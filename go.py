"""`python go.py COMMAND`: what make does, for every system and with nothing but Python.

    python go.py lab            JupyterLab on the first notebook
    python go.py run            every notebook from scratch, and a report: runs/cpu/report.html
    python go.py test           all tests
    python go.py book           the notebooks as a site: build/book/index.html
    python go.py report         the reproduction report as HTML and PDF: docs/report
    python go.py picture        the picture of README.md: docs/radar.png
    python go.py kick-tyres     two minutes for a reviewer
    python go.py install        only the environment, .venv

Every other command goes to `python -m radar_nb`: check-claims, train, score, compare, claims, pages, ...
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"  # torch without 3 GB of CUDA
COMMANDS = {
    # The server's root is the repository: notebooks show pictures of `docs` and link to its pages.
    "lab": ["-m", "jupyterlab", "--ip=127.0.0.1",
            "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"],
    "run": ["-m", "radar_nb", "run"],
    "test": ["-m", "pytest", "--numprocesses", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--nbval",
             "tests", "notebooks"],
    "book": ["-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-c", "docs/book", "-d", "build/doctrees", ".",
             "build/book"],
    "report": ["docs/report/build.py"],
    "picture": ["docs/picture.py"],
    "kick-tyres": ["-m", "radar_nb", "check-claims", "--quick"],
    "install": [],
}


def main(arguments: list[str]) -> int:
    """Make the environment if it is missing, then run one command in it; its exit status."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(__doc__.strip())
        return 0 if arguments else 2
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python gets this message
        print(f"python go.py: this is Python {sys.version.split()[0]}; 3.11, 3.12 or 3.13 is needed",
              file=sys.stderr)
        return 2
    if status := install():
        return status
    name, *more = arguments
    command = COMMANDS.get(name, ["-m", "radar_nb", name])
    if not command:
        return 0
    if name == "lab" and hasattr(os, "geteuid") and os.geteuid() == 0:
        more.append("--allow-root")  # in a container; it listens on this computer only, with a token
    defaults = {"GOMP_SPINCOUNT": "1000", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    defaults |= {"OMP_NUM_THREADS": "1"} if name == "test" else {}
    try:
        return subprocess.run([str(PYTHON), *command, *more], cwd=HERE, env=defaults | os.environ).returncode
    except KeyboardInterrupt:
        return 130


def fingerprint() -> str:
    """A checksum of the files that say what to install. If it is unchanged, nothing is installed again."""
    files = [(HERE / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256(b"".join(files) + sys.version[:4].encode()).hexdigest()


def install() -> int:
    """Make `.venv` and show progress; returns at once if it is already there. Exit status."""
    ready, now = VENV / ".ready", fingerprint()
    if PYTHON.is_file() and ready.is_file() and ready.read_text().strip() == now:
        return 0
    total = len(re.findall(r"^[A-Za-z]", (HERE / "constraints.txt").read_text(), re.MULTILINE))
    indices = cpu_index()
    print(f"Making .venv: about {total} packages, 1.6 GB, two to five minutes. Only this once.", flush=True)
    if not PYTHON.is_file():
        venv.create(VENV, with_pip=True)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    wanted = ["--constraint", "constraints.txt", *indices, "--editable", ".[test]"]
    status = follow([*pip, "install", *wanted], total)
    if status == 0:
        ready.write_text(now)
    return status


def has_gpu() -> bool:
    """Whether to install torch with CUDA: there is an NVIDIA driver, or RADAR_CUDA=1 asks for it.

    On other systems than Linux, PyPI's torch has no CUDA in any case.
    """
    return sys.platform != "linux" or os.environ.get("RADAR_CUDA") == "1" or bool(shutil.which("nvidia-smi"))


def cpu_index() -> list[str]:
    """What tells pip where torch without CUDA is; empty with a GPU, and where that place does not answer."""
    if has_gpu():
        return []
    try:
        with urllib.request.urlopen(f"{CPU_WHEELS}/torch/", timeout=10):
            return ["--extra-index-url", CPU_WHEELS]
    except OSError as error:
        print(f"{CPU_WHEELS} does not answer ({error}). So torch comes from your package index. If it offers "
              "torch with CUDA only, .venv needs 6 GB.", flush=True)
        return []


def follow(command: list[str], total: int) -> int:
    """Run pip and show how far it is, in one line that a terminal overwrites; its exit status."""
    lines, seen = [], set()
    overwrite = sys.stdout.isatty()
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          encoding="utf-8", errors="replace") as process:
        for line in process.stdout:
            lines.append(line)
            found = re.match(r"\s*Collecting ([\w.-]+)", line)
            if found:
                seen.add(found[1])
            if found and (overwrite or len(seen) % 20 == 1):
                end = "\r" if overwrite else "\n"
                print(f"  {len(seen):3} of {total}  {found[1]:40}", end=end, flush=True)
            if line.startswith("Installing collected"):
                print("  all downloaded; unpacking, one to two minutes" + " " * 20, flush=True)
    if process.returncode:
        print("".join(lines[-15:]), file=sys.stderr)
        print("python go.py: the installation failed, see above; to continue, call it again", file=sys.stderr)
    else:
        print("  done", flush=True)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

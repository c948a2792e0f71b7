"""What the kit is built on: licences listed, a weekly look at holes, new versions and dead addresses."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml

from data_download.__main__ import _parser as download_parser
from data_download.lists import read_registry, read_split
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import REPOSITORY

WEEKLY = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "weekly.yml").read_text())


def steps(job):
    return [step["run"] for step in WEEKLY["jobs"][job]["steps"] if "run" in step]


def test_the_licence_of_every_pinned_package_is_listed():
    rows = re.findall(r"^\| ([\w.-]+) \| (\S+) \| (.+) \|$",
                      (REPOSITORY / "docs" / "licences.md").read_text(), re.MULTILINE)[1:]
    pins = re.findall(r"^([\w.-]+)==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    assert sorted((name, version) for name, version, _ in rows) == sorted(pins), "run python docs/licences.py"
    assert not [name for name, _, licence in rows if len(licence) < 3]
    strict = [name for name, _,
              licence in rows if "GPL" in licence and not re.search("LGPL|BSD|MIT|Public Domain", licence)]
    assert not strict, "packages under the GPL alone would bind the kit"


def test_the_weekly_workflow_says_what_the_kit_understands():
    assert WEEKLY[True]["schedule"] and WEEKLY["permissions"] == {"contents": "read"}
    assert any("pip_audit --strict" in line and "constraints.txt" in line for line in steps("audit"))
    assert "continue-on-error" not in WEEKLY["jobs"]["audit"]
    for job in ("newest", "addresses"):
        assert WEEKLY["jobs"][job]["continue-on-error"] is True and any("::warning::" in line
                                                                        for line in steps(job))
    assert not any("constraint" in line for line in steps("newest") if "install" in line)
    calls = [shlex.split(line)[3:] for line in steps("addresses") if "-m data_download" in line]
    assert len(calls) == 2 and all(download_parser().parse_args(arguments) for arguments in calls)


def test_the_dry_run_names_every_address():
    done = subprocess.run([sys.executable, "-m", "data_download", "all", "--dry-run"], cwd=REPOSITORY,
                          capture_output=True, text=True, check=True)
    for host in ("raw.githubusercontent.com", "cdn.jsdelivr.net", "go.vicos.si", "mvtec"):
        assert host in done.stdout


@pytest.mark.parametrize("name", ["test.yml", "weekly.yml"])
def test_workflows_ask_for_no_rights_and_have_a_time_limit(name):
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / name).read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())


@pytest.mark.parametrize("line",
                         ["a.png", "a.png 123", "../a.png " + "0" * 64, "/a.png " + "0" * 64,
                          "a/../b.png " + "0" * 64, "a b.png " + "0" * 64,
                                  "a.png " + "g" * 64, "ok.png " + "0" * 64 + "\nok.png " + "1" * 64,
                          "é.png " + "0" * 64])
def test_a_registry_that_was_tampered_with_is_named(tmp_path, line):
    path = tmp_path / "registry.txt"
    path.write_text(f"good.png {'0' * 64}\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match="registry.txt(:2|:3|: cannot be read)"):
        read_registry(path)


def test_a_split_that_leads_elsewhere_is_named(tmp_path):
    (tmp_path / "split.txt").write_text("kos39\n../../etc/passwd\n")
    with pytest.raises(InputError, match="split.txt:2: '../../etc/passwd' is not a name"):
        read_split(tmp_path / "split.txt")

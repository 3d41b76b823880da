"""What a fresh clone relies on: scripts that say what is missing, links that lead somewhere, figures that agree."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import resources

ROOT = Path(__file__).resolve().parent.parent
POSIX = pytest.mark.skipif(os.name == "nt", reason="shell scripts")


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in
                                  (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))])
def test_that_every_link_and_picture_of_a_page_exists(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.S)
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [target for target in targets if target and "://" not in target
               and not ((ROOT / page).parent / target).exists()]
    assert missing == []


def test_that_the_model_card_tells_the_figures_the_script_stored():
    told = json.loads(resources.path("models/jet_tagger.json").read_text(encoding="utf-8"))
    row = " | ".join(f"{value:.4f} ± {error:.4f}" for value, error in [
        (told["test_accuracy"], told["test_accuracy_error"]),
        *((told["test_auc"][name], told["test_auc_error"][name]) for name in told["class_names"])])
    assert f"| {row} |" in (ROOT / "docs" / "model_card.md").read_text(encoding="utf-8")


def test_that_only_bundled_files_are_found():
    assert resources.path("data/jets.npz").stat().st_size < 8 * 2**20
    for name in ("none.npz", "../pyproject.toml", "/etc/hostname"):
        with pytest.raises(FileNotFoundError):
            resources.path(name)


def test_that_source_files_stay_readable():
    long = {path.relative_to(ROOT).as_posix(): lines for package in ("app", "core")
            for path in (ROOT / package).rglob("*.py") if (lines := len(path.read_text("utf-8").splitlines())) > 500}
    assert long == {}


def stub(folder: Path, name: str, script: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@POSIX
def test_that_run_without_a_display_says_so_and_does_the_job_headless(tmp_path):
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "run.sh", tmp_path / "scripts")
    stub(tmp_path / ".venv" / "bin", "quantiscope", 'echo "quantiscope $*"')
    bare = {"PATH": os.environ["PATH"]}

    def lines(**environment: str) -> list[str]:
        return subprocess.run(["bash", tmp_path / "scripts" / "run.sh"], env={**bare, **environment}, text=True,
                              capture_output=True, check=True).stdout.splitlines()

    if sys.platform != "darwin":
        assert lines() == ["No display found: running the demo headless instead, its results go to demo-out/.",
                           "quantiscope demo --headless --out demo-out"]
    assert lines(DISPLAY=":0") == lines(WAYLAND_DISPLAY="wayland-0") == ["quantiscope demo"]


@POSIX
def test_that_a_machine_without_python_or_tools_is_told_what_to_install(tmp_path):
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "bootstrap.sh", tmp_path / "scripts")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "cat", "cksum", "dirname", "find", "id", "tr", "uname"):
        (tools / name).symlink_to(shutil.which(name) or pytest.fail(f"no {name} here"))
    stub(tools, "python3", "exit 1")  # a Python that is too old
    done = subprocess.run([tools / "bash", tmp_path / "scripts" / "bootstrap.sh"],
                          env={"PATH": str(tools), "HOME": "/"}, text=True, capture_output=True, check=False)
    assert done.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13, and none was found" in done.stderr
    if sys.platform == "linux":
        command = next(line for line in done.stderr.splitlines() if "apt-get install -y" in line)
        assert {"xvfb", "xauth", "perl", "g++", "make"} <= set(command.split())
    assert not (tmp_path / ".venv").exists()

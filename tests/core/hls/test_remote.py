"""Synthesis on a build host, over a real sshd of our own where one is installed, else over a stand-in for ssh.

The stand-in says that it is one: it runs the command here and knows no keys, so that it can show how commands are
quoted, ended and copied, but nothing about keys.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import Cancelled, ExportError, QuantiscopeError, ToolFailedError, ToolMissingError
from core.events import LogLine, Monitor
from core.hls import launcher, remote, tools
from core.hls.remote import RemoteHost
from core.hls.synthesis import synthesize
from core.hls.synthesis_options import SynthesisOptions
from tests.core.hls import report_texts as texts
from tests.core.hls.test_synthesis import exported, stand_in

_SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")
_HERE = all(map(shutil.which, ("ssh", "rsync", "ssh-keygen", "bash", "setsid"))) and sys.platform == "linux"
pytestmark = pytest.mark.skipif(not _HERE, reason="ssh, rsync, bash and setsid are needed")
_STAND_IN = """#!/bin/sh
# A STAND-IN for ssh, for tests only: runs the command here. It checks no key and reaches no host.
for last; do :; done
while [ "$1" != "--" ] && [ $# -gt 1 ]; do case $1 in -o|-l) shift 2;; build01|*@*) break;; *) shift;; esac; done
[ "$1" = "--" ] && shift
shift
cd "$STAND_IN_HOME" && exec sh -c "$*"
"""
Reach = Callable[[], str]


def _write(path: Path, text: str, mode: int = 0o700) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with an ssh configuration for the host build01, which an sshd of our own is."""
    if _SSHD is None:
        pytest.skip("no sshd is installed")
    folder = tmp_path_factory.mktemp("sshd")
    folder.chmod(0o700)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (folder / "home").mkdir()
    host = (folder / "host.pub").read_text().split()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host[0]} {host[1]}\n")
    privileges = Path("/run/sshd")
    if os.geteuid() == 0 and not privileges.is_dir():
        privileges.mkdir(mode=0o755)
    _write(folder / "config", f"Host build01 build02\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n"
           f" IdentityFile {folder}/user\n IdentitiesOnly yes\n UserKnownHostsFile {folder}/known\n", 0o600)
    # the remote home is a folder of its own, so that nothing is written into the tester's
    _write(folder / "sshd_config", f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
           f"AuthorizedKeysFile {folder}/authorized\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n"
           f'ForceCommand cd "{folder}/home" && eval "$SSH_ORIGINAL_COMMAND"\n', 0o600)
    process = subprocess.Popen([_SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.PIPE)
    _wait_for(port, process)
    yield folder
    process.terminate()
    process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            assert process.stderr is not None
            pytest.skip(f"sshd does not start here: {process.stderr.read().decode()[:200]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("sshd does not answer")


@pytest.fixture(params=["sshd", "stand-in"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home on the host build01, reached by ssh as the user would: by the first `ssh` on the PATH."""
    monkeypatch.setattr(launcher, "GRACE_S", 1.0)
    wrappers = tmp_path / "wrappers"
    wrappers.mkdir()
    if request.param == "sshd":
        server = request.getfixturevalue("server")
        # what a user's ~/.ssh/config does for a user
        _write(wrappers / "ssh", f"#!/bin/sh\nexec {shutil.which('ssh')} -F '{server}/config' \"$@\"\n")
        found = Path(server) / "home"
    else:
        _write(wrappers / "ssh", _STAND_IN)
        found = tmp_path / "home"
        found.mkdir()
        monkeypatch.setenv("STAND_IN_HOME", str(found))
    monkeypatch.setenv("PATH", f"{wrappers}{os.pathsep}{os.environ['PATH']}")
    return found


def _setup(tmp_path: Path, mode: str = "ok") -> str:
    """A settings script of the host: the tool on the PATH, and how the stand-in for Vitis is to behave."""
    program = stand_in(tmp_path)
    (tmp_path / "report.xml").write_text(texts.CSYNTH_XML)
    script = tmp_path / "settings of the host.sh"
    script.write_text(f"export PATH='{program.parent}':$PATH STAND_IN_MODE={mode}\n"
                      f"export STAND_IN_REPORT=\"$(cat '{tmp_path}/report.xml')\"\n"
                      "export STAND_IN_WORDS='ERROR: [Common 17-345] A valid license was not found'\n"
                      f"export STAND_IN_COUNT='{tmp_path}/count'\n")
    return str(script)


def _options(tmp_path: Path, mode: str = "ok", **more: object) -> SynthesisOptions:
    return SynthesisOptions(tool="vitis", host="build01", setup=_setup(tmp_path, mode), disk_gb=0.001,
                            **more)  # type: ignore[arg-type]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _gone(pids: list[int], seconds: float = 8.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_alive, pids))


def test_an_export_is_sent_built_and_brought_back(home: Path, tmp_path: Path) -> None:
    report = exported(tmp_path / "an export; $(touch owned)")
    said: list[str] = []
    listening = Monitor(lambda event: said.append(event.text) if isinstance(event, LogLine) else None)
    found = synthesize(report, _options(tmp_path), listening).synthesis
    assert found is not None and (found.lut, found.tool_version) == (39782, "2023.2")
    assert any("not a real tool" in line for line in said)  # the tool's own lines, as they come
    there = home / RemoteHost("build01").folder_of(Path(report.directory))
    assert (there / "hls4ml" / "firmware" / "quantiscope_hls.cpp").is_file()
    assert not list(home.rglob("owned")) and not list(tmp_path.rglob("owned"))
    assert synthesize(report, _options(tmp_path), Monitor()).synthesis == found
    assert (tmp_path / "count").read_text() == "run\n"  # finished, so not run again


def test_a_cancel_ends_what_runs_there(home: Path, tmp_path: Path) -> None:
    pids: list[int] = []

    def listen(event: object) -> None:
        if isinstance(event, LogLine) and event.text.startswith("children"):
            pids.append(int(event.text.split()[1]))  # the second one left its session, as no tool that we know does

    with pytest.raises(Cancelled):
        synthesize(exported(tmp_path / "c"), _options(tmp_path, "slow"), Monitor(listen, cancelled=lambda: bool(pids)))
    assert pids and _gone(pids)


def test_a_lost_connection_ends_what_runs_there(home: Path, tmp_path: Path) -> None:
    host = RemoteHost("build01")
    (home / "work").mkdir(exist_ok=True)
    command = host.ssh(remote._RUNNER, "", "", "work", "sh", "-c", "echo $$; sleep 300 & echo $!; wait")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               start_new_session=True)
    assert process.stdin is not None and process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(2)]
    assert all(map(_alive, pids))
    if "STAND_IN_HOME" not in os.environ:
        process.kill()  # the connection is lost
    process.stdin.close()
    assert _gone(pids)
    process.kill()
    process.wait(10)


def test_a_failure_there_is_known_by_its_words_and_its_log_is_here(home: Path, tmp_path: Path) -> None:
    report = exported(tmp_path / "c")
    with pytest.raises(ToolFailedError, match="licence"):
        synthesize(report, _options(tmp_path, "fail"), Monitor())
    assert "valid license" in (tmp_path / "c" / "hls4ml" / "hls.log").read_text()


def test_a_tool_that_is_not_there_and_too_little_disk_are_said(home: Path, tmp_path: Path) -> None:
    bare = SynthesisOptions(tool="vivado_hls", host="build01", disk_gb=0.001)
    with pytest.raises(ToolMissingError, match="vivado_hls was not found on build01"):
        synthesize(exported(tmp_path / "c", "Vivado"), bare, Monitor())
    with pytest.raises(ToolFailedError, match="not enough disk space on build01"):
        RemoteHost("build01").require_disk(tmp_path, 1e9, Monitor())


def test_an_unknown_or_changed_key_is_refused(server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = (server / "known").read_text()
    _write(tmp_path / "ssh", f"#!/bin/sh\nexec {shutil.which('ssh')} -F '{server}/config' \"$@\"\n")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    other = (server / "user.pub").read_text().split()
    for keys in ("", f"{known.split()[0]} {other[0]} {other[1]}\n"):
        (server / "known").write_text(keys)
        try:
            with pytest.raises(ToolFailedError, match="check the key"):
                RemoteHost("build01").find("vitis-run", Monitor())
        finally:
            assert (server / "known").read_text() == keys  # nothing was accepted by itself
            (server / "known").write_text(known)


def test_the_commands_check_keys_and_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    command = RemoteHost("me@build01").ssh("true", "a b; c")
    assert "StrictHostKeyChecking=yes" in command and command[-2] == "me@build01"
    assert "'a b; c'" in command[-1] or "a b; c" in command[-1].replace("'\"'\"'", "'")
    assert "StrictHostKeyChecking=no" not in Path(remote.__file__).read_text()
    for bad in ("", "-oProxyCommand=touch x", "a b", "x;y", "a\nb"):
        with pytest.raises(ExportError):
            RemoteHost(bad)


def test_without_rsync_it_is_said(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tools.find_tool
    monkeypatch.setattr(tools, "find_tool", lambda name, given="": tools.Tool(name, "copies", "", "", "apt") if
                        name == "rsync" else real(name, given))
    with pytest.raises(QuantiscopeError, match="rsync is not installed"):
        synthesize(exported(tmp_path / "c"), _options(tmp_path), Monitor())

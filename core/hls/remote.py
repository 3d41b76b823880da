"""A build host that the user reaches by ssh: the user's own ssh and rsync, with their configuration and keys.

Every command is a list of arguments; the host's key is always checked. What runs there runs in a session of its
own that ends when the connection does, so that neither a cancel nor a lost connection leaves a child behind.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import ExportError, QuantiscopeError, ToolFailedError, ToolMissingError
from core.events import LogLine, Monitor
from core.hls.launcher import run_tool
from core.hls.synthesis_options import check_host
from core.hls.tools import Tool, require, version_arguments, version_in

#: an unknown or changed key is refused, and nothing is asked for: there is nobody to answer
SSH_OPTIONS = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=15", "-o",
               "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4")
_FOLDER = ".cache/quantiscope"
_COPY_SECONDS = 3600.0
_ASK_SECONDS = 60.0

#: $1: script to source or "", $2: folder of the tool or ""; the rest is up to the script that follows
_SETUP = ('if [ -n "$1" ]; then . "$1" </dev/null >/dev/null || exit 98; fi; '
          'if [ -n "$2" ]; then PATH=$2:$2/bin:$PATH; fi; shift 2; ')
#: then $1: folder, and the command. It runs in a session of its own, which ends with our input, that is with the
#: connection: one signal reaches all of it.
_RUNNER = (
    'exec 3<&0; ' + _SETUP + 'cd -- "$1" || exit 97; shift; '
    'setsid -- "$@" </dev/null 3<&- & job=$!; echo $job > .quantiscope-group; '
    '{ cat <&3 >/dev/null; kill -TERM -- -$job; sleep 2; kill -KILL -- -$job; } >/dev/null 2>&1 & watch=$!; '
    'wait $job; status=$?; kill $watch 2>/dev/null; rm -f .quantiscope-group; exit $status')
_ENDER = ('cd -- "$1" 2>/dev/null || exit 0; test -f .quantiscope-group || exit 0; job=$(cat .quantiscope-group); '
          'case $job in ""|*[!0-9]*) exit 0;; esac; kill -TERM -- -"$job"; sleep 1; kill -KILL -- -"$job"; exit 0')
#: then a program and the arguments that make it say its version
_ASK = _SETUP + ('found=$(command -v -- "$1") || { echo "quantiscope-missing"; exit 0; }; '
                 'echo "quantiscope-at $found"; "$@" </dev/null 2>&1 | head -n 40; exit 0')


def sourced(setup: str) -> list[str]:
    """What to put before a command, here, to source a script first."""
    script = str(Path(setup).expanduser().absolute())
    return ["bash", "-c", '. "$0" </dev/null >/dev/null || exit 98; exec "$@"', script]


def find_after_setup(program: str, setup: str, given: str, monitor: Monitor) -> Tool:
    """Look a tool up here, after sourcing a script; raises ToolMissingError."""
    executable, arguments = version_arguments(program)
    script = Path(setup).expanduser().absolute()
    if not script.is_file():
        raise ExportError(f"there is no script {setup}", remedy="Name the settings script, such as settings64.sh")
    said = _said(["bash", "-c", _ASK, "quantiscope", str(script), given, executable, *arguments], monitor, program)
    return _answer(said, program, "here")


def _said(command: Sequence[str], monitor: Monitor, name: str, log: Path | None = None) -> list[str]:
    """The lines that a short command writes."""
    lines: list[str] = []
    listening = Monitor(lambda event: lines.append(event.text) if isinstance(event, LogLine) else None,
                        lambda: monitor.stopping)
    run_tool(command, Path.cwd(), listening, name=name, log=log, limit_s=_ASK_SECONDS)
    return lines


def _answer(said: Sequence[str], program: str, where: str) -> Tool:
    at = next((i for i, line in enumerate(said) if line.startswith("quantiscope-at ")), None)
    if at is None:
        raise ToolMissingError(f"{program} was not found {where}", "it is not on the PATH there",
                               "Name its settings script by --setup, or its folder by --tool-path")
    path = said[at].partition(" ")[2]
    return Tool(program, "", path, version_in("\n".join(said[at + 1:]), path), "")


@dataclass(frozen=True)
class RemoteHost:
    """A build host as ssh knows it ("build01", "me@build01").

    `setup` is a script to source there before the tool, `tools` a folder there to look for it in first.
    """

    name: str
    setup: str = ""
    tools: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ExportError("a build host needs a name")
        check_host(self.name)

    def folder_of(self, directory: Path) -> str:
        """The folder on the host, relative to the home there, for a local folder; blanks never occur in it."""
        stamp = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
        return f"{_FOLDER}/{stamp}"

    def ssh(self, script: str, *arguments: str) -> list[str]:
        """The command that runs a shell script there with these arguments, each quoted."""
        return [require("ssh")["ssh"].path, *SSH_OPTIONS, "--", self.name,
                shlex.join(["bash", "-c", script, "quantiscope", *arguments])]

    def find(self, program: str, monitor: Monitor, log: Path | None = None) -> Tool:
        """Look a tool up there; raises ToolMissingError, or ToolFailedError where the host cannot be used."""
        executable, arguments = version_arguments(program)
        said = _said(self.ssh(_ASK, self.setup, self.tools, executable, *arguments), monitor, f"ssh {self.name}", log)
        return _answer(said, program, f"on {self.name}")

    def require_disk(self, directory: Path, gigabytes: float, monitor: Monitor, log: Path | None = None) -> None:
        """Make the folder there, and raise ToolFailedError where it has less than so many 10^9 bytes free."""
        script = 'umask 077; mkdir -p -- "$1" && df -Pk -- "$1"'
        said = _said(self.ssh(script, self.folder_of(directory)), monitor, f"ssh {self.name}", log)
        found = re.search(r"\s\d+\s+\d+\s+(\d+)\s+\d+%", said[-1] if said else "")
        if found and int(found.group(1)) * 1024 < gigabytes * 1e9:
            raise ToolFailedError(f"there is not enough disk space on {self.name}",
                                  f"{int(found.group(1)) * 1024 / 1e9:.1f} GB are free, and about {gigabytes:g} GB are"
                                  " needed", "Free some space there, or use another host")

    def send(self, directory: Path, monitor: Monitor, log: Path) -> None:
        """Make the folder there the same as the local one."""
        self._rsync(["--delete", f"{directory}/", f"{self.name}:{self.folder_of(directory)}/"], directory, monitor, log)

    def fetch(self, directory: Path, monitor: Monitor, log: Path) -> None:
        """Bring back what the tool left there; nothing local is deleted, and no link is followed or made."""
        self._rsync(["--no-links", f"--exclude=/{log.name}", f"{self.name}:{self.folder_of(directory)}/",
                     f"{directory}/"], directory, monitor, log)

    def _rsync(self, arguments: Sequence[str], directory: Path, monitor: Monitor, log: Path) -> None:
        tools = require("rsync", "ssh")
        run_tool([tools["rsync"].path, "--archive", "--protect-args", "--exclude=.quantiscope-group", "-e",
                  shlex.join([tools["ssh"].path, *SSH_OPTIONS]), *arguments],
                 directory, monitor, name="rsync", log=log, limit_s=_COPY_SECONDS)

    def run(self, command: Sequence[str], directory: Path, folder: str, monitor: Monitor, *, name: str, log: Path,
            limit_s: float, memory_gb: float | None) -> float:
        """Run a command in a folder there, line by line, as `run_tool` does here; `directory` is the local twin.

        A memory limit is one of address space there. On a cancel, a limit or a lost connection all that the command
        started is ended.
        """
        there = self.ssh(_RUNNER, self.setup, self.tools, folder, *_limited(memory_gb), *command)
        over = False
        try:
            seconds = run_tool(there, directory, monitor, name=name, log=log, limit_s=limit_s, hold_input=True)
            over = True
            return seconds
        finally:
            if not over:
                self._end(folder, directory, log)

    def _end(self, folder: str, directory: Path, log: Path) -> None:
        """End what still runs there; where the host is gone, its own watch has done so."""
        with suppress(QuantiscopeError):
            run_tool(self.ssh(_ENDER, folder), directory, Monitor(), name=f"ssh {self.name}", log=log, limit_s=30.0)


def _limited(memory_gb: float | None) -> list[str]:
    if memory_gb is None:
        return []
    return ["bash", "-c", 'ulimit -v "$0" && exec "$@"', str(int(memory_gb * 1e6))]

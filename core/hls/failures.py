"""The usual ways in which synthesis tools fail, known by what they write, and what helps against each."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """A known cause, in words, and what the user can do."""

    kind: str
    cause: str
    remedy: str


_PART = Failure("part", "the tool has no files for this part",
                "Install the part's device family with the vendor's installer, or choose another part")
_LICENCE = Failure("licence", "the tool has no licence for what it was asked to do",
                   "Set the licence server (XILINXD_LICENSE_FILE, LM_LICENSE_FILE or MGLS_LICENSE_FILE), or choose a"
                   " part that the free edition covers")
_MEMORY = Failure("memory", "there was not enough memory",
                  "Close other programs, give the tool a machine with more memory, or use a larger reuse factor")
_UNROLL = Failure("unroll", "a layer is larger than what HLS unrolls",
                  "Use the resource strategy with a larger reuse factor for that layer, io_stream, or the RTL flow")
_HEADER = Failure("header", "a header of the tool was not found",
                  "Source the tool's settings script, and check that its installation is complete")
_DISK = Failure("disk", "the disk is full", "Free some space, and start again: finished stages are kept")
_COMMAND = Failure("command", "a program that the tool calls is missing",
                   "Install it, or source the tool's settings script, so that it is on the PATH")
_PATH = Failure("path", "the tool cannot work in a folder whose path has blanks or other special characters",
                "Move the project to a path of letters, digits, dots, dashes and underscores")
_TIMING = Failure("timing", "the design does not meet the clock", "Give a longer clock period, or more pipeline stages")
_PLACE = Failure("fit", "the design is larger than the part",
                 "Choose a larger part, narrower quantizers, or a larger reuse factor")
_HOST = Failure("host", "the host's key is not known, or has changed",
                "Connect once by hand with ssh, check the key, and try again")
_LOGIN = Failure("login", "the host refused the login",
                 "Set up a key for that host (ssh-copy-id), and start ssh-agent if the key has a passphrase")
_REACH = Failure("reach", "the host cannot be reached", "Check its name and the network, by hand with ssh")

#: first that matches counts; words as Vitis HLS, Vivado, Quartus, oneAPI, Catapult, g++ and ssh write them
_KNOWN: tuple[tuple[str, Failure], ...] = (
    (r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|No \S+ host key is known", _HOST),
    (r"Permission denied \((publickey|password|keyboard)", _LOGIN),
    (r"ssh: (connect to host|Could not resolve)|Connection timed out|Connection refused|No route to host", _REACH),
    (r"No space left on device|[Dd]isk quota exceeded|not enough disk space", _DISK),
    (r"valid licen[cs]e was not found|[Ll]icen[cs]e (checkout|request).*failed|no (valid )?licen[cs]e"
     r"|[Cc]ould not (obtain|checkout).*licen[cs]e|[Ff]ailed to (check ?out|get|obtain).*licen[cs]e"
     r"|\[Common 17-345\]|LICENSE.*FLEXnet|[Ff]lex(net|lm) .*[Ee]rror", _LICENCE),
    (r"[Pp]art '?[\w-]+'? is not installed|[Tt]arget part .* not installed|\[Common 17-69\].*[Pp]art|Part not found"
     r"|[Ii]nvalid part|Device .*not (installed|supported)|Illegal .*part name|target device .* is not", _PART),
    (r"unroll.*(4096|limit|large runtime and excessive memory)|large runtime and excessive memory"
     r"|exceeds? the (maximum )?unroll|array_partition.*4096", _UNROLL),
    (r"std::bad_alloc|[Oo]ut of memory|Cannot allocate memory|virtual memory exhausted|\[HLS 200-1023\]"
     r"|Killed signal terminated program|oom-kill|MemoryError|insufficient memory", _MEMORY),
    (r"[Pp]ath .*illegal character|contains illegal character", _PATH),
    (r"fatal error: .*(No such file|file not found)|'?[\w./]+\.(h|hpp|hh)'? file not found"
     r"|[\w./]+\.(h|hpp|hh): No such file", _HEADER),
    (r"\[Place 30-|\[DRC UTLZ-|over-?utili[sz]ed|[Cc]an't fit design in device|exceeds? the available", _PLACE),
    (r"[Tt]iming constraints? (are )?not met.*ERROR|\[Timing 38-282\]", _TIMING),
    (r"command not found|env: .*: No such file|: not found$", _COMMAND),
)
_PATTERNS = tuple((re.compile(pattern), failure) for pattern, failure in _KNOWN)
#: one of these is in each line that a pattern fits; looking for them first is ten times faster
_WORDS = ("error", "fatal", "licen", "flex", "memory", "alloc", "not found", "no such", "denied", "host", "unroll",
          "no space", "quota", "disk", "kill", "illegal", "not installed", "invalid part", "[place", "[drc", "utili",
          "fit design", "exceed", "[timing", "timing constraint", "ssh:", "connection", "partition", "part")
_ANY = re.compile("|".join(f"(?:{pattern})" for pattern, _ in _KNOWN))


def is_known(line: str) -> bool:
    """True for a line that names one of the usual failures."""
    lowered = line.lower()
    return any(word in lowered for word in _WORDS) and len(line) < 4096 and _ANY.search(line) is not None


def recognize(lines: Sequence[str]) -> tuple[Failure, str] | None:
    """The usual failure that these lines of a log tell of, and the line; of several the first in our table."""
    said = [line for line in lines if len(line) < 4096]
    found = ((failure, line) for pattern, failure in _PATTERNS for line in said if pattern.search(line))
    return next(found, None)


def of_status(status: int) -> Failure | None:
    """What an exit status alone tells: killed by the system for want of memory, or a missing program."""
    if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return _MEMORY
    return _COMMAND if status == 127 else None

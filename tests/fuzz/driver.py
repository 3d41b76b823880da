"""Runs the sandboxes one after another, ends those that hang, starts them again, and adds up what they found."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core import guard
from tests.fuzz.grammars import GRAMMARS
from tests.fuzz.sandbox import HEADER, SIZE, read_channel
from tests.fuzz.targets import BY_NAME, TARGETS, Target

ROOT = Path(__file__).resolve().parents[2]
#: processor seconds that one input may take, and seconds by the clock however busy the machine is
MOST_SECONDS, MOST_WAITING = 5.0, 900.0
#: parts of a target's inputs
ATHERIS, HYPOTHESIS = 0.25, 0.04
#: of what the guard of HDF5 is to stop, so many are given to it for real
REPLAYED = 3
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass
class Tally:
    """What came of a target's inputs by one engine."""

    target: str
    engine: str
    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    guarded: int = 0
    grown_mib: int = 0
    seconds: float = 0.0
    findings: list[dict[str, Any]] = field(default_factory=list)


def plan(inputs: int, only: str = "") -> Iterator[tuple[Target, str, int]]:
    """(target, engine, number of inputs), for so many inputs in all."""
    has_atheris = importlib.util.find_spec("atheris") is not None
    for target in TARGETS if not only else [BY_NAME[only]]:
        left = round(inputs * (target.share if not only else 1.0))
        for engine, part in (("atheris", ATHERIS if target.coverage and has_atheris else 0.0),
                             ("hypothesis", HYPOTHESIS if target.name in GRAMMARS else 0.0)):
            if part:
                yield target, engine, round(inputs * (target.share if not only else 1.0) * part)
                left -= round(inputs * (target.share if not only else 1.0) * part)
        yield target, "mutation", left


def fuzz(target: Target, engine: str, count: int, seed: str, keep: Path | None = None) -> Tally:
    """Give a target `count` inputs; `keep` is a folder for inputs with findings."""
    tally = Tally(target.name, engine)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quantiscope-fuzz-") as place:
        start = 0
        while start < count:
            start = _run(tally, start, count, seed, Path(place), keep)
    tally.seconds = time.monotonic() - began
    return tally


def _run(tally: Tally, start: int, count: int, seed: str, place: Path, keep: Path | None) -> int:
    """One sandbox, to its end or until it hangs or crashes; the next input to go on with."""
    channel, folder = place / "channel", place / "folder"
    folder.mkdir(exist_ok=True)
    with channel.open("wb") as file:
        file.write(HEADER.pack(-1, 0, 0, 0, 0))
        file.truncate(SIZE)
    command = _command(tally.target, tally.engine, str(start), str(count - start), seed, str(channel), str(folder))
    with (place / "said").open("w+") as said, (place / "errors").open("w+") as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=errors, text=True, env={
            **os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1"})
        hung = _watched(process, channel)
        said.seek(0)
        lines = [json.loads(line) for line in said if line.startswith("{")]
        errors.seek(0)
        last = errors.read()[-600:]
    (index, walking, refused, accepted, *_), data = read_channel(channel)
    tally.refused += refused
    tally.accepted += accepted
    for line in lines:
        if "grown_mib" in line:
            tally.grown_mib = max(tally.grown_mib, line["grown_mib"])
        else:
            _found(tally, line, None, keep)
    ended = not hung and process.returncode == 0 and index + 1 >= count
    if ended:
        tally.inputs += index + 1 - start
        return count
    if not hung and process.returncode == 0:  # an engine that had no more to try
        tally.inputs += index + 1 - start
        return max(index + 1, start + 1) if index + 1 > start else count
    if index < start:
        _found(tally, {"index": index, "kind": "no start", "what": last}, None, keep)
        return count
    tally.inputs += index + 1 - start
    what = "hangs" if hung else f"ends with {process.returncode}"
    if walking:
        tally.guarded += 1
        problem = replayed(tally.target, data) if tally.guarded <= REPLAYED else ""
        if problem:
            _found(tally, {"index": index, "kind": "guard", "what": problem}, data, keep)
    else:
        _found(tally, {"index": index, "kind": what, "what": last[-200:]}, data, keep)
    return index + 1


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-B", "-m", "tests.fuzz.sandbox", *arguments]


def _found(tally: Tally, finding: dict[str, Any], data: bytes | None, keep: Path | None) -> None:
    tally.findings.append(finding)
    if keep is not None and data is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{tally.target.replace(' ', '_').replace('/', '_')}-{finding['index']}").write_bytes(data)


def _watched(process: subprocess.Popen[str], channel: Path) -> bool:
    """Wait for a sandbox; True where it was ended because one input took too long."""
    index, since_cpu, since = -2, 0.0, time.monotonic()
    while process.poll() is None:
        time.sleep(0.1)
        now, cpu = read_index(channel), _processor_seconds(process.pid)
        if now != index:
            index, since_cpu, since = now, cpu, time.monotonic()
        most = guard.SECONDS if read_channel(channel)[0][1] else MOST_SECONDS
        if index >= 0 and (cpu - since_cpu > most or time.monotonic() - since > MOST_WAITING):
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
    return False


def read_index(channel: Path) -> int:
    """The input a sandbox is at."""
    with channel.open("rb") as file:
        return int.from_bytes(file.read(8), "little", signed=True)


def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICK
    except (OSError, IndexError):
        return 0.0


_REPLAY = """
import sys
from pathlib import Path
from core.errors import QuantiscopeError
from tests.fuzz.targets import BY_NAME
try:
    BY_NAME[sys.argv[1]].read(Path(sys.argv[2]).read_bytes(), Path(sys.argv[3]))
except QuantiscopeError as error:
    print("refused", error)
"""


def replayed(target: str, data: bytes) -> str:
    """What is wrong when the real readers, guard and all, get an input; empty where it is refused in a sentence."""
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "input"
        source.write_bytes(data)
        folder = Path(place) / "folder"
        folder.mkdir()
        try:
            done = subprocess.run([sys.executable, "-c", _REPLAY, target, str(source), str(folder)], cwd=ROOT,
                                  text=True, capture_output=True, timeout=MOST_WAITING, check=False,
                                  env={**os.environ, "QUANTISCOPE_EXAMINED": ""})
        except subprocess.TimeoutExpired:
            return "hangs in spite of the guard"
    return "" if done.returncode == 0 else f"ends with {done.returncode} in spite of the guard: {done.stderr[-200:]}"

"""What the worker runs in the tests of app.jobs: real processes, requests that are plain tuples."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from core.errors import DatasetError
from core.events import Monitor


def run(request: tuple[Any, ...], monitor: Monitor) -> Any:
    """Do what the first element says with the others as arguments."""
    return globals()[f"do_{request[0]}"](monitor, *request[1:])


def do_add(monitor: Monitor, a: int, b: int) -> int:
    monitor.log(f"adding {a} and {b}")
    monitor.progress("add", 1, 1)
    return a + b


def do_pid(monitor: Monitor) -> int:
    return os.getpid()


def do_flood(monitor: Monitor, lines: int) -> int:
    for number in range(lines):
        monitor.log(f"line {number}")
        monitor.progress("flood", number, lines)
    return lines


def do_wait(monitor: Monitor, seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        monitor.progress("wait", 0, 1)
        monitor.check()
        time.sleep(0.01)
    return "waited"


def do_count(monitor: Monitor, total: int) -> int:
    for done in range(total):
        monitor.check()
        monitor.log(str(done))
        time.sleep(0.02)
    return total


def do_deaf(monitor: Monitor, pid_file: str) -> None:
    """Start a child in a session of its own and never look at the monitor again."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    Path(pid_file).write_text(str(child.pid))
    monitor.stage("deaf")
    time.sleep(60)


def do_die(monitor: Monitor, number: int) -> None:
    monitor.log("about to fall over")
    print("Fatal: the card caught fire", flush=True)
    time.sleep(0.1)
    os.kill(os.getpid(), number)
    signal.pause()


def do_known(monitor: Monitor) -> None:
    raise DatasetError("the dataset has 3 columns", "16 were expected", "Choose another file")


def do_unknown(monitor: Monitor) -> None:
    raise ZeroDivisionError("division by zero")

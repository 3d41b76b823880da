"""A STAND-IN for Vitis HLS, for testing the launcher only. It synthesizes nothing: it says lines as the tool does,
and where all goes well it leaves the report that it finds in STAND_IN_REPORT. STAND_IN_MODE chooses what happens.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path


def _leave_report() -> None:
    project = "quantiscope_hls"
    script = Path("project.tcl")
    if script.is_file():
        found = re.search(r'set project_name "(\w+)"', script.read_text())
        project = found.group(1) if found else project
    folder = Path(f"{project}_prj/solution1/syn/report")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{project}_csynth.xml").write_text(os.environ["STAND_IN_REPORT"])


def main() -> None:
    """Behave as STAND_IN_MODE says."""
    if "--version" in sys.argv or "-version" in sys.argv:
        print("****** vitis-run v2024.2 (64-bit)\n  **** STAND-IN, not a real tool")
        return
    mode = os.environ.get("STAND_IN_MODE", "ok")
    print(f"INFO: [STAND-IN 0-0] This is a stand-in for Vitis HLS, not a real tool; mode {mode}", flush=True)
    if count := os.environ.get("STAND_IN_COUNT"):
        with Path(count).open("a") as file:
            file.write("run\n")
    if mode == "slow":
        here = subprocess.Popen(["sleep", "300"])
        away = subprocess.Popen(["sleep", "300"], start_new_session=True)
        print(f"children {here.pid} {away.pid}", flush=True)
        time.sleep(300)
    elif mode == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif mode == "huge":
        for number in range(40_000):
            print(f"INFO: [SCHED 204-11] line {number} of very many, with some words to fill it up to a usual length")
        print("x" * 300_000)
    elif mode == "memory":
        held = bytearray(os.urandom(1 << 20) * 400)
        print(f"holding {len(held)} bytes", flush=True)
        time.sleep(60)
    elif mode == "fail":
        print(os.environ["STAND_IN_WORDS"], flush=True)
        sys.exit(1)
    print("INFO: [HLS 200-111] Finished Command csynth_design", flush=True)
    if "STAND_IN_REPORT" in os.environ:
        _leave_report()


if __name__ == "__main__":
    main()

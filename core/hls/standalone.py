"""What lets an export run by itself: stored events and results, and the recorded commands with a script for them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

import resources
from core.arrays import Arrays, flat
from core.errors import QuantiscopeError
from core.files import write_atomically
from core.hls import emulator, rtl_runner, simulate, yosys
from core.hls.manifest import Check, HlsProject, Manifest, Recorded, RtlProject
from core.hls.steps import Step
from core.hls.vendors import VENDORS, Target, Vendor

GOLDEN = "golden"
#: so much of events and results is stored at most; a check needs no more, and an export should stay small
MOST_GOLDEN_BYTES = 16 * 2**20
_BUILD_SH = '#!/bin/sh\n' \
    '# builds and checks this export anew; see rebuild.py\nexec python3 "$(dirname "$0")/rebuild.py" "$@"\n'


def store_golden(directory: Path, arrays: dict[str, Arrays]) -> None:
    """Write golden/NAME.npy of the first events of each array (events, values), float64, as many as fit.

    Several inputs or outputs lie one after the other in a row.
    """
    folder = directory / GOLDEN
    folder.mkdir(parents=True, exist_ok=True)
    per_event = sum(flat(array[:1]).size for array in arrays.values()) * 8
    count = max(1, MOST_GOLDEN_BYTES // max(1, per_event))
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", flat(array[:count]).astype(np.float64))


def leave(directory: Path, manifest: Manifest) -> Manifest:
    """Write export.json, rebuild.py, build.sh and the runners into an export; the manifest, with its commands."""
    checks = {}
    if manifest.hls is not None:
        shutil.copyfile(emulator.__file__, directory / manifest.hls.folder / "emulator.py")
        if (directory / GOLDEN / "expected_cpp.npy").is_file():
            checks["c++"] = _cpp_check(manifest.hls)
    if manifest.rtl is not None:
        shutil.copyfile(rtl_runner.__file__, directory / manifest.rtl.verilog / "sim" / "rtl_runner.py")
        checks["rtl"] = _rtl_check(directory, manifest.rtl)
    done = msgspec.structs.replace(manifest, checks=checks, synthesis=_synthesis(directory, manifest))
    done.save(directory)
    write_atomically(directory / "rebuild.py", resources.path("templates/rebuild.py").read_bytes())
    write_atomically(directory / "build.sh", _BUILD_SH.encode())
    (directory / "build.sh").chmod(0o755)
    return done


def _up(folder: str) -> str:
    """From a folder below the export's back to it."""
    return "/".join([".."] * len(Path(folder).parts))


def _cpp_check(hls: HlsProject) -> Check:
    golden = f"{_up(hls.folder)}/{GOLDEN}"
    return Check(build=[Recorded(folder=hls.folder, command=["bash", "build_lib.sh"])],
                 run=Recorded(folder=hls.folder, command=["{python}", "emulator.py", "{library}", f"{hls.top}_double",
                                                          f"{golden}/events.npy",
                                                          emulator.sizes_text(hls.output_sizes or [hls.outputs]),
                                                          "{result}",
                                                          emulator.sizes_text(hls.input_sizes or [hls.inputs])]),
                 library="firmware/*.so", expected=f"{GOLDEN}/expected_cpp.npy")


def _rtl_check(directory: Path, rtl: RtlProject) -> Check:
    folder = f"{rtl.verilog}/sim"
    golden = f"{_up(folder)}/{GOLDEN}"
    commands = simulate.build_commands(
        ["{perl}", "{verilator}/bin/verilator"], "{verilator}/include", "{g++}", "libcheck.so", f"{rtl.top}_wrapper",
        simulate.verilog_files(directory / rtl.verilog / "src"), "{build}")
    return Check(build=[Recorded(folder=folder, command=command) for command in commands],
                 run=Recorded(folder=folder, command=["{python}", "rtl_runner.py", "{library}",
                                                      f"{golden}/quantized.npy", str(rtl.outputs),
                                                      str(rtl.extra_steps), "{result}"]),
                 library="libcheck.so", expected=f"{GOLDEN}/expected_rtl.npy")


def _synthesis(directory: Path, manifest: Manifest) -> dict[str, list[Recorded]]:
    """The commands of each tool that can work on this export; their scripts are written."""
    found = {}
    if manifest.rtl is not None:
        rtl = manifest.rtl
        found["yosys"] = _recorded(directory, yosys.steps(directory / rtl.verilog, rtl.top, rtl.stages,
                                                          manifest.tools.get("yosys", "")))
    for vendor in VENDORS.values():
        if steps := _steps_of(directory, manifest, vendor):
            found[vendor.name] = _recorded(directory, steps)
    return found


def _steps_of(directory: Path, manifest: Manifest, vendor: Vendor) -> list[Step]:
    """None where the tool cannot build this export, or needs to be told more first (Quartus its part)."""
    ours = manifest.rtl is not None if vendor.project == "rtl" else \
        manifest.hls is not None and manifest.hls.backend in vendor.backends
    if not ours:
        return []
    try:
        return vendor.steps(Target(directory, manifest, vendor.stages[0]), vendor.programs[0])
    except QuantiscopeError:
        return []


def _recorded(directory: Path, steps: Iterable[Step]) -> list[Recorded]:
    return [Recorded(folder=str(step.directory.relative_to(directory)),
                     command=[word.replace(sys.executable, "{python}") for word in step.command]) for step in steps]

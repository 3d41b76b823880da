"""Synthesizes a finished export: here or on a build host, by Yosys or a vendor's tool, step by step.

Needs neither the model nor TensorFlow: the export's folder says all (`core.hls.manifest`). A step that has been
run on the same sources with the same settings is not run again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from core.errors import ExportError, QuantiscopeError, ToolFailedError, ToolMissingError
from core.events import Monitor
from core.files import write_atomically
from core.hls import manifest, steps, vendors, yosys
from core.hls.launcher import require_disk, run_tool
from core.hls.parts import find_part
from core.hls.remote import RemoteHost, find_after_setup, sourced
from core.hls.report import ExportReport, SynthesisReport, with_syntheses
from core.hls.synthesis_options import YOSYS, SynthesisOptions
from core.hls.tools import Tool, find_tool, require
from core.hls.vendors import VENDORS, Target, Vendor

_YOSYS_DISK_GB = 0.5


def synthesize(report: ExportReport, options: SynthesisOptions, monitor: Monitor) -> ExportReport:
    """Synthesize an export, and return its report with what was found; it is also written into the export's folder.

    Raises:
        ExportError: the tool cannot work on this export.
        ToolMissingError, ToolFailedError: the tool is missing or failed; its log stays in the export's folder.
        Cancelled: asked to stop; nothing that was started runs any more, and finished steps are kept.
    """
    options.check()
    directory = Path(report.directory)
    export = manifest.load(directory)
    found = _by_yosys(directory, export, options, monitor) if options.tool == YOSYS else \
        _by_vendor(directory, export, options, monitor)
    done = with_syntheses(report, found)
    write_atomically(directory / "report.json", msgspec.json.format(msgspec.json.encode(done), indent=2))
    return done


def require_tool(options: SynthesisOptions) -> None:
    """Raise ToolMissingError where the tool is not here; one on a host, or behind a script, is looked for later."""
    options.check()
    if options.tool == YOSYS:
        require("yosys")
    elif not options.host and not options.setup:
        _first_here(VENDORS[options.tool], options.path)


def _by_yosys(directory: Path, export: manifest.Manifest, options: SynthesisOptions,
              monitor: Monitor) -> list[SynthesisReport]:
    if export.rtl is None:
        raise ExportError("Yosys needs the RTL, and this export has none", remedy="Export with the flow rtl")
    require_disk(directory, options.disk_gb or _YOSYS_DISK_GB, "Yosys")
    monitor.stage("synthesis")
    return [yosys.synthesize(directory / export.rtl.verilog, export.rtl.top, export.rtl.stages, export.rtl.cycles,
                             find_part(export.part), export.clock_ns, monitor, options.hours * 3600,
                             memory_gb=options.memory_gb, again=options.again)]


def _by_vendor(directory: Path, export: manifest.Manifest, options: SynthesisOptions,
               monitor: Monitor) -> list[SynthesisReport]:
    vendor = VENDORS[options.tool]
    target = Target(directory, export, options.stage or vendor.stages[0], options.device)
    vendors.check(vendor, target)
    place = _Place(vendor, target, options, monitor)
    todo = vendor.steps(target, place.tool.name)
    for number, step in enumerate(todo, start=1):
        monitor.stage(f"{vendor.title}, {step.name.replace('_', ' ')}")
        place.run(step)
        monitor.progress(vendor.title, number, len(todo))
    found = vendors.results(vendor, target, place.tool.version)
    return [msgspec.structs.replace(one, seconds=place.seconds) for one in found]


class _Place:
    """Where the steps run: here, or on a host."""

    def __init__(self, vendor: Vendor, target: Target, options: SynthesisOptions, monitor: Monitor) -> None:
        self._vendor, self._target, self._options, self._monitor = vendor, target, options, monitor
        self._host = RemoteHost(options.host, options.setup, options.path) if options.host else None
        self._log = target.directory / "remote.log"
        self.tool = self._found()
        self.seconds = 0.0
        needed = options.disk_gb or vendor.disk_gb
        require_disk(target.directory, needed, vendor.title)
        if self._host is not None:
            self._host.require_disk(target.directory, needed, monitor, self._log)

    def _found(self) -> Tool:
        """The first of the vendor's programs that is there; raises ToolMissingError where none is."""
        if self._host is None and not self._options.setup:
            return _first_here(self._vendor, self._options.path)
        missing: ToolMissingError | None = None
        for program in self._vendor.programs:
            try:
                if self._host is not None:
                    return self._host.find(program, self._monitor, self._log)
                return find_after_setup(program, self._options.setup, self._options.path, self._monitor)
            except ToolMissingError as error:
                missing = missing or error
        assert missing is not None
        raise missing

    def run(self, step: steps.Step) -> None:
        """Run a step unless it is finished."""
        step = replace(step, settings={**step.settings, self.tool.name: self.tool.version})
        seconds = None if self._options.again else steps.seconds_of_finished(step)
        if seconds is None:
            steps.forget(step)
            step.log.unlink(missing_ok=True)
            seconds = self._run_here(step) if self._host is None else self._run_there(self._host, step)
            steps.mark_finished(step, seconds)
        else:
            self._monitor.log(f"{step.name}: finished before, not run again", "info", self._vendor.title)
        self.seconds += seconds

    def _run_here(self, step: steps.Step) -> float:
        folders = [str(Path(self.tool.path).parent), os.environ.get("PATH", "")]
        setup = self._options.setup
        return run_tool([*(sourced(setup) if setup else []), *step.command], step.directory, self._monitor,
                        name=self._vendor.title, log=step.log, limit_s=self._options.hours * 3600,
                        memory_gb=self._options.memory_gb,
                        environment={**os.environ, "PATH": os.pathsep.join(filter(None, folders))})

    def _run_there(self, host: RemoteHost, step: steps.Step) -> float:
        """Send the export, run the step, bring all back; also after a failure, for its logs."""
        directory, log = self._target.directory, self._log
        host.send(directory, self._monitor, log)
        folder = f"{host.folder_of(directory)}/{step.directory.relative_to(directory)}"
        try:
            seconds = host.run(step.command, step.directory, folder, self._monitor, log=step.log,
                               name=f"{self._vendor.title} on {host.name}", limit_s=self._options.hours * 3600,
                               memory_gb=self._options.memory_gb)
        except ToolFailedError:
            with suppress(QuantiscopeError):
                host.fetch(directory, self._monitor, log)
            raise
        host.fetch(directory, self._monitor, log)
        return seconds


def _first_here(vendor: Vendor, given: str) -> Tool:
    """The first of the vendor's programs that is on this machine; raises ToolMissingError where none is."""
    found = [find_tool(program, given) for program in vendor.programs]
    for tool in found:
        if tool.found:
            return tool
    install, where = found[0].install, f"in {given}" if given else "on the PATH"
    raise ToolMissingError(f"{vendor.title} was not found", f"{' or '.join(vendor.programs)} is not {where}",
                           install[0].upper() + install[1:])

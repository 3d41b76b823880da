"""Processes to be killed: a server that has TensorFlow loaded and forks a victim for each line it reads.

A line is a JSON object {"job", "project", "log"}. The victim does that job over and over; what it has been told to
be stored it writes to the log, one line each, before anything else. Nothing of TensorFlow runs before the fork.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import sys
from pathlib import Path

import msgspec

from core import requests, workflows
from core.candidate import Candidate
from core.events import CandidateDone, Event, Monitor
from core.loading import bring_in_tensorflow
from core.project import Project
from core.quant.recipe import uniform


class Log:
    """Lines that a killed process leaves behind, for they go to the kernel at once."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    def event(self, event: Event) -> None:
        if isinstance(event, CandidateDone):
            self.say("candidate", event.candidate.id, digest_of(event.candidate))


def digest_of(candidate: Candidate) -> str:
    """SHA-256 of all that is stored of a candidate but its weights, of which it holds the hash."""
    read = msgspec.json.decode(msgspec.json.encode(candidate), type=Candidate)  # 4 becomes 4.0
    return hashlib.sha256(msgspec.json.encode(read)).hexdigest()


def save(folder: str, log: Log) -> None:
    """Recipe, settings and the float evaluation, in turn."""
    with Project.open(folder) as project:
        first = int(project.settings.get("last", 0)) + 1
        evaluation = project.candidates()[0].evaluation
        for number in itertools.count(first):
            project.save_recipe(uniform(project.info, 2 + number % 8).renamed(f"r{number}"))
            project.save_settings({"last": number})
            project.save_float_evaluation(evaluation)
            log.say("saved", number)


def create(folder: str, log: Log) -> None:
    """Projects beside this one."""
    with Project.open(folder) as project:
        model, data = project.model_path, project.data_reference
    for number in itertools.count():
        with Project.create(Path(folder).parent / f"made {os.getpid()}-{number}", model, data) as made:
            log.say("made", made.folder.name)


def search(folder: str, log: Log) -> None:
    """The search that trains in this process."""
    request = requests.Search(project=folder, method="random", trials=100_000, epochs=1, workers=1)
    workflows.run(request, Monitor(log.event))


def staged(folder: str, log: Log) -> None:
    """The search with worker processes."""
    workflows.run(requests.Search(project=folder, trials=100_000, epochs=1, workers=1), Monitor(log.event))


def train(folder: str, log: Log) -> None:
    """One training after another."""
    with Project.open(folder) as project:
        recipe, taken = uniform(project.info, 6, 2), len(project.candidates())
    for seed in itertools.count(taken):
        workflows.run(requests.Train(project=folder, recipe=recipe, epochs=4, batch_size=128, seed=seed),
                      Monitor(log.event))


def _export(folder: str, log: Log, flow: str) -> None:
    for number in itertools.count():
        with Project.open(folder) as project:
            candidates = project.candidates()
            chosen = candidates[number % len(candidates)].id
        report = workflows.run(requests.Export(project=folder, candidate_id=chosen, flow=flow, events=20,
                                               synthesize=False), Monitor())
        log.say("exported", chosen, flow, report.created)


def export_rtl(folder: str, log: Log) -> None:
    """Verilog, proved by Verilator."""
    _export(folder, log, "rtl")


def export_hls(folder: str, log: Log) -> None:
    """The hls4ml project, proved by g++."""
    _export(folder, log, "hls4ml")


JOBS = {job.__name__: job for job in (save, create, search, staged, train, export_rtl, export_hls)}


def _reaped() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    bring_in_tensorflow()
    import core.search.compiled_trainer
    import core.search.engine
    import core.search.keras_trainer  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        _reaped()
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            log = Log(order["log"])
            try:
                JOBS[order["job"]](order["project"], log)
            except BaseException as error:
                log.say("failed", type(error).__name__, error)
            os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()

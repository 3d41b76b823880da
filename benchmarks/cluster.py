"""A search on a Dask cluster: candidates a second by 1, 2 and 4 workers, and what a thousand would be held up by.

    python benchmarks/cluster.py [--candidates 12] [--epochs 3] [--replayed 400]

Throughput: the jet tagger's candidates trained by worker processes of an encrypted cluster on this machine, timed when
every worker has compiled. Overheads, each by itself: a call that computes nothing, one at a time and many under way
(client and scheduler share a process here, so both are in it); results of a candidate's size; bytes of each message;
and the driver alone, which is handed the same result at once for every candidate it asks for, with SQLite. From these
follows how many workers can be kept busy. The result is printed and written to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
from _machine import CORES, heading, load, write

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import resources  # noqa: E402
from core.cluster_options import ClusterOptions  # noqa: E402
from core.events import Monitor  # noqa: E402
from core.model_io import inspect_model  # noqa: E402
from core.project import Project  # noqa: E402
from core.quant.recipe import Recipe  # noqa: E402
from core.requests import Search  # noqa: E402
from core.search import remote  # noqa: E402
from core.search.cluster import ClusterWorkers  # noqa: E402
from core.search.engine import Budget, setting  # noqa: E402
from core.search.loop import Loop  # noqa: E402
from core.search.space import build_space  # noqa: E402
from core.search.worker import Setup  # noqa: E402

RESULT = HERE / "results" / "cluster.txt"
MODEL = resources.path("models/jet_tagger.keras")
COUNTS = (1, 2, 4)
CALLS = 400
ALONE = 40
WINDOW = 100


def setup() -> Setup:
    """The jet tagger and its events, which ship with Quantiscope."""
    return Setup(str(MODEL), "jets", build_space(inspect_model(MODEL), Recipe()))


class Measured:
    """What came of the runs; `lines` is what is printed."""

    def __init__(self, candidates: int, epochs: int) -> None:
        self.candidates, self.epochs = candidates, epochs
        self.lines: list[str] = []
        self.seconds = self.call_s = self.result_s = self.computed_s = 0.0
        self.trained: Any = None
        self.space: Any = None

    def throughput(self, count: int) -> None:
        """Candidates a second by so many workers; the first run also measures calls."""
        started = time.perf_counter()
        with ClusterWorkers(setup(), ClusterOptions(start="local", jobs=count, memory_gb=0), Monitor()) as workers:
            workers.ready(Monitor())
            while workers.workers < count:
                workers.watch(Monitor())
                time.sleep(0.2)
            workers.settle()
            begun = time.perf_counter() - started
            self.space = workers.all("space", [()], Monitor())[0]
            rates = [self._rate(workers, run) for run in range(3)]
            rate = statistics.median(rates)
            self.lines.append(
                f"{count} workers: median {rate:.3f} candidates/s of {', '.join(f'{r:.3f}' for r in rates)}"
                f" ({self.epochs} epochs each, {self.candidates} a run); ready after {begun:.1f} s, load {load()}")
            if count == 1:
                self.seconds = 1 / rate
                self._overheads(workers)

    def _rate(self, workers: ClusterWorkers, run: int) -> float:
        random = np.random.default_rng(run)
        points = [{c.key: int(random.integers(len(c.options))) for c in self.space.choices}
                  for _ in range(self.candidates)]
        tasks = [(self.space.decode(point), 0, self.epochs, None, None) for point in points]
        start = time.perf_counter()
        self.trained = workers.all("train", tasks, Monitor())[-1]
        return self.candidates / (time.perf_counter() - start)

    def _overheads(self, workers: ClusterWorkers) -> None:
        alone = statistics.median(self._timed(lambda: workers.submit("facts").result()) for _ in range(ALONE))
        start, used = time.perf_counter(), time.process_time()
        wait([workers.submit("facts") for _ in range(CALLS)])
        self.call_s = (time.perf_counter() - start) / CALLS
        call_cpu = (time.process_time() - used) / CALLS
        kept = workers.kept(self.trained)
        kept.result()
        start, used = time.perf_counter(), time.process_time()
        asked = [workers._client.submit(remote.same, kept, pure=False) for _ in range(CALLS)]
        for one in asked:
            one.result()
        self.result_s = (time.perf_counter() - start) / CALLS
        result_cpu = (time.process_time() - used) / CALLS
        self.computed_s = call_cpu + result_cpu
        self.lines += [
            f"a call that computes nothing: {1e3 * alone:.1f} ms when it is alone; {1e3 * self.call_s:.2f} ms each of"
            f" {CALLS} under way, of which client and scheduler compute {1e3 * call_cpu:.2f} ms",
            f"a result of a candidate's size: {1e3 * self.result_s:.2f} ms each, {1e3 * result_cpu:.2f} ms computed"]

    @staticmethod
    def _timed(work: Any) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def bytes(self) -> None:
        """Sizes of what is sent, as pickled."""
        made = setup()
        hashes = remote.hashes_of(made)
        recipe = self.space.decode({c.key: 0 for c in self.space.choices})
        once = len(pickle.dumps(remote.Parcel("0" * 64, made, hashes), 5))
        files = sum(len(data) for _, data in remote.files_of(made, hashes).values())
        asked = len(pickle.dumps(("train", recipe, 0, self.epochs, None, None), 5))
        given = len(pickle.dumps(self.trained, 5))
        self.lines.append(
            f"bytes: {once:,} once a worker, {files:,} more where it does not see the model; {asked:,} to ask for a"
            f" candidate, {given:,} back")


class Replay:
    """A crew that gives one result for every task, at once, as if `workers` trained in no time."""

    ordered = False

    times: list[tuple[float, float]]

    def __init__(self, trained: Any, workers: int) -> None:
        self.trained, self.workers, self.ahead, self.times = trained, workers, max(1, workers // 8), []

    def each(self, call: str, tasks: Any, monitor: Monitor) -> Iterator[tuple[Any, Any]]:
        waiting, running = iter(tasks), []
        while True:
            while len(running) < self.workers + self.ahead:
                task = next(waiting, False)
                if not task:
                    break
                running.append(task[0])
            if not running:
                return
            self.times.append((time.perf_counter(), time.process_time()))
            yield running.pop(0), self.trained

    def all(self, call: str, arguments: Any, monitor: Monitor) -> list[Any]:
        raise NotImplementedError(call)


def driver(trained: Any, space: Any, count: int, method: str) -> tuple[float, float, float]:
    """Seconds a candidate of the driver alone: asked, priced, stored, told; of the first and the last ones, and CPU
    seconds of the last."""
    with tempfile.TemporaryDirectory() as folder, Project.create(Path(folder) / "p", MODEL, "jets") as project:
        request = Search(project=str(project.folder), method=method, trials=count, epochs=3)
        crew = Replay(trained, 1000)
        Loop(project, request, Monitor(), Budget(count, None), setting(project, request, space), crew,
             {"learning_rate": 0.0, "batch_size": 0.0}).run()
    steps = np.diff(crew.times, axis=0)
    return float(np.mean(steps[:WINDOW, 0])), float(np.mean(steps[-WINDOW:, 0])), float(np.mean(steps[-WINDOW:, 1]))


def told(measured: Measured, drivers: dict[str, tuple[float, float, float]]) -> list[str]:
    """How many workers one driver keeps busy."""
    calls = measured.call_s + measured.result_s
    lines = []
    for method, (first, last, cpu) in drivers.items():
        each = calls + last
        lines.append(
            f"{method}: {1e3 * last:.1f} ms of the driver a candidate at the end ({1e3 * cpu:.1f} ms of it computed;"
            f" {1e3 * first:.1f} ms at the start)"
            f" and {1e3 * calls:.1f} ms of calls ({1e3 * measured.computed_s:.1f} ms computed): at most {1 / each:.0f}"
            f" candidates/s under this load, {1 / (cpu + measured.computed_s):.0f} if it never waited")
        for seconds in (measured.seconds, 60.0, 600.0):
            lines.append(f"  candidates of {seconds:.1f} s: {seconds / each:,.0f} workers are kept busy;"
                         f" 1,000 workers give {min(1000 / seconds, 1 / each):.1f}/s,"
                         f" {min(1.0, seconds / each / 1000):.0%} of what they could")
    return lines


def main() -> None:
    """Print what was measured and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--replayed", type=int, default=400)
    parser.add_argument("--result", type=Path, default=RESULT, help="the file that is written")
    arguments = parser.parse_args()
    measured = Measured(arguments.candidates, arguments.epochs)
    lines = [heading()]
    for count in COUNTS:
        measured.throughput(count)
    measured.bytes()
    lines += [*measured.lines, f"these {CORES} cores are shared by workers, driver and scheduler"]
    drivers = {method: driver(measured.trained, measured.space, arguments.replayed, method)
               for method in ("random", "nsga2")}
    write([*lines, *told(measured, drivers)], arguments.result)


if __name__ == "__main__":
    main()

"""Gives hostile inputs to every reader of Quantiscope and prints what came of them; exit code 1 on any finding.

    .venv/bin/python scripts/fuzz.py [--inputs 100000] [--seed TEXT] [--target NAME] [--build 200] [--keep FOLDER]
        [--jobs 2]
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fuzz.driver import Tally, fuzz, plan
from tests.fuzz.targets import BUILD


def row(tally: Tally) -> str:
    """One line of the table."""
    return (f"{tally.target:38} {tally.engine:10} {tally.inputs:7} {tally.refused:8} {tally.accepted:8}"
            f" {tally.guarded:7} {tally.grown_mib:6} {tally.seconds:7.0f} {len(tally.findings):8}")


def main() -> int:
    """Run all targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="how many over all readers")
    parser.add_argument("--build", type=int, default=200, help="further ones that Keras is to build")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--target", default="", help="this reader alone")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="folder for inputs with findings")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="readers at a time")
    options = parser.parse_args()
    print(f"{'reader':38} {'engine':10} {'inputs':>7} {'refused':>8} {'accepted':>8} {'guarded':>7} {'MiB':>6}"
          f" {'seconds':>7} {'findings':>8}")
    jobs = list(plan(options.inputs, options.target))
    if not options.target and options.build:
        jobs.append((BUILD, "mutation", options.build))
    tallies = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for done in as_completed([pool.submit(fuzz, *job, options.seed, options.keep) for job in jobs]):
            tallies.append(done.result())
            print(row(tallies[-1]), flush=True)
            for finding in tallies[-1].findings:
                print("   ", finding, flush=True)
    findings = sum(len(tally.findings) for tally in tallies)
    print(f"{sum(t.inputs for t in tallies)} inputs: {sum(t.refused for t in tallies)} refused in a sentence,"
          f" {sum(t.accepted for t in tallies)} accepted, {sum(t.guarded for t in tallies)} stopped by the guard of"
          f" HDF5; {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

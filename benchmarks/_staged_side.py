"""Our staged search as a user starts it, in a process of its own: one JSON line a candidate, with when it was told.

    python _staged_side.py FOLDER SECONDS SEED STARTED

STARTED is the time.time() at which the process was asked for, so that start-up counts.
"""

import json
import sys
import time
from pathlib import Path

from _machine import cpu_seconds

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> None:
    """Search, and print."""
    import resources
    from core import workflows
    from core.events import CandidateDone, LogLine, Monitor
    from core.requests import Search

    folder, seconds, seed, started = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])

    print(json.dumps({"seconds": time.time() - started, "imported": True}), flush=True)

    def tell(event: object) -> None:
        at = time.time() - started
        if isinstance(event, CandidateDone):
            candidate = event.candidate
            print(json.dumps({"seconds": at, "cpu_seconds": cpu_seconds(), "accuracy": candidate.evaluation.accuracy,
                              "kind": candidate.evaluation.kind, "energy": candidate.costs.energy_pj,
                              "epochs": candidate.training["epochs"]}), flush=True)
        elif isinstance(event, LogLine):
            print(json.dumps({"seconds": at, "log": event.text}), flush=True)

    with workflows.create_project(folder, resources.path("models/jet_tagger.keras"), "jets") as project:
        workflows.run(Search(project=str(project.folder), seconds=seconds, seed=seed),
                      Monitor(tell, cancelled=lambda: time.time() - started > seconds))


if __name__ == "__main__":
    main()

"""Our gradient search as a user starts it, in a process of its own: one JSON line a candidate, with when it was told.

    python _gradient_side.py FOLDER SEED STARTED

STARTED is the time.time() at which the process was asked for, so that start-up counts. The project stays in FOLDER.
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> None:
    """Search with the defaults, and print."""
    import resources
    from core import workflows
    from core.events import CandidateDone, LogLine, Monitor
    from core.requests import Search
    from core.search.methods import METHODS

    folder, seed, started = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

    def tell(event: object) -> None:
        at = {"seconds": time.time() - started, "cpu_seconds": sum(os.times()[:4])}
        if isinstance(event, CandidateDone):
            candidate = event.candidate
            print(json.dumps({**at, "id": candidate.id, "accuracy": candidate.evaluation.accuracy,
                              "ebops": candidate.costs.ebops, "energy": candidate.costs.energy_pj,
                              "epochs": candidate.training["epochs"], "lane": candidate.training["lane"]}), flush=True)
        elif isinstance(event, LogLine):
            print(json.dumps({**at, "log": event.text}), flush=True)

    with workflows.create_project(folder, resources.path("models/jet_tagger.keras"), "jets") as project:
        workflows.run(Search(project=str(project.folder), method="gradient", seed=seed,
                             epochs=METHODS["gradient"].epochs), Monitor(tell))
    print(json.dumps({"seconds": time.time() - started, "cpu_seconds": sum(os.times()[:4])}), flush=True)


if __name__ == "__main__":
    main()

"""Draws a project's pictures from the application's own views: `python -m app.render PROJECT CANDIDATE FOLDER`.

Holds Qt and no TensorFlow; with QT_QPA_PLATFORM=offscreen it needs no display. Exit code 0, or 1 with a
sentence on stderr.
"""

from __future__ import annotations

import sys
from pathlib import Path

from core.errors import QuantiscopeError

#: width and height of a single plot
PLOT_SIZE = (900, 620)


def render(project: Path, candidate_id: str, folder: Path) -> None:
    """Write front.png, roc.png and window.png of a project with one candidate selected.

    Raises:
        QuantiscopeError: the project cannot be opened, or a picture cannot be written.
    """
    from app import application
    from app.jobs.runner import JobRunner
    from app.session import Session
    from app.views.pareto_plot import ParetoPlot
    from app.views.roc_plot import RocPlot

    application.create_application()
    session = Session(JobRunner())
    problems: list[QuantiscopeError] = []
    session.errorRaised.connect(problems.append)
    try:
        if not session.open_project(project, warm=False):
            raise problems[0]
        session.select_candidate(candidate_id)
        for view, name in ((ParetoPlot, "front.png"), (RocPlot, "roc.png")):
            plot = view(session)
            plot.resize(*PLOT_SIZE)
            plot.show()
            plot.redraw()
            application.process_events()
            plot.save(folder / name)
            plot.close()
        application.render_window(session, folder / "window.png")
    finally:
        session.close()


def main() -> int:
    """Entry point of the drawing process."""
    if len(sys.argv) != 4:
        print("Usage: python -m app.render PROJECT CANDIDATE FOLDER", file=sys.stderr)
        return 1
    try:
        render(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    except QuantiscopeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

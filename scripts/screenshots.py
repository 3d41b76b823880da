"""Pictures of the real window for the documentation: `python scripts/screenshots.py FOLDER [--project P] [--budget S]`.

Opens the demo (or a project given), lets the real worker search and export through the window's own buttons
unless the project has candidates and exports already, and saves every view in light and dark. Needs no display
with QT_QPA_PLATFORM=offscreen; `make screenshots` does that.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SIZE = (1440, 900)
START_S, EXPORT_S = 180, 900
THEMES = ("light", "dark")
PAGES = ("welcome", "layers", "search", "compare", "export")


def main() -> int:
    """Entry point; 0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(description="Pictures of the window for the documentation.")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--project", type=Path, help="a project to show instead of the demo")
    parser.add_argument("--pages", nargs="*", choices=PAGES, default=list(PAGES),
                        help="only these; layers and welcome need no search and no export")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for the demo's search")
    arguments = parser.parse_args()
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as home:
        os.environ["QUANTISCOPE_HOME"] = home  # neither the user's settings nor the user's demo
        return take(arguments.folder, arguments.project, arguments.budget, arguments.pages)


def take(folder: Path, project: Path | None, budget: float, pages: list[str]) -> int:
    """Drive the window and save what it shows."""
    from app import application, theme

    application.create_application()
    parts = application.Application()
    window, session = parts.window, parts.session
    problems: list[object] = []
    session.errorRaised.connect(problems.append)
    try:
        window.resize(*SIZE)
        window.show()
        folder.mkdir(parents=True, exist_ok=True)
        for mode in THEMES if "welcome" in pages else ():
            theme.manager().set_mode(mode)
            shoot(window, folder / f"welcome-{mode}.png")
        opened = session.open_project(project) if project else session.open_demo()
        if not opened or not evaluate(window, session) or not work(window, session, budget, pages):
            print(problems[0] if problems else "The demo did not come to its end in time.", file=sys.stderr)
            return 1
        for mode in THEMES:
            theme.manager().set_mode(mode)
            if "layers" in pages:
                layers(window, folder, mode)
            views(window, folder, mode, pages)
    finally:
        parts.close()
        window.close()
    return 0


def evaluate(window, session) -> bool:  # type: ignore[no-untyped-def]
    """Let the worker evaluate the recipe, and measure its sensitivities by the page's button."""
    if not wait(lambda: session.float_evaluation is not None and session.evaluation is not None, START_S):
        return False
    if not session.analysis.sensitivities:
        window.layers.measure.click()
    return wait(lambda: not session.analysis.measuring, START_S)


def work(window, session, budget: float, pages: list[str]) -> bool:  # type: ignore[no-untyped-def]
    """Search, choose and export by the window's own controls, as far as that was not done before."""
    from core.search.front import best_tradeoff

    if not {"search", "compare", "export"} & set(pages):
        return True
    if not session.candidates:
        window.show_search()
        window.search.panel.seconds.setValue(budget)
        window.search.panel.start.click()
        wait(lambda: session.search_state == "idle", budget + START_S)
    chosen = best_tradeoff(session.candidates.values(), session.float_evaluation.accuracy)
    if chosen is None:
        return False
    session.select_candidate(chosen.id)
    if session.exports or "export" not in pages:
        return True
    window.show_export()
    window.export.start.click()
    return wait(lambda: bool(session.exports), EXPORT_S)


def layers(window, folder: Path, mode: str) -> None:  # type: ignore[no-untyped-def]
    """The Layers page at a kernel, and at an activation after an edit that saturates it."""
    from app.models.layer_table import QUANTIZER_ROLE

    window.show_layers()
    page, table = window.layers, window.layers.table
    table.show_layer("fc2" if table.layers.row_of("fc2") >= 0 else table.layers.layer(1).name)
    shoot(window, folder / f"layers-{mode}.png")
    cells = (table.shown.index(row, column) for row in range(table.shown.rowCount())
             for column in range(table.shown.columnCount()))
    place = next((cell for cell in cells if cell.data(QUANTIZER_ROLE) == ("relu1", "output")), None)
    if place is None:
        return
    table.setCurrentIndex(place)
    table.layers.set_quantizers({("relu1", "output"): "quantized_relu(4,1)", ("fc2", "kernel"): "ternary()",
                                 ("fc1", "bias"): "quantized_bits(12,0,alpha=1)"})
    wait(lambda: "saturate" in page.values.summary.text() and "computing" not in page.cards.accuracy.remark.text(),
         START_S)
    shoot(window, folder / f"layers-edit-{mode}.png")
    window.actions_by_name["undo"].trigger()


def views(window, folder: Path, mode: str, pages: list[str]) -> None:  # type: ignore[no-untyped-def]
    """The other pages and the two plots of the search in one theme."""
    window.search.pareto.published.setChecked(True)
    for show, name in ((window.show_search, "search"), (window.show_compare, "compare"),
                       (window.show_export, "export")):
        if name in pages:
            if name == "compare":
                window.compare.from_front.click()
            show()
            if name == "export":
                wait(lambda: not window.export.check.computing, START_S)
            shoot(window, folder / f"{name}-{mode}.png")
            window.compare.clear.click()
    if "search" in pages:
        search(window, folder, mode)


def search(window, folder: Path, mode: str) -> None:  # type: ignore[no-untyped-def]
    """The space of the search layer by layer, and its two plots."""
    window.show_search()
    space = window.search.panel.space
    space.show_dialog()
    window.search.panel.check()
    settle()
    space.dialog.grab().save(str(folder / f"space-{mode}.png"))
    space.dialog.close()
    page = window.search
    page.beside.setCurrentWidget(page.importance)
    wait(lambda: bool(page.importance.found), START_S)
    for plot, name in ((page.pareto, "front"), (page.roc, "roc"), (page.history, "progress"),
                       (page.importance, "importance")):
        if plot is not page.pareto:
            page.beside.setCurrentWidget(plot)
        settle()
        plot.save(folder / f"{name}-{mode}.png")
    page.beside.setCurrentWidget(page.roc)


def shoot(window, path: Path) -> None:  # type: ignore[no-untyped-def]
    """Save the window as it is seen."""
    window.resize(*SIZE)
    settle()
    if not window.grab().save(str(path)):
        raise OSError(f"{path} cannot be written")
    print(path)


def wait(done: Callable[[], bool], seconds: float) -> bool:
    """Let the window run until `done`; False when the time is over first."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        settle(0.05)
    return done()


def settle(seconds: float = 0.4) -> None:
    """Let Qt lay out, and timers draw."""
    from PySide6.QtTest import QTest

    QTest.qWait(int(1000 * seconds))


if __name__ == "__main__":
    sys.exit(main())

"""ROC of every class against the rest: the float model dashed, the selected candidate (or the recipe) solid."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from app import theme
from app.session import Session
from app.views.plot_base import LogAxis, Plot, Table
from core.candidate import Evaluation

#: background efficiencies below this are not drawn: too few events
FLOOR = 1e-3
EMPTY = "The ROC curves appear as soon as the model has been evaluated."


class RocPlot(Plot):
    """Horizontal: signal efficiency. Vertical, logarithmic: background efficiency; lower is better."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("roc_plot", "ROC", {"left": LogAxis("left")}, parent)
        self._session = session
        self.item.setLabel("bottom", "Signal efficiency")
        self.item.setLabel("left", "Background efficiency")
        self.item.setXRange(0, 1, padding=0.01)
        self.item.setYRange(np.log10(FLOOR), 0, padding=0.01)
        self.legend.setOffset((70, 10))
        self._drawn: list[tuple[str, Evaluation]] = []
        for signal in (session.projectChanged, session.selectionChanged, session.evaluationChanged):
            signal.connect(self.redraw)
        session.candidateAdded.connect(self._on_candidate)
        self.apply_theme()
        self.redraw()

    def _on_candidate(self, candidate: object) -> None:
        if getattr(candidate, "id", None) == self._session.selected_id:
            self.redraw()

    def redraw(self) -> None:
        """Draw what the session holds now."""
        self.item.clear()
        self.legend.clear()
        session = self._session
        shown, label = (session.selected.evaluation, session.selected.id) if session.selected is not None else (
            session.evaluation, "the recipe, not trained")
        floats = session.float_evaluation
        self._drawn = [(name, e) for name, e in ((label, shown), ("float", floats)) if e is not None]
        colours = theme.tokens()
        classes = list(dict.fromkeys(name for _, e in self._drawn for name in e.roc))
        for number, name in enumerate(classes):
            colour = colours.series[number % len(colours.series)]
            if floats is not None and name in floats.roc:
                self._curve(floats, name, self.pen(colour, 1, Qt.PenStyle.DashLine))
            if shown is not None and name in shown.roc:
                curve = self._curve(shown, name, self.pen(colour, 2))
                self.legend.addItem(curve, f"{name}  AUC {_area(shown, name)}{_float_area(floats, name)}")
        self.title.setText(f"ROC of {label}" + (", float model dashed" if floats else "") if shown else "ROC")
        self.show_empty("" if self._drawn else EMPTY)

    def _curve(self, evaluation: Evaluation, name: str, pen: object) -> pg.PlotDataItem:
        fpr, tpr = (np.asarray(values, float) for values in evaluation.roc[name])
        seen = fpr >= FLOOR / 2
        curve = pg.PlotDataItem(tpr[seen], np.log10(fpr[seen]), pen=pen, antialias=True)
        self.item.addItem(curve)
        return curve

    def table(self) -> Table:
        """One row a point of a curve, true values."""
        rows = [(which, name, fpr, tpr) for which, evaluation in self._drawn
                for name, (fprs, tprs) in evaluation.roc.items() for fpr, tpr in zip(fprs, tprs, strict=True)]
        return Table(("model", "class", "background_efficiency", "signal_efficiency"), tuple(rows))


def _area(evaluation: Evaluation, name: str) -> str:
    error = evaluation.auc_error.get(name)
    return f"{evaluation.auc[name]:.4f}" + (f" ± {error:.4f}" if error else "")


def _float_area(floats: Evaluation | None, name: str) -> str:
    return f"   (float {floats.auc[name]:.4f})" if floats is not None and name in floats.auc else ""

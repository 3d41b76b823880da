"""ROC of every class against the rest: the float model dashed, the selected candidate or the recipe solid."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt
from PySide6.QtWidgets import QWidget

from app import theme
from app.session import Session
from app.views.plot_base import LogAxis, Plot
from app.views.plot_export import Table
from core.candidate import Candidate, Evaluation

#: background efficiencies below this are not drawn: too few events
FLOOR = 1e-3
#: share of the plot's height around a curve within which it is meant
REACH = 0.04
#: width to height from which the legend stands beside the curves
WIDE = 1.7
EMPTY = "The ROC curves appear as soon as the model has been evaluated."


class RocPlot(Plot):
    """Horizontal: signal efficiency. Vertical, logarithmic: background efficiency; lower is better.

    Args:
        of_recipe: follow the recipe being edited; else the selected candidate, the recipe while there is none.
    """

    def __init__(self, session: Session, parent: QWidget | None = None, of_recipe: bool = False) -> None:
        super().__init__("recipe_roc_plot" if of_recipe else "roc_plot", "ROC", {"left": LogAxis("left")}, parent)
        self._session = session
        self._of_recipe = of_recipe
        self._beside = False
        self.item.setLabel("bottom", "Signal efficiency")
        self.item.setLabel("left", "Background efficiency")
        self._drawn: list[tuple[str, Evaluation]] = []
        self.failed.connect(session.errorRaised)
        for signal in (session.projectChanged, session.selectionChanged, session.evaluationChanged):
            signal.connect(self.redraw)
        session.candidateAdded.connect(self._on_candidate)
        self.apply_theme()
        self.show_all()
        self.redraw()

    def show_all(self) -> None:
        """The whole square, down to the floor."""
        self.item.setXRange(0, 1, padding=0.01)
        self.item.setYRange(np.log10(FLOOR), 0, padding=0.01)

    def resizeEvent(self, event: object) -> None:
        """Draw again where the legend changes its place."""
        super().resizeEvent(event)
        if self._beside != self._is_wide():
            self.redraw()

    def _is_wide(self) -> bool:
        return self.widget.width() > WIDE * self.widget.height()

    def _place_legend(self) -> None:
        """Beside a wide plot, where it covers no curve; else in the corner that curves reach last."""
        beside = self._beside
        width = self.legend.boundingRect().width() + 8 if beside and self.legend.isVisible() else 0
        self.item.setContentsMargins(2, 8, 18 + width, 2)
        self.legend.setParentItem(self.item if beside else self.box)
        corner = (1, 0) if beside else (0, 0)
        self.legend.anchor(corner, corner, offset=(-6, 8) if beside else (14, 12))

    def _on_candidate(self, candidate: Candidate) -> None:
        if candidate.id == self._session.selected_id:
            self.redraw()

    def redraw(self) -> None:
        """Draw what the session holds now."""
        self.item.clear()
        self.legend.clear()
        self._beside = self._is_wide()
        session = self._session
        chosen = None if self._of_recipe else session.selected
        shown, label = (chosen.evaluation, chosen.id) if chosen is not None else (
            session.evaluation, "the recipe, not trained")
        floats = session.float_evaluation
        self._drawn = [(name, e) for name, e in ((label, shown), ("float", floats)) if e is not None and e.roc]
        colours = theme.tokens()
        classes = list(dict.fromkeys(name for _, e in self._drawn for name in e.roc))
        for number, name in enumerate(classes):
            colour = colours.series[number % len(colours.series)]
            dashed = None
            if floats is not None and name in floats.roc:
                dashed = self._curve(floats, name, self.pen(colour, 1, Qt.PenStyle.DashLine))
            if shown is not None and name in shown.roc:
                curve = self._curve(shown, name, self.pen(colour, 2))
                # inside the plot there is no room for both
                against = _float_area(floats, name) if self._beside else ""
                self.legend.addItem(curve, f"{name}: AUC {_area(shown, name)}{against}")
            elif dashed is not None and floats is not None:
                self.legend.addItem(dashed, f"{name}: AUC {_area(floats, name)}")
        self.legend.setVisible(bool(classes))
        self.title.setText(_title(label if shown is not None else "", floats is not None))
        self.show_empty("" if self._drawn else EMPTY)
        self._place_legend()

    def _curve(self, evaluation: Evaluation, name: str, pen: object) -> pg.PlotCurveItem:
        fpr, tpr = (np.asarray(values, float) for values in evaluation.roc[name])
        seen = fpr >= FLOOR / 10
        # monotone, so antialiasing costs nothing
        curve = pg.PlotCurveItem(tpr[seen], np.log10(fpr[seen]), pen=pen, antialias=True)
        self.item.addItem(curve)
        return curve

    def readout(self, at: QPointF) -> str:
        """The curve nearest to the pointer at this signal efficiency."""
        height = self.box.viewRange()[1][1] - self.box.viewRange()[1][0]
        nearest = (REACH * height, "")
        for label, evaluation in self._drawn:
            for name, (fprs, tprs) in evaluation.roc.items():
                background = float(np.interp(at.x(), tprs, fprs))
                distance = abs(np.log10(max(background, 1e-12)) - at.y())
                if distance < nearest[0]:
                    rejection = 1 / background if background else float("inf")
                    nearest = (distance, f"{name} ({label}): signal efficiency {at.x():.3f},"
                                         f" background {background:.4f}, rejection {rejection:.1f}")
        return nearest[1]

    def table(self) -> Table:
        """One row a point of a curve, true values."""
        rows = [(which, name, fpr, tpr) for which, evaluation in self._drawn
                for name, (fprs, tprs) in evaluation.roc.items() for fpr, tpr in zip(fprs, tprs, strict=True)]
        return Table(("model", "class", "background_efficiency", "signal_efficiency"), tuple(rows))


def _title(label: str, floats: bool) -> str:
    if label:
        return f"ROC of {label}" + ("; float model dashed" if floats else "")
    return "ROC of the float model" if floats else "ROC"


def _area(evaluation: Evaluation, name: str) -> str:
    error = evaluation.auc_error.get(name)
    return f"{evaluation.auc[name]:.4f}" + (f" ± {error:.4f}" if error else "")


def _float_area(floats: Evaluation | None, name: str) -> str:
    return f" (float {floats.auc[name]:.4f})" if floats is not None and name in floats.auc else ""

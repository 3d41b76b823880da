"""ROC curves: one candidate with a colour a class, or several overlaid, with a working point to read them at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, QPointF, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QLabel, QWidget

from app import theme
from app.inspection import compared_colour
from app.session import Session
from app.views.plot_base import LogAxis, Plot
from app.views.plot_export import Table
from core.candidate import Candidate, Evaluation
from core.metrics import background_efficiency, background_rejection

#: background efficiencies below this are not drawn: too few events
FLOOR = 1e-3
#: share of the plot's height around a curve within which it is meant
REACH = 0.04
#: width to height from which the legend stands beside the curves
WIDE = 2.0
#: pixels of width below which the legend is kept short; its tool tips then tell the errors
NARROW = 460
#: pixels beside the legend, for rejections of one digit more
SPARE = 20
EVERY = ""
EMPTY = "The ROC curves appear as soon as the model has been evaluated."
NO_ROC = "No ROC: the model does not tell classes apart."
NOTHING_CHOSEN = "Add candidates to compare, and their ROC curves appear here."
SOURCE = ("\u00b1 is the standard error of the area by Hanley and McNeil, Radiology 143 (1982) 29;\n"
          "rejection is one over the background efficiency at the working point.")
STEPS = {Qt.Key.Key_Right: 0.01, Qt.Key.Key_Left: -0.01, Qt.Key.Key_PageUp: 0.1, Qt.Key.Key_PageDown: -0.1}
STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashDotLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotDotLine)
RECIPE, FLOAT = "the recipe, not trained", "float"


@dataclass(frozen=True)
class Shown:
    """One model on the plot; `reference` is drawn thin and dashed."""

    label: str
    evaluation: Evaluation
    colour: str = ""
    reference: bool = False


class RocPlot(Plot):
    """Horizontal: signal efficiency. Vertical, logarithmic: background efficiency; lower is better.

    The upright line is the working point: drag it, or use the arrow keys.

    Args:
        of_recipe: follow the recipe being edited; else the selected candidate, the recipe while there is none.
        of_compared: show the candidates that are compared, one colour each, of one class at a time.
    """

    def __init__(self, session: Session, parent: QWidget | None = None, of_recipe: bool = False,
                 of_compared: bool = False) -> None:
        name = "compare_roc_plot" if of_compared else "recipe_roc_plot" if of_recipe else "roc_plot"
        super().__init__(name, "ROC", {"left": LogAxis("left")}, parent)
        self._session = session
        self._of_recipe, self._of_compared = of_recipe, of_compared
        self._beside = False
        self._layout = (False, False)
        self._drawn: list[Shown] = []
        self._curves: list[pg.PlotCurveItem] = []
        self._entries: list[tuple[pg.PlotCurveItem, str, Evaluation, str]] = []
        self.item.setLabel("bottom", "Signal efficiency")
        self.item.setLabel("left", "Background efficiency")
        self._make_controls(name)
        self._make_cursor()
        self.failed.connect(session.errorRaised)
        for signal in (session.projectChanged, session.selectionChanged, session.evaluationChanged,
                       session.inspection.comparedChanged):
            signal.connect(self._follow)
        session.inspection.workingPointChanged.connect(self._on_working_point)
        session.candidateAdded.connect(self._on_candidate)
        self.apply_theme()
        self.show_all()
        self.redraw()

    def _make_controls(self, name: str) -> None:
        self.which = QComboBox(self, objectName=f"{name}_class", toolTip="The class whose curves are shown")
        self.which.setAccessibleName("Class shown")
        self.which.currentIndexChanged.connect(self.redraw)
        label = QLabel("Working point", self, objectName=f"{name}_working_label")
        theme.set_role(label, "muted")
        self.working = QDoubleSpinBox(self, objectName=f"{name}_working", minimum=0.001, maximum=0.999, decimals=3,
                                      singleStep=0.01, keyboardTracking=False,
                                      toolTip="Signal efficiency at which the backgrounds are read")
        self.working.setAccessibleName("Working point, signal efficiency")
        self.working.setValue(self._session.inspection.working_point)
        self.working.valueChanged.connect(self._session.inspection.set_working_point)
        label.setBuddy(self.working)
        for widget in (self.which, label, self.working):
            self.controls.addWidget(widget)
        self.controls.addStretch(1)

    def _make_cursor(self) -> None:
        self._cursor = pg.InfiniteLine(self._session.inspection.working_point, angle=90, movable=True, bounds=(0, 1))
        self._cursor.setZValue(10)
        self._cursor.sigDragged.connect(self._on_dragged)
        self.item.addItem(self._cursor, ignoreBounds=True)
        self.widget.installEventFilter(self)

    def show_all(self) -> None:
        """The whole square, down to the floor."""
        self.item.setXRange(0, 1, padding=0.01)
        self.item.setYRange(np.log10(FLOOR), 0, padding=0.01)

    def resizeEvent(self, event: object) -> None:
        """Draw again where the legend changes its place."""
        super().resizeEvent(event)
        if self.isVisible():
            self._on_layout()

    def _on_layout(self) -> None:
        if self._layout != (self._is_wide(), self._narrow):
            self.redraw()

    def _is_wide(self) -> bool:
        return self.widget.width() > WIDE * self.widget.height()

    @property
    def _narrow(self) -> bool:
        return self.widget.width() < NARROW

    def _place_legend(self) -> None:
        """Beside a wide plot, where it covers no curve; else in the corner that curves reach last."""
        beside = self._beside
        width = self.legend.boundingRect().width() + SPARE if beside and self.legend.isVisible() else 0
        self.item.setContentsMargins(2, 8, 18 + width, 2)
        self.item.setGeometry(self.widget.range)  # wide margins may have made it wider than the canvas for good
        self.legend.setParentItem(self.item if beside else self.box)
        corner = (1, 0) if beside else (0, 0)
        self.legend.anchor(corner, corner, offset=(-6, 8) if beside else (14, 12))

    # -- what is shown -----------------------------------------------------------------------------

    def _follow(self) -> None:
        """Draw what changed; a plot that is not seen waits until it is."""
        models = self._models()
        if self.isVisible() and (models != self._drawn or not models):
            self.redraw()

    def showEvent(self, event: object) -> None:
        """Catch up."""
        super().showEvent(event)  # type: ignore[arg-type]
        self._follow()
        self._on_layout()

    def _on_candidate(self, candidate: Candidate) -> None:
        if candidate.id == self._session.selected_id or candidate.id in self._session.inspection.compared:
            self.redraw()

    def _models(self) -> list[Shown]:
        """Every model to show; the float model last."""
        session = self._session
        compared = [key for key in session.inspection.compared if key in session.candidates]
        floats = session.float_evaluation
        reference = [Shown(FLOAT, floats, theme.tokens().plot_foreground, True)] if floats is not None else []
        chosen = None if self._of_recipe else session.selected
        if self._of_compared:
            found = [Shown(key, session.candidates[key].evaluation, compared_colour(number))
                     for number, key in enumerate(compared)]
            reference = reference if found else []
        elif chosen is not None:
            found = [Shown(chosen.id, chosen.evaluation)]
        else:
            found = [Shown(RECIPE, session.evaluation)] if session.evaluation is not None else []
        return [model for model in (*found, *reference) if model.evaluation.roc]

    def _fill_classes(self) -> list[str]:
        """Offer the classes there are; the one in force stays where it can."""
        classes = list(dict.fromkeys(name for model in self._drawn for name in model.evaluation.roc))
        offered = classes if self._of_compared else [EVERY, *classes]
        if [self.which.itemData(row) for row in range(self.which.count())] != offered:
            wanted = self.which.currentData()
            blocked = self.which.blockSignals(True)
            self.which.clear()
            for name in offered:
                self.which.addItem(f"Class {name}" if name else "All classes", name)
            self.which.setCurrentIndex(max(self.which.findData(wanted), 0))
            self.which.blockSignals(blocked)
        chosen = self.which.currentData()
        return classes if not chosen else [chosen]

    # -- drawing -----------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Draw what the session holds now."""
        for curve in self._curves:
            self.item.removeItem(curve)
        self._curves, self._entries = [], []
        self._layout = self._is_wide(), self._narrow
        self._beside = self._layout[0]
        self._drawn = self._models()
        classes = self._fill_classes()
        series = theme.tokens().series
        for number, name in enumerate(classes):
            self._draw_class(name, series[number % len(series)], len(classes) > 1)
        self._paint_cursor()
        self._show_text()
        self._fill_legend()

    def _draw_class(self, name: str, colour: str, several: bool) -> None:
        """The curves of one class; colours tell classes apart, or models where one class is shown."""
        for number, model in enumerate(self._drawn):
            if name not in model.evaluation.roc:
                continue
            ink = model.colour if model.colour and not several else colour
            style = Qt.PenStyle.DashLine if model.reference else STYLES[0 if several else number % len(STYLES)]
            curve = self._curve(model.evaluation, name, self.pen(ink, 1 if model.reference else 2, style))
            if not several:
                self._entries.append((curve, model.label, model.evaluation, name))
            elif all(entry[3] != name for entry in self._entries):  # one entry a class, of the first model
                self._entries.append((curve, name, model.evaluation, name))

    def _curve(self, evaluation: Evaluation, name: str, pen: object) -> pg.PlotCurveItem:
        fpr, tpr = (np.asarray(values, float) for values in evaluation.roc[name])
        seen = fpr >= FLOOR / 10
        # monotone, so antialiasing costs nothing
        curve = pg.PlotCurveItem(tpr[seen], np.log10(fpr[seen]), pen=pen, antialias=True)
        self.item.addItem(curve)
        self._curves.append(curve)
        return curve

    def _fill_legend(self) -> None:
        """One entry a curve; where there is room, the legend stands beside them."""
        self.legend.clear()
        if self._narrow and self._entries:  # words once, so that the curves are not covered
            self.legend.addItem(pg.PlotCurveItem(pen=None), "AUC, rejection")
        for entry in self._entries:
            self.legend.addItem(entry[0], self._entry_text(*entry[1:]))
            self.legend.items[-1][1].setToolTip(f"{entry[1]}: AUC {_area(*entry[2:])}\n{SOURCE}")
        self.legend.setVisible(bool(self._entries))
        self._place_legend()

    def _entry_text(self, label: str, evaluation: Evaluation, name: str) -> str:
        """AUC and the rejection at the working point."""
        rejection = background_rejection(*evaluation.roc[name], self._session.inspection.working_point)
        if self._narrow:
            return f"{label} {_area(evaluation, name)}, {_number(rejection)}"
        text = f"{label}: AUC {_area(evaluation, name)}, rejection {_number(rejection)}"
        floats = self._session.float_evaluation
        # inside the plot there is no room for both
        if self._beside and floats is not None and floats is not evaluation and name in floats.auc \
                and not self.which.currentData():
            text += f" (float {floats.auc[name]:.4f})"
        return text

    def _show_text(self) -> None:
        models = [model for model in self._drawn if not model.reference]
        floats = len(models) < len(self._drawn)
        if self._of_compared:
            self.title.setText("ROC of the compared candidates" if models else "ROC")
        elif models:
            self.title.setText(f"ROC of {models[0].label}" + ("; float model dashed" if floats else ""))
        else:
            self.title.setText("ROC of the float model" if floats else "ROC")
        evaluated = self._session.evaluation is not None or self._session.float_evaluation is not None
        self.show_empty("" if self._drawn else NOTHING_CHOSEN if self._of_compared else NO_ROC if evaluated else EMPTY)
        self.which.setVisible(len(self._drawn) > 0)

    # -- working point -----------------------------------------------------------------------------

    def _paint_cursor(self) -> None:
        self._cursor.setPen(self.pen(theme.tokens().plot_foreground, 1, Qt.PenStyle.DotLine))
        self._cursor.setHoverPen(self.pen(theme.tokens().accent, 3))
        self._cursor.setValue(self._session.inspection.working_point)
        self._cursor.setVisible(bool(self._drawn))

    def _on_dragged(self, *_: object) -> None:
        self._session.inspection.set_working_point(float(self._cursor.value()))

    def _on_working_point(self, efficiency: float) -> None:
        blocked = self.working.blockSignals(True)
        self.working.setValue(efficiency)
        self.working.blockSignals(blocked)
        self._cursor.setValue(efficiency)
        for (_, label), entry in zip(self.legend.items[-len(self._entries):], self._entries, strict=True):
            label.setText(self._entry_text(*entry[1:]))  # in place: another layout would pull the line from the hand

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrow keys move the working point; the canvas would eat them."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and watched is self.widget:
            step = STEPS.get(Qt.Key(event.key()))
            if step is not None:
                here = self._session.inspection.working_point
                self._session.inspection.set_working_point(round(here + step, 3))
                return True
        return super().eventFilter(watched, event)

    # -- reading -----------------------------------------------------------------------------------

    def readout(self, at: QPointF) -> str:
        """The curve nearest to the pointer at this signal efficiency."""
        height = self.box.viewRange()[1][1] - self.box.viewRange()[1][0]
        nearest = (REACH * height, "")
        chosen = self.which.currentData()
        for model in self._drawn:
            for name, curve in model.evaluation.roc.items():
                if chosen and name != chosen:
                    continue
                background = background_efficiency(*curve, at.x())
                distance = abs(np.log10(max(background, 1e-12)) - at.y())
                if distance < nearest[0]:
                    rejection = 1 / background if background else float("inf")
                    nearest = (distance, f"{name} ({model.label}): signal efficiency {at.x():.3f},"
                                         f" background {background:.4f}, rejection {rejection:.1f}")
        return nearest[1]

    def table(self) -> Table:
        """One row a point of a curve, true values."""
        rows = [(model.label, name, fpr, tpr, model.evaluation.auc.get(name), model.evaluation.auc_error.get(name))
                for model in self._drawn for name, (fprs, tprs) in model.evaluation.roc.items()
                for fpr, tpr in zip(fprs, tprs, strict=True)]
        return Table(("model", "class", "background_efficiency", "signal_efficiency", "auc", "auc_error"), tuple(rows))


def _area(evaluation: Evaluation, name: str) -> str:
    error = evaluation.auc_error.get(name)
    return f"{evaluation.auc[name]:.4f}" + (f" \u00b1 {error:.4f}" if error else "")


def _number(value: float) -> str:
    return "\u221e" if not np.isfinite(value) else f"{value:.1f}" if value < 1000 else f"{value:.0f}"

"""What a search raises, lowers and must keep to."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QFormLayout, QLabel, QLineEdit, QWidget

from app import theme
from app.models.search_form import COSTS, texts_of
from core.candidate import Evaluation

FIELD_HEIGHT = 28
QUALITIES = {"accuracy": "Accuracy", "mean_auc": "Mean AUC", "loss": "Loss"}
AUC = "auc:"


class GoalEditor(QWidget):
    """One quality against one cost, further costs, limits, and AutoQKeras's forgiving factor.

    Signals:
        changed(): something else is asked for.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("search_goal")
        self.quality = self._box("search_quality", "What the search raises", QUALITIES)
        self.cost = self._box("search_cost", "What the search lowers", COSTS)
        self.further = self._line("search_further", "Further costs", "for example ebops lut",
                                  "Costs to be lowered as well, by name; the front then has more axes")
        self.constraints = self._line("search_constraints", "Limits", "for example accuracy>=0.74 lut<=5000",
                                      "Candidates that miss a limit give way to those that keep it")
        self.forgiving = QCheckBox("One score with a forgiving factor", self, objectName="search_forgiving")
        self.forgiving.setToolTip("AutoQKeras's: the quality times"
                                  " 1 + \u0394/100 \u00b7 ln(stress \u00b7 reference / cost) / ln(rate)")
        self.tolerance = {name: self._number(name, title, value, tip) for name, title, value, tip in (
            ("delta_p", "\u0394 when cheaper (%)", 8.0, "Accuracy that a cost of 1 / rate may lose"),
            ("delta_n", "\u0394 when dearer (%)", 8.0, "Accuracy that a cost of rate times more must win"),
            ("rate", "Rate", 2.0, "Ratio of costs that the two refer to"),
            ("stress", "Stress", 1.0, "The reference cost is multiplied by it: below 1 asks for cheaper ones"))}
        self._arrange()
        self.forgiving.toggled.connect(self._on_forgiving)
        self._on_forgiving(False)

    def _box(self, name: str, title: str, entries: dict[str, str]) -> QComboBox:
        box = QComboBox(self, objectName=name, toolTip=title)
        box.setAccessibleName(title)
        box.setMinimumHeight(FIELD_HEIGHT)
        for key, text in entries.items():
            box.addItem(text, key)
        box.currentIndexChanged.connect(self._on_changed)
        return box

    def _line(self, name: str, title: str, example: str, tip: str) -> QLineEdit:
        line = QLineEdit(self, objectName=name, placeholderText=example, toolTip=tip)
        line.setAccessibleName(title)
        line.setMinimumHeight(FIELD_HEIGHT)
        line.textChanged.connect(self._on_changed)
        return line

    def _number(self, name: str, title: str, value: float, tip: str) -> QDoubleSpinBox:
        box = QDoubleSpinBox(self, objectName=f"search_{name}", minimum=0.01, maximum=1000, decimals=2, value=value,
                             toolTip=tip)
        box.setAccessibleName(title)
        box.valueChanged.connect(self._on_changed)
        return box

    def _arrange(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(4, 8, 4, 4)
        form.setHorizontalSpacing(12)
        for label, widget in (("Raise", self.quality), ("Lower", self.cost), ("Also lower", self.further),
                              ("Limits", self.constraints)):
            form.addRow(label, widget)
        form.addRow(self.forgiving)
        self._labels = []
        for box in self.tolerance.values():
            label = QLabel(box.accessibleName(), self, objectName=f"{box.objectName()}_label")
            theme.set_role(label, "muted")
            label.setBuddy(box)
            form.addRow(label, box)
            self._labels.append(label)

    # -- reading and writing -----------------------------------------------------------------------

    def fields(self) -> dict[str, Any]:
        """`objectives` and `constraints` of core.requests.Search."""
        quality, cost = self.quality.currentData(), self.cost.currentData()
        further = texts_of(self.further.text())
        if self.forgiving.isChecked():
            settings = ", ".join(f"{name}={box.value():g}" for name, box in self.tolerance.items())
            objectives = [f"score({quality}, {cost}, {settings})", *further]
        else:
            objectives = [quality, cost, *further]
        return {"objectives": [] if objectives == ["accuracy", "energy_pj"] else objectives,
                "constraints": texts_of(self.constraints.text())}

    def take(self, fields: dict[str, Any]) -> None:
        """Show kept fields; a score is shown with the settings it has by default."""
        objectives = list(fields.get("objectives") or ["accuracy", "energy_pj"])
        score = objectives[0].startswith("score(")
        if score:
            terms = texts_of(objectives.pop(0)[len("score("):-1])
            named = dict(term.split("=", 1) for term in terms if "=" in term)
            for name, box in self.tolerance.items():
                box.setValue(float(named.get(name, box.value())))
            objectives = [term for term in terms if "=" not in term] + objectives
        self.forgiving.setChecked(score)
        self.quality.setCurrentIndex(max(self.quality.findData(objectives[0]), 0))
        rest = objectives[1:]
        if rest and self.cost.findData(rest[0]) >= 0:
            self.cost.setCurrentIndex(self.cost.findData(rest.pop(0)))
        self.further.setText(" ".join(rest))
        self.constraints.setText(" ".join(fields.get("constraints") or []))

    def offer(self, evaluation: Evaluation | None) -> None:
        """Name the qualities that this model has: its metric, and one AUC a class."""
        metric = evaluation.metric if evaluation is not None else "accuracy"
        classes = list(evaluation.auc) if evaluation is not None else []
        wanted = {"accuracy": "Accuracy" if metric == "accuracy" else metric, **(
            {"mean_auc": "Mean AUC"} if classes else {}), "loss": "Loss", **{AUC + c: f"AUC of {c}" for c in classes}}
        if [self.quality.itemData(row) for row in range(self.quality.count())] == list(wanted):
            return
        chosen = self.quality.currentData()
        blocked = self.quality.blockSignals(True)
        self.quality.clear()
        for key, text in wanted.items():
            self.quality.addItem(text, key)
        self.quality.setCurrentIndex(max(self.quality.findData(chosen), 0))
        self.quality.blockSignals(blocked)

    def _on_forgiving(self, on: bool) -> None:
        for widget in (*self.tolerance.values(), *self._labels):
            widget.setVisible(on)
        self.changed.emit()

    def _on_changed(self, *_: object) -> None:
        self.changed.emit()

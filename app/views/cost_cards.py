"""What the recipe costs and what it is worth, in five figures that follow every edit."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QWidget

from app import theme
from app.models.front_model import published_points
from app.models.layer_texts import DASH, grouped, signed
from app.session import Session
from app.views.card import Card
from core.candidate import Evaluation
from core.energy.published import NAMES as NAMES_PUBLISHED
from core.energy.published import network
from core.quant.recipe import OUTPUT, Recipe

#: AutoQKeras's reference size for a tensor that is not quantized
FLOATS = " (float as 8)"
BITS = "Counted as AutoQKeras does: a weight without quantizer counts 8 bits."
COUNTED = "Counted as QTools does, with its known defects mended: see what_is_counted in the manual."
AS_PUBLISHED = "Published with QTools 0.9, which counts a few bits of the sums differently."
#: what the figure of merit is called in a title
NAMES = {"accuracy": "Accuracy", "R2": "R\u00b2"}


def figure(evaluation: Evaluation | None) -> str:
    """The figure of merit as it is shown: a percentage for an accuracy, four digits for AUC and R2."""
    if evaluation is None:
        return DASH
    if evaluation.metric == "accuracy":
        return f"{100 * evaluation.accuracy:.2f} %"
    return f"{evaluation.accuracy:.4f}".replace("-", "\u2212")


def against(evaluation: Evaluation, floats: Evaluation) -> str:
    """The difference to the float model, in words."""
    difference = evaluation.accuracy - floats.accuracy
    if evaluation.metric == "accuracy":
        return f"{signed(100 * difference)} points against float"
    return f"{signed(difference, 4)} against float"


def published_energy(recipe: Recipe) -> float | None:
    """What QTools 0.9 gives for a network of the literature, as it was published; None for any other recipe."""
    if recipe.name not in NAMES_PUBLISHED or recipe != network(recipe.name).recipe:
        return None
    return next((point.costs.energy_pj for point in published_points() if point.name == recipe.name), None)


class CostCards(QWidget):
    """Energy, bits, EBOPs, and the figure of merit without training and in float."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cost_cards")
        self._session = session
        self.energy = Card("energy", "Energy per event", self)
        self.bits = Card("bits", "Parameter bits", self)
        self.ebops = Card("ebops", "EBOPs", self)
        self.accuracy = Card("accuracy", "Accuracy without training", self)
        self.floats = Card("float", "Accuracy in float", self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for card in (self.energy, self.bits, self.ebops, self.accuracy, self.floats):
            layout.addWidget(card, 1)
        session.projectChanged.connect(self._show_all)
        session.costsChanged.connect(self._show_costs)
        session.evaluationChanged.connect(self._show_merit)
        self._show_all()

    def _show_all(self) -> None:
        self._show_costs()
        self._show_merit()

    def _show_costs(self) -> None:
        report, info = self._session.report, self._session.info
        if report is None or info is None:
            for card in (self.energy, self.bits, self.ebops):
                card.show_figure(DASH)
            return
        costs = report.costs
        weights = info.parameters
        printed = published_energy(self._session.recipe)
        self.energy.show_figure(f"{grouped(round(costs.energy_pj))} pJ", "QTools' 45 nm model" if printed is None else
                                f"{grouped(round(printed))} pJ as published")
        self.energy.setToolTip(COUNTED if printed is None else f"{COUNTED}\n{AS_PUBLISHED}")
        mean = costs.parameter_bits / weights if weights else 0.0
        scaled = self._session.needs_training
        recipe = self._session.recipe
        floats = any(not recipe.text(layer.name, parameter) for layer in info.layers for parameter in layer.quantizable
                     if parameter != OUTPUT)
        self.bits.show_figure(grouped(costs.parameter_bits), "with other numbers of units" if scaled else
                              f"{grouped(weights)} weights, {mean:.1f} bits each" + (FLOATS if floats else ""))
        self.bits.setToolTip(BITS)
        self.ebops.show_figure(grouped(costs.ebops), "with other numbers of units" if scaled else
                               f"{grouped(info.macs)} multiply-accumulates")

    def _show_merit(self) -> None:
        session = self._session
        floats, evaluation = session.float_evaluation, session.evaluation
        known = floats or evaluation
        name = NAMES.get(known.metric, known.metric) if known is not None else NAMES["accuracy"]
        self.floats.show_figure(figure(floats), f"{grouped(floats.events)} test events" if floats else "",
                                f"{name} in float")
        theme.set_role(self.accuracy.figure, "figure-muted" if session.computing else "figure")
        self.accuracy.show_figure(figure(evaluation), self._remark(evaluation, floats), f"{name} without training")

    def _remark(self, evaluation: Evaluation | None, floats: Evaluation | None) -> str:
        if self._session.needs_training:
            return "new units have to be trained first"
        if self._session.computing:
            return "computing\u2026"
        if evaluation is None:
            return ""
        return against(evaluation, floats) if floats is not None else f"{grouped(evaluation.events)} test events"

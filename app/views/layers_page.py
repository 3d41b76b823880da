"""The Layers page: what the recipe costs and how it does above, the table below, values and ROC curves beneath."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QPushButton, QSplitter, QVBoxLayout, QWidget

from app import theme
from app.models.layer_table import QUANTIZER_ROLE, grouped
from app.session import Session
from app.views.distribution_plot import DistributionPlot
from app.views.layer_table import LayerTable
from app.views.roc_plot import RocPlot
from core.errors import QuantiscopeError


def signed(value: float) -> str:
    """Two decimals with a typographic sign."""
    return f"{value:+.2f}".replace("-", "\u2212")


class Card(QFrame):
    """A figure with its name above and a remark below."""

    def __init__(self, name: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(f"card_{name}")
        theme.set_role(self, "card")
        self.title = QLabel(title, self, objectName=f"{name}_title")
        theme.set_role(self.title, "muted")
        self.figure = QLabel("\u2013", self, objectName=f"{name}_figure")
        theme.set_role(self.figure, "figure")
        self.remark = QLabel("", self, objectName=f"{name}_remark")
        theme.set_role(self.remark, "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 8, 12, 8)
        layout.setSpacing(1)
        for label in (self.title, self.figure, self.remark):
            layout.addWidget(label)

    def show_figure(self, figure: str, remark: str = "") -> None:
        """Show a figure; a screen reader hears title, figure and remark."""
        self.figure.setText(figure)
        self.remark.setText(remark)
        self.figure.setAccessibleName(f"{self.title.text()}: {figure} {remark}".strip())


class LayersPage(QWidget):
    """Edits one recipe, with its cost at once and its accuracy a moment later."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layers_page")
        self._session = session
        self.energy = Card("energy", "Energy per event", self)
        self.bits = Card("bits", "Parameter bits", self)
        self.ebops = Card("ebops", "EBOPs", self)
        self.accuracy = Card("accuracy", "Accuracy without training", self)
        self.floats = Card("float", "Accuracy in float", self)
        self.table = LayerTable(session, self)
        self.message = QLabel("", self, objectName="layer_message", wordWrap=True)
        theme.set_role(self.message, "error")
        self.message.hide()
        self.values = DistributionPlot(session, self)
        self.roc = RocPlot(session, self, of_recipe=True)
        self._arrange()
        self.table.layers.rejected.connect(self._on_rejected)
        self.table.layers.accepted.connect(self.message.hide)
        self.table.selectionModel().currentChanged.connect(self._on_current)
        session.projectChanged.connect(self._on_project)
        session.costsChanged.connect(self._show_costs)
        session.evaluationChanged.connect(self._show_accuracy)
        self._on_project()

    def _arrange(self) -> None:
        cards = QHBoxLayout()
        for card in (self.energy, self.bits, self.ebops, self.accuracy, self.floats):
            cards.addWidget(card, 1)
        self.presets = QPushButton("Presets", self, objectName="presets_button")
        self.presets.setToolTip("Give every layer quantizers at once")
        self.preset_menu = QMenu(self.presets, objectName="presets_menu")
        self.preset_menu.triggered.connect(self._on_preset)
        self.presets.setMenu(self.preset_menu)
        hint = QLabel("Double-click a quantizer or press Enter to change it; select several cells to change them"
                      " together.", self, objectName="layers_hint")
        theme.set_role(hint, "muted")
        row = QHBoxLayout()
        row.addWidget(hint, 1)
        row.addWidget(self.presets)
        upper = QWidget(self, objectName="layers_upper")
        above = QVBoxLayout(upper)
        above.setContentsMargins(0, 0, 0, 0)
        above.addLayout(row)
        above.addWidget(self.table, 1)
        above.addWidget(self.message)
        self.splitter = QSplitter(Qt.Orientation.Vertical, self, objectName="layers_splitter")
        self.splitter.addWidget(upper)
        self.plots = QSplitter(Qt.Orientation.Horizontal, self, objectName="layers_plots")
        self.plots.addWidget(self.values)
        self.plots.addWidget(self.roc)
        self.plots.setSizes([500, 500])
        self.splitter.addWidget(self.plots)
        self.splitter.setSizes([400, 320])
        self.splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 8)
        layout.setSpacing(10)
        layout.addLayout(cards)
        layout.addWidget(self.splitter, 1)

    # -- following the session ---------------------------------------------------------------------

    def _on_project(self) -> None:
        self.message.hide()
        self.preset_menu.clear()
        for name, recipe in self._session.presets().items():
            action = QAction(name, self.preset_menu, objectName=f"preset_{name.lower().replace(' ', '_')}")
            action.setData(recipe)
            self.preset_menu.addAction(action)
        self._show_costs()
        self._show_accuracy()

    def _on_current(self, index: QModelIndex) -> None:
        """Show the values of the tensor whose quantizer is in the cell; of the layer's first one beside it."""
        layer = self.table.layers.layer(index.row()) if index.isValid() else None
        if layer is not None and layer.weights:
            _, parameter = index.data(QUANTIZER_ROLE) or ("", layer.quantizable[0] if layer.quantizable else "")
            self.values.show_quantizer(layer.name, parameter)

    def _show_costs(self) -> None:
        report, info = self._session.report, self._session.info
        if report is None or info is None:
            for card in (self.energy, self.bits, self.ebops):
                card.show_figure("\u2013")
            return
        costs = report.costs
        self.energy.show_figure(f"{grouped(round(costs.energy_pj))} pJ", "QTools' 45 nm model")
        mean = costs.parameter_bits / info.parameters if info.parameters else 0.0
        self.bits.show_figure(grouped(costs.parameter_bits),
                              f"{grouped(info.parameters)} weights, {mean:.1f} bits each")
        self.ebops.show_figure(grouped(costs.ebops), f"{grouped(info.macs)} multiply-accumulates")

    def _show_accuracy(self) -> None:
        session = self._session
        floats, evaluation = session.float_evaluation, session.evaluation
        self.floats.show_figure(f"{100 * floats.accuracy:.2f} %" if floats else "\u2013",
                                f"{grouped(floats.events)} test events" if floats else "")
        theme.set_role(self.accuracy.figure, "figure-muted" if session.computing else "figure")
        shown = f"{100 * evaluation.accuracy:.2f} %" if evaluation else "\u2013"
        if session.computing:
            self.accuracy.show_figure(shown, "computing\u2026")
        elif evaluation is None:
            self.accuracy.show_figure(shown)
        elif floats is None:
            self.accuracy.show_figure(shown, f"{grouped(evaluation.events)} test events")
        else:
            difference = 100 * (evaluation.accuracy - floats.accuracy)
            self.accuracy.show_figure(shown, f"{signed(difference)} points against float")

    def _on_rejected(self, error: QuantiscopeError) -> None:
        self.message.setText(str(error))
        self.message.show()

    def _on_preset(self, action: QAction) -> None:
        try:
            self._session.apply_preset(action.data())
        except QuantiscopeError as error:
            self._on_rejected(error)

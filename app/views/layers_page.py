"""The Layers page: what the recipe costs and is worth above, graph and table below, editor, values and ROC beneath."""

from __future__ import annotations

import itertools

import msgspec
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QMenu, QPushButton, QSplitter, QVBoxLayout, QWidget

from app import theme
from app.models.layer_table import LAYER_ROLE, QUANTIZER_ROLE
from app.session import Session
from app.views.cost_cards import CostCards
from app.views.distribution_plot import DistributionPlot
from app.views.layer_table import LayerTable
from app.views.model_graph import ModelGraph
from app.views.quantizer_form import QuantizerForm
from app.views.roc_plot import RocPlot
from core.errors import QuantiscopeError

UNPRINTED = ("BH has a precision of its own in each layer, found by a greedy reduction after training; the paper does"
             " not print them.\nThe search method \"greedy\" makes one in the same way for your model.")
MEASURE = "Measure sensitivity"
#: heights in pixels that the table and the plots have at least; below, the page scrolls
LEAST_TABLE, LEAST_PLOTS = 170, 210


class Arrangement(msgspec.Struct):
    """Sizes of the splitters, whether graph and second lines are shown, columns chosen by title."""

    page: list[int]
    plots: list[int]
    beside: list[int]
    graph: bool = True
    details: bool = True
    columns: dict[str, bool] = {}


class LayersPage(QWidget):
    """Edits one recipe, with its cost at once and its figure of merit a moment later."""

    def __init__(self, session: Session, parent: QWidget | None = None, values: DistributionPlot | None = None,
                 roc: RocPlot | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layers_page")
        self._session = session
        self.cards = CostCards(session, self)
        self.table = LayerTable(session, self)
        self.graph = ModelGraph(session, self.table.layers, self)
        self.form = QuantizerForm(session, self.table.layers, self)
        self.message = QLabel("", self, objectName="layer_message", wordWrap=True)
        theme.set_role(self.message, "error")
        self.message.hide()
        self.values = values or DistributionPlot(session, self)
        self.roc = roc or RocPlot(session, self, of_recipe=True)
        self._build_bar()
        self._arrange()
        self._connect()
        self._on_project()

    def _connect(self) -> None:
        session, table = self._session, self.table
        table.layers.rejected.connect(self._on_rejected)
        table.layers.accepted.connect(self.message.hide)
        table.selectionModel().currentChanged.connect(self._on_current)
        table.selectionModel().selectionChanged.connect(self._on_selection)
        self.graph.layerChosen.connect(table.show_layer)
        session.projectChanged.connect(self._on_project)
        session.analysis.sensitivityChanged.connect(self._on_sensitivity)

    # -- building ----------------------------------------------------------------------------------

    def _build_bar(self) -> None:
        self.filter = QLineEdit(self, objectName="layer_filter", clearButtonEnabled=True,
                                placeholderText="Filter layers: dense, ternary, float, preset \u2026 (Ctrl+F)")
        self.filter.setAccessibleName("Filter layers")
        self.filter.textChanged.connect(self._on_filter)
        find = QAction("&Find layers", self, objectName="action_find_layers", shortcut=QKeySequence("Ctrl+F"))
        find.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.triggered.connect(self._on_find)
        self.addAction(find)
        self.edit_actions = [*self.table.edit_actions, find]
        self.measure = QPushButton(MEASURE, self, objectName="measure_sensitivity")
        self.measure.setToolTip("Quantize one tensor at a time, without training, and see what each alone costs")
        self.measure.clicked.connect(self._on_measure)
        self.calibrate = QPushButton("Integer bits from data", self, objectName="calibrate_button")
        self.calibrate.setToolTip("Choose the integer bits of the selected layers, of all where one cell or none is"
                                  " selected, so that least is lost on training events; widths stay")
        self.calibrate.clicked.connect(self._on_calibrate)
        for name, text, button in (("measure", "&Measure sensitivity", self.measure),
                                   ("calibrate", "&Integer bits from data", self.calibrate)):
            action = QAction(text, self, objectName=f"action_{name}", toolTip=button.toolTip())
            action.triggered.connect(button.click)
            self.edit_actions.append(action)
        self.presets = QPushButton("Presets", self, objectName="presets_button")
        self.presets.setToolTip("Give every layer quantizers at once")
        self.preset_menu = QMenu(self.presets, objectName="presets_menu")
        self.preset_menu.setToolTipsVisible(True)
        self.preset_menu.triggered.connect(self._on_preset)
        self.presets.setMenu(self.preset_menu)
        self.columns = QPushButton("Columns", self, objectName="columns_button")
        self.columns.setMenu(self.table.columns_menu)
        self.graph_shown = QPushButton("Graph", self, objectName="graph_button", checkable=True, checked=True)
        self.graph_shown.setToolTip("Show the model's graph beside the table")
        self.graph_shown.toggled.connect(self.graph.setVisible)

    def _arrange(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.graph_shown)
        row.addWidget(self.filter, 1)
        for button in (self.measure, self.calibrate, self.presets, self.columns):
            row.addWidget(button)
        beside = self.beside = QSplitter(Qt.Orientation.Horizontal, self, objectName="layers_beside")
        beside.addWidget(self.graph)
        beside.addWidget(self.table)
        beside.setStretchFactor(1, 1)
        beside.setSizes([self.graph.minimumWidth(), 1200])
        beside.setChildrenCollapsible(False)
        upper = QWidget(self, objectName="layers_upper")
        above = QVBoxLayout(upper)
        above.setContentsMargins(0, 0, 0, 0)
        above.addLayout(row)
        above.addWidget(beside, 1)
        above.addWidget(self.message)
        self.plots = QSplitter(Qt.Orientation.Horizontal, self, objectName="layers_plots")
        for widget in (self.form, self.values, self.roc):
            self.plots.addWidget(widget)
        self.plots.setSizes([240, 480, 650])
        self.plots.setStretchFactor(1, 1)
        self.plots.setStretchFactor(2, 1)
        self.plots.setChildrenCollapsible(False)
        self.splitter = QSplitter(Qt.Orientation.Vertical, self, objectName="layers_splitter")
        self.splitter.addWidget(upper)
        self.splitter.addWidget(self.plots)
        self.splitter.setSizes([430, 290])
        upper.setMinimumHeight(LEAST_TABLE)  # below, the page scrolls instead
        self.plots.setMinimumHeight(LEAST_PLOTS)
        self.splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 8)
        layout.setSpacing(10)
        layout.addWidget(self.cards)
        layout.addWidget(self.splitter, 1)
        order = (self.graph_shown, self.filter, self.measure, self.calibrate, self.presets, self.columns, self.graph,
                 self.table, self.form.kind, self.values, self.roc)
        for before, after in itertools.pairwise(order):
            self.setTabOrder(before, after)

    # -- remembering -------------------------------------------------------------------------------

    def arrangement(self) -> bytes:
        """What was arranged by hand, for the next start."""
        return msgspec.json.encode(Arrangement(self.splitter.sizes(), self.plots.sizes(), self.beside.sizes(),
                                               self.graph_shown.isChecked(), self.table.details,
                                               self.table.chosen_columns))

    def arrange(self, stored: bytes) -> None:
        """Take over what `arrangement` gave; anything else changes nothing."""
        try:
            kept = msgspec.json.decode(stored, type=Arrangement)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        for splitter, sizes in ((self.splitter, kept.page), (self.plots, kept.plots), (self.beside, kept.beside)):
            if len(sizes) == splitter.count() and all(size > 0 for size in sizes):
                splitter.setSizes(sizes)
        self.graph_shown.setChecked(kept.graph)
        self.table.set_details(kept.details)
        self.table.choose_columns(kept.columns)

    # -- following the session ---------------------------------------------------------------------

    def _on_project(self) -> None:
        self.message.hide()
        self.filter.clear()
        self.preset_menu.clear()
        published = False
        for preset in self._session.presets():
            if preset.published and not published:
                self.preset_menu.addSeparator()
            published = preset.published
            action = QAction(preset.title, self.preset_menu,
                             objectName=f"preset_{preset.title.lower().replace(' ', '_')}")
            action.setData(preset.recipe)
            action.setToolTip(preset.tip)
            self.preset_menu.addAction(action)
            if preset.recipe.name == "BP":
                self._add_unprinted()
        self._on_sensitivity()
        info = self._session.info
        first = next((layer.name for layer in info.layers if layer.weights), "") if info is not None else ""
        if first:
            self.table.show_layer(first)

    def _add_unprinted(self) -> None:
        """Say why BH is not among the published networks, rather than make its precisions up."""
        action = QAction("Published BH (precisions not printed)", self.preset_menu, objectName="preset_published_bh",
                         enabled=False)
        action.setToolTip(UNPRINTED)
        self.preset_menu.addAction(action)

    def _on_current(self, index: QModelIndex) -> None:
        """Show the values of the tensor whose quantizer is in the cell; of the layer's first one beside it."""
        name = index.data(LAYER_ROLE)
        info = self._session.info
        layer = info.find(name) if info is not None and name else None
        if layer is None:
            return
        self.graph.show_layer(layer.name)
        first = layer.quantizable[0] if layer.quantizable else ""
        _, parameter = index.data(QUANTIZER_ROLE) or ("", first)
        if parameter:
            if layer.weight(parameter) is None:
                self._session.analysis.record()
            self.values.show_quantizer(layer.name, parameter)

    def _on_selection(self, *_: object) -> None:
        self.form.show_cells(self.table.chosen_keys())

    def _on_filter(self, text: str) -> None:
        self.table.shown.set_filter(text)

    def _on_find(self) -> None:
        self.filter.setFocus()
        self.filter.selectAll()

    def _on_sensitivity(self) -> None:
        analysis = self._session.analysis
        done, total = analysis.progress
        text = "Stop measuring" if analysis.measuring else MEASURE
        self.measure.setText(f"{text} ({done:.0f} of {total:.0f})" if analysis.measuring and total else text)
        self.measure.setEnabled(self._session.project is not None)

    # -- what the buttons do -----------------------------------------------------------------------

    def _on_measure(self) -> None:
        analysis = self._session.analysis
        if analysis.measuring:
            analysis.stop_measuring()
        else:
            analysis.measure(self._session.recipe)

    def _on_calibrate(self) -> None:
        layers = self.table.chosen_layers()
        self._session.calibrate(layers if len(self.table.selectedIndexes()) > 1 else [])

    def _on_rejected(self, error: QuantiscopeError) -> None:
        self.message.setText(str(error))
        self.message.show()

    def _on_preset(self, action: QAction) -> None:
        try:
            self._session.apply_preset(action.data())
        except QuantiscopeError as error:
            self._on_rejected(error)

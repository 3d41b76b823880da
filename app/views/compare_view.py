"""The Compare page: two to six candidates side by side, by figures, exports, recipes and ROC curves."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QSplitter,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.inspection import MOST
from app.models.comparison import LineTable, figure_lines, recipe_lines, spread
from app.session import Session
from app.views.elided import ElidedLabel
from app.views.roc_plot import RocPlot
from core.candidate import Candidate

#: how many of the front the button takes
FROM_FRONT = 4
TITLE_WIDTH = 160
HINT = ("Mark two to six candidates on the Search page: select one and press Space, or click points with Ctrl held."
        " Or begin with some of the front.")


class CompareView(QWidget):
    """Tables at the left, curves at the right.

    Signals:
        exportWanted(): export the candidate that is selected now. editWanted(): its recipe was taken over.
    """

    exportWanted = Signal()
    editWanted = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None, roc: RocPlot | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("compare_view")
        self._session = session
        self._front: list[str] = []
        self._fit = QTimer(self, objectName="compare_fit", singleShot=True, interval=0)
        self._fit.timeout.connect(self._on_fit)
        self.figures = LineTable(session, "compare_figures_model", False, self)
        self.recipes = LineTable(session, "compare_recipes_model", True, self)
        self.figure_table = self._table("compare_figures", "Figures of the compared candidates", self.figures)
        self.recipe_table = self._table("compare_recipes", "Recipes of the compared candidates", self.recipes)
        self.roc = roc or RocPlot(session, self, of_compared=True)
        self._make_controls()
        self._arrange()
        self._make_actions()
        inspection = session.inspection
        for signal in (session.projectChanged, session.exportFinished, inspection.comparedChanged):
            signal.connect(self._show)
        inspection.workingPointChanged.connect(self._show_figures)
        session.candidateAdded.connect(self._on_candidate)
        theme.manager().changed.connect(self._show)
        self._show()

    # -- building ----------------------------------------------------------------------------------

    def _table(self, name: str, title: str, model: LineTable) -> QTableView:
        table = QTableView(self, objectName=name)
        table.setAccessibleName(title)
        table.setModel(model)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setShowGrid(False)
        table.setAlternatingRowColors(True)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(24)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        table.horizontalHeader().setStretchLastSection(True)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.installEventFilter(self)
        return table

    def _make_controls(self) -> None:
        self.hint = QLabel(HINT, self, objectName="compare_hint", wordWrap=True)
        theme.set_role(self.hint, "muted")
        self.from_front = QPushButton(f"Compare {FROM_FRONT} of the front", self, objectName="compare_from_front")
        self.from_front.setToolTip("Candidates evenly along the front that the Search page draws")
        self.remove = QPushButton("Remove", self, objectName="compare_remove")
        self.remove.setToolTip("Take the candidate of the selected column out of the comparison (Delete)")
        self.clear = QPushButton("Clear", self, objectName="compare_clear")
        self.only = QCheckBox("Only differences", self, objectName="compare_only_differences")
        self.only.setToolTip("Show the lines of the recipes in which the candidates differ")
        self.from_front.clicked.connect(self._on_from_front)
        self.remove.clicked.connect(self._on_remove)
        self.clear.clicked.connect(self._on_clear)
        self.only.toggled.connect(self._show_recipes)

    def _arrange(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.hint, 1)
        for button in (self.from_front, self.remove, self.clear):
            row.addWidget(button)
        legend = ElidedLabel("Recipes: a tint and bold type mark what differs from the first candidate", self,
                        objectName="compare_legend")
        theme.set_role(legend, "muted")
        below = QWidget(self, objectName="compare_recipes_area")
        area = QVBoxLayout(below)
        area.setContentsMargins(0, 0, 0, 0)
        line = QHBoxLayout()
        line.addWidget(legend, 1)
        line.addWidget(self.only)
        area.addLayout(line)
        area.addWidget(self.recipe_table, 1)
        tables = QSplitter(Qt.Orientation.Vertical, self, objectName="compare_tables")
        tables.addWidget(self.figure_table)
        tables.addWidget(below)
        tables.setSizes([420, 320])
        tables.setChildrenCollapsible(False)
        self.splitter = QSplitter(Qt.Orientation.Horizontal, self, objectName="compare_splitter")
        self.splitter.addWidget(tables)
        self.splitter.addWidget(self.roc)
        self.splitter.setSizes([820, 560])
        self.splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 8)
        layout.addLayout(row)
        layout.addWidget(self.splitter, 1)

    def _make_actions(self) -> None:
        self.menu = QMenu(self, objectName="compare_actions")
        for name, text, slot in (("copy", "Copy table", self._on_copy), ("edit", "Edit this recipe", self._on_edit),
                                 ("export", "Export this candidate", self._on_export),
                                 ("remove", "Remove from comparison", self._on_remove)):
            action = QAction(text, self.menu, objectName=f"compare_{name}_action")
            action.triggered.connect(slot)
            self.menu.addAction(action)
        for table in (self.figure_table, self.recipe_table):
            table.customContextMenuRequested.connect(self._on_context_menu)

    # -- showing -----------------------------------------------------------------------------------

    def _candidates(self) -> list[Candidate]:
        known = self._session.candidates
        return [known[key] for key in self._session.inspection.compared if key in known]

    def _show(self, *_: object) -> None:
        candidates = self._candidates()
        self.hint.setText(HINT if len(candidates) < 2 else
                          f"{len(candidates)} of at most {MOST} candidates; figures in brackets are against the first.")
        self.from_front.setEnabled(len(self._front) >= 2)
        for button in (self.remove, self.clear):
            button.setEnabled(bool(candidates))
        self._show_figures()
        self._show_recipes()

    def _show_figures(self, *_: object) -> None:
        candidates = self._candidates()
        self.figures.show([c.id for c in candidates], figure_lines(
            candidates, self._session.exports, self._session.inspection.working_point) if candidates else [])
        self._size(self.figure_table)

    def _show_recipes(self, *_: object) -> None:
        candidates, info = self._candidates(), self._session.info
        names = info.layer_names if info is not None else ()
        self.recipes.show([c.id for c in candidates], recipe_lines(candidates, names, self.only.isChecked())
                          if candidates else [])
        self._size(self.recipe_table)

    def _on_fit(self) -> None:
        for table in (self.figure_table, self.recipe_table):
            self._size(table)

    def _size(self, table: QTableView) -> None:
        header = table.horizontalHeader()
        if header.count() < 2:
            return
        table.resizeColumnsToContents()
        header.resizeSection(0, max(header.sectionSize(0), TITLE_WIDTH))
        # as wide as each other where there is room
        share = (table.viewport().width() - header.sectionSize(0)) // (header.count() - 1)
        if all(table.sizeHintForColumn(number) <= share for number in range(1, header.count())):
            for number in range(1, header.count() - 1):  # the last one takes what is left
                header.resizeSection(number, share)

    def _on_candidate(self, candidate: Candidate) -> None:
        if candidate.id in self._session.inspection.compared:
            self._show()

    def set_front(self, ids: Sequence[str]) -> None:
        """Tell which candidates are on the front that the Search page draws."""
        self._front = list(ids)
        self.from_front.setEnabled(len(self._front) >= 2)

    # -- acting ------------------------------------------------------------------------------------

    def current_id(self) -> str | None:
        """The candidate of the column that is selected in the table last used, else the first."""
        compared = [candidate.id for candidate in self._candidates()]
        table = self.recipe_table if self.recipe_table.hasFocus() else self.figure_table
        column = table.currentIndex().column()
        if 1 <= column <= len(compared):
            return compared[column - 1]
        return compared[0] if compared else None

    def _on_from_front(self) -> None:
        self._session.inspection.compare(spread(self._front, FROM_FRONT))

    def _on_remove(self) -> None:
        current = self.current_id()
        if current is not None:
            self._session.inspection.toggle(current)

    def _on_clear(self) -> None:
        self._session.inspection.compare([])

    def _on_copy(self) -> None:
        model = self.recipes if self.recipe_table.hasFocus() else self.figures
        QGuiApplication.clipboard().setText(model.csv())

    def _on_edit(self) -> None:
        current = self.current_id()
        if current is not None:
            self._session.apply_candidate(current)
            self.editWanted.emit()

    def _on_export(self) -> None:
        self._session.select_candidate(self.current_id())
        self.exportWanted.emit()

    def _on_context_menu(self, position: QPoint) -> None:
        table = self.sender()
        if isinstance(table, QTableView):
            self.menu.popup(table.viewport().mapToGlobal(position))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Delete takes a candidate out, Ctrl+C copies the table; columns follow the width there is."""
        if event.type() == QEvent.Type.Resize and isinstance(watched, QTableView):
            self._fit.start()  # once the table has taken its new size
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress \
                and watched in (self.figure_table, self.recipe_table):
            if event.key() == Qt.Key.Key_Delete:
                self._on_remove()
                return True
            if event.matches(QKeySequence.StandardKey.Copy):
                self._on_copy()
                return True
        return super().eventFilter(watched, event)

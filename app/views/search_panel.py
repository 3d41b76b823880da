"""Starts and steers the automatic search: method and budget, goal, space, progress."""

from __future__ import annotations

from typing import Any

import msgspec
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.models.search_form import Checked, SearchForm, check, sentence, texts_of
from app.session import Session
from app.views.search_goal import FIELD_HEIGHT, GoalEditor
from app.views.search_space import SpaceEditor
from app.views.status_bar import duration
from core.candidate import Candidate
from core.cluster_options import ClusterOptions
from core.errors import QuantiscopeError
from core.events import Progress
from core.requests import Search
from core.search.front import TRAINED, Front
from core.search.methods import METHODS

#: the form is looked at this long after the last change, in ms
CHECK_MS = 200
#: budget that a project begins with
SECONDS = 60.0
GRANULARITIES = {"weight": "of each weight", "channel": "of each channel", "tensor": "of each tensor"}
BLOCKWISE = ("blocks", "blocks_cost")


class SearchPanel(QWidget):
    """The search form, its buttons, and what it has found so far."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("search_panel")
        self._session = session
        self._checked = Checked()
        self._front, self._count = Front(), 0
        self._processes = 0
        self.plan = SearchForm(session, self)
        self._pages()
        self._buttons()
        self._status()
        layout = QVBoxLayout(self)
        layout.addWidget(self.pages, 1)
        layout.addLayout(self.button_row)
        layout.addWidget(self.bar)
        layout.addWidget(self.progress_text)
        layout.addWidget(self.summary)
        self._timer = QTimer(self, objectName="search_check_timer", singleShot=True, interval=CHECK_MS)
        self._timer.timeout.connect(self.check)
        for editor in (self.goal, self.space):
            editor.changed.connect(self._on_changed)
        self.plan.extended.connect(self._on_extended)
        session.projectChanged.connect(self._on_project)
        session.recipeChanged.connect(self._on_changed)
        session.evaluationChanged.connect(self._on_evaluation)
        session.searchStateChanged.connect(self._on_state)
        session.candidateAdded.connect(self._on_candidate)
        session.jobProgress.connect(self._on_progress)
        session.jobStage.connect(self._on_stage)
        self._on_project()
        self._on_state(session.search_state)

    # -- building ----------------------------------------------------------------------------------

    def _pages(self) -> None:
        self.pages = QTabWidget(self, objectName="search_pages")
        self.pages.setAccessibleName("Parts of the search form")
        self.goal = GoalEditor(self)
        self.space = SpaceEditor(self._session, self)
        for page, title in ((self._run_page(), "Search"), (self.goal, "Goal"), (self.space, "Space")):
            self.pages.addTab(page, title)

    def _run_page(self) -> QWidget:
        page = QWidget(self, objectName="search_run")
        defaults = Search(project="")
        self.method = QComboBox(page, objectName="search_method", toolTip="How candidates are proposed")
        for key, method in METHODS.items():
            self.method.addItem(method.title, key)
            self.method.setItemData(self.method.count() - 1, method.summary, 3)  # its tool tip
        self.method_text = QLabel("", page, objectName="search_method_text", wordWrap=True)
        theme.set_role(self.method_text, "muted")
        self.seconds = QDoubleSpinBox(page, objectName="search_seconds", minimum=0, maximum=1e6, value=SECONDS,
                                      decimals=0, suffix=" s", specialValueText="no limit",
                                      toolTip="Time the search may take")
        self.trials = self._number(page, "trials", 0, 1_000_000, 0, "Number of candidates to train", "no limit")
        self.epochs = self._number(page, "epochs", 1, 1000, defaults.epochs,
                                   "Training epochs for each candidate, from the float weights")
        self.seed = self._number(page, "seed", 0, 2**31 - 1, defaults.seed, "The same seed gives the same candidates")
        self.workers = self._number(page, "workers", 0, 256, 0, "Processes that train at the same time", "one a core")
        self.memory = QDoubleSpinBox(page, objectName="search_memory", minimum=0, maximum=4096, decimals=1, value=0,
                                     suffix=" GB", specialValueText="no limit",
                                     toolTip="Memory that all processes may take together")
        self.granularity = QComboBox(page, objectName="search_granularity", toolTip="Whose bit widths are trained")
        for key, text in GRANULARITIES.items():
            self.granularity.addItem(text, key)
        self.blocks = QLineEdit(page, objectName="search_blocks", placeholderText="each layer; or fc[12] fc3",
                                toolTip="Patterns of layer names, one a block, parted by blanks")
        self.form = QFormLayout(page)
        self.form.setContentsMargins(4, 8, 4, 4)
        self.form.setHorizontalSpacing(12)
        for label, widget in (("Method", self.method), ("", self.method_text), ("Time", self.seconds),
                              ("Candidates", self.trials), ("Epochs each", self.epochs), ("Seed", self.seed),
                              ("Processes", self.workers), ("Memory", self.memory), ("Widths", self.granularity),
                              ("Blocks", self.blocks)):
            if widget is not self.method_text:
                widget.setAccessibleName(label)
                widget.setMinimumHeight(FIELD_HEIGHT)
            self.form.addRow(label, widget)
        for box in (self.seconds, self.memory, self.trials, self.epochs, self.seed, self.workers):
            box.valueChanged.connect(self._on_changed)
        for choice in (self.method, self.granularity):
            choice.currentIndexChanged.connect(self._on_method)
        self.blocks.textChanged.connect(self._on_changed)
        self._show_method()
        return page

    def _number(self, page: QWidget, name: str, low: int, high: int, value: int, tip: str, none: str = "") -> QSpinBox:
        return QSpinBox(page, objectName=f"search_{name}", minimum=low, maximum=high, value=value, toolTip=tip,
                        specialValueText=none)

    def _buttons(self) -> None:
        self.start = QPushButton("Start search", self, objectName="search_start")
        theme.set_role(self.start, "primary")
        self.pause = QPushButton("Pause", self, objectName="search_pause")
        self.stop = QPushButton("Stop", self, objectName="search_stop")
        self.extend = QPushButton("Extend", self, objectName="search_extend")
        self.extend.setToolTip("As much time and as many candidates again: for the search that runs, or to go on with"
                               " the one that has ended, by the settings it had")
        self.button_row = QHBoxLayout()
        for button in (self.start, self.pause, self.stop, self.extend):
            button.setStyleSheet("padding-left: 6px; padding-right: 6px;")  # four of them fit a narrow panel
            self.button_row.addWidget(button)
        self.start.clicked.connect(self._on_start)
        self.pause.clicked.connect(self._on_pause)
        self.stop.clicked.connect(self._session.stop_search)
        self.extend.clicked.connect(self.plan.extend)

    def _status(self) -> None:
        self.bar = QProgressBar(self, objectName="search_progress", textVisible=False, maximum=1000)
        self.bar.setAccessibleName("Progress of the search")
        self.progress_text = QLabel("", self, objectName="search_progress_text", wordWrap=True)
        self.summary = QLabel("", self, objectName="search_summary", wordWrap=True)
        theme.set_role(self.progress_text, "muted")

    # -- reading and writing the form --------------------------------------------------------------

    def request_fields(self) -> dict[str, Any]:
        """What the form asks for, as fields of core.requests.Search; raises SearchError where it cannot be read."""
        method = self.method.currentData()
        return {"method": method, "trials": self.trials.value() or None, "seconds": self.seconds.value() or None,
                "epochs": self.epochs.value(), "seed": self.seed.value(), "workers": self.workers.value(),
                "memory_gb": self.memory.value(), "granularity": self.granularity.currentData(),
                "blocks": texts_of(self.blocks.text()) if method in BLOCKWISE else [],
                **self.goal.fields(), **self.space.fields()}

    def take(self, fields: dict[str, Any]) -> None:
        """Show fields that were kept; without any, the defaults."""
        fields = fields or {**msgspec.to_builtins(Search(project="", seconds=SECONDS)), "workers": self._processes}
        self.method.setCurrentIndex(max(self.method.findData(fields["method"]), 0))
        self.seconds.setValue(fields["seconds"] or 0)
        self.trials.setValue(fields["trials"] or 0)
        self.epochs.setValue(fields["epochs"])
        self.seed.setValue(fields["seed"])
        self.workers.setValue(fields["workers"])
        self.memory.setValue(fields["memory_gb"])
        self.granularity.setCurrentIndex(max(self.granularity.findData(fields["granularity"]), 0))
        self.blocks.setText(" ".join(fields["blocks"]))
        self.goal.take(fields)
        self.space.take(fields)

    def use_processes(self, count: int) -> None:
        """Train with so many processes (0: one a core) where the form says nothing else."""
        if self.workers.value() == self._processes:
            self.workers.setValue(count)
        self._processes = count

    def use_cluster(self, options: ClusterOptions) -> None:
        """Search on this cluster, which then says how many processes there are."""
        self.plan.cluster = options
        self.workers.setEnabled(not options.asked)
        self.workers.setToolTip(f"The workers of {options.scheduler or options.start} train (File > Settings)"
                                if options.asked else "Processes that train at the same time")

    def check(self) -> str:
        """Look at the form; why it cannot be used as it is, empty when it can."""
        self._timer.stop()
        try:
            problem = self.space.problem() if METHODS[self.method.currentData()].proposes_recipes else ""
            self._checked = Checked(problem) if problem else \
                check(self.request_fields(), self._session.info, self._session.recipe)
        except QuantiscopeError as error:
            self._checked = Checked(sentence(error))
        self.space.show_checked(self._checked)
        self._show_state()
        return self._checked.problem

    def _on_changed(self, *_: object) -> None:
        self._timer.start()

    def _on_method(self, *_: object) -> None:
        if self.sender() is self.method:
            self.epochs.setValue(METHODS[self.method.currentData()].epochs)
        self._show_method()
        self._on_changed()

    def _show_method(self) -> None:
        method = METHODS[self.method.currentData()]
        self.method_text.setText(method.summary + ".")
        for widget, wanted in ((self.granularity, not method.proposes_recipes), (self.blocks, method.key in BLOCKWISE)):
            widget.setVisible(wanted)
            self.form.labelForField(widget).setVisible(wanted)

    # -- acting ------------------------------------------------------------------------------------

    def _on_start(self) -> None:
        if not self.check():
            self.plan.start(self.request_fields())

    def _on_pause(self) -> None:
        if self._session.search_state == "paused":
            self._session.resume_search()
        else:
            self._session.pause_search()

    # -- following ---------------------------------------------------------------------------------

    def _on_project(self) -> None:
        self.bar.setValue(0)
        self.take(self.plan.kept())
        self._on_evaluation()
        self._front, self._count = Front(), 0
        for candidate in self._session.candidates.values():
            self._count_in(candidate)
        self.check()
        self._show_summary()

    def _on_evaluation(self) -> None:
        self.goal.offer(self._session.float_evaluation)

    def _on_state(self, state: str) -> None:
        if state == "running":
            self.progress_text.setText("Starting\u2026")
        self._show_state()

    def _show_state(self) -> None:
        state, problem = self._session.search_state, self._checked.problem
        idle = state == "idle"
        self.start.setEnabled(idle and self._session.project is not None and not problem)
        self.start.setText("Start" if not self._session.candidates else "Continue")
        self.start.setAccessibleName(f"{self.start.text()} search")
        self.pause.setEnabled(state in ("running", "paused"))
        self.pause.setText("Resume" if state == "paused" else "Pause")
        self.stop.setEnabled(state in ("running", "paused"))
        self.stop.setText("Stopping\u2026" if state == "stopping" else "Stop")
        self.extend.setEnabled(self.plan.extendable)
        for number in range(self.pages.count()):
            self.pages.widget(number).setEnabled(idle)
        self.bar.setVisible(not idle)
        if state == "paused":
            self.progress_text.setText("Paused")
        if idle:
            self.bar.setValue(0)
            self.progress_text.setText(problem)
        self.progress_text.setVisible(bool(problem) or not idle)
        theme.set_role(self.progress_text, "error" if idle and problem else "muted")

    def _on_extended(self) -> None:
        more = self.plan.added
        self.extend.setText(f"Extend ({more})" if more else "Extend")

    def _on_stage(self, name: str) -> None:
        if self._session.search_state == "running" and self.bar.value() == 0:
            self.progress_text.setText(f"{name.capitalize()}\u2026")

    def _on_progress(self, progress: Progress) -> None:
        if not progress.message.startswith("search"):
            return
        self.bar.setValue(int(1000 * progress.done / progress.total) if progress.total else 0)
        unit = progress.message.rpartition(", ")[2]
        left = f", {duration(progress.remaining_s)}" if progress.remaining_s is not None else ""
        self.progress_text.setText(f"{progress.done:.0f} of {progress.total:.0f} {unit}{left}")

    def _on_candidate(self, candidate: Candidate) -> None:
        self._count_in(candidate)
        self._show_summary()

    def _count_in(self, candidate: Candidate) -> None:
        self._count += 1
        if candidate.evaluation.kind in TRAINED:
            self._front.add(candidate.id, (candidate.evaluation.accuracy, candidate.costs.energy_pj))

    def _show_summary(self) -> None:
        if not self._count:
            self.summary.setText("No candidate yet.")
            return
        front = self._front.members()
        known = self._session.candidates[front[0][0]].evaluation if front else None
        best = ""
        if known is not None:
            figure = f"accuracy {100 * known.accuracy:.2f}\u00a0%" if known.metric == "accuracy" \
                else f"{known.metric} {known.accuracy:.4f}"
            best = f" Best {figure}, least energy on the front {front[-1][1][1]:.0f}\u00a0pJ."
        noun = "candidate" if self._count == 1 else "candidates"
        self.summary.setText(f"{self._count} {noun}, {len(front)} on the front.{best}")

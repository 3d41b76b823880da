"""Starts and steers the automatic search: method, budget, what each parameter type may be, frozen layers."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.session import Session
from app.views.status_bar import duration
from core.errors import QuantizerError
from core.events import Progress
from core.quant.spec import parse
from core.requests import Search
from core.search.front import candidate_front
from core.search.space import default_options, is_open

METHODS = {"staged": "Staged (proxies, then training)", "nsga2": "NSGA-II (evolution)", "tpe": "TPE (Bayesian)",
           "random": "Random"}
TYPES = {"kernel": "Kernels", "bias": "Biases", "output": "Activations"}
CALIBRATED = "Its integer bits are chosen for each layer from the range of the values"
FIELD_HEIGHT = 28


class CheckList(QListWidget):
    """Texts to tick, by mouse or space bar."""

    def __init__(self, name: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName(title)

    def add(self, text: str, ticked: bool, tip: str = "") -> None:
        """Append a text."""
        item = QListWidgetItem(text, self)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
        item.setToolTip(tip)

    def chosen(self) -> list[str]:
        """The ticked texts."""
        items = (self.item(row) for row in range(self.count()))
        return [item.text() for item in items if item.checkState() == Qt.CheckState.Checked]

    def tick(self, text: str) -> bool:
        """Tick a text that is there; False where it is not."""
        found = self.findItems(text, Qt.MatchFlag.MatchExactly)
        for item in found:
            item.setCheckState(Qt.CheckState.Checked)
        return bool(found)


class OptionList(QWidget):
    """Quantizer strings one parameter type may take: tick, or type another and press Enter.

    Signals:
        changed(): another set is ticked.
    """

    changed = Signal()

    def __init__(self, parameter: str, options: list[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(f"options_{parameter}")
        self.list = CheckList(f"options_{parameter}_list", f"Quantizers allowed for {TYPES[parameter].lower()}", self)
        self.entry = QLineEdit(self, objectName=f"options_{parameter}_entry",
                               placeholderText="Add another, for example quantized_bits(5,0,alpha=1)")
        self.entry.setAccessibleName(f"Another quantizer for {TYPES[parameter].lower()}")
        self.message = QLabel("", self, objectName=f"options_{parameter}_message", wordWrap=True)
        theme.set_role(self.message, "error")
        self.message.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 4)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.entry)
        layout.addWidget(self.message)
        for text in options:
            self._add(text)
        self.entry.returnPressed.connect(self._on_entered)
        self.list.itemChanged.connect(self._on_ticked)

    def chosen(self) -> list[str]:
        """The ticked strings."""
        return self.list.chosen()

    def _add(self, text: str) -> None:
        self.list.add(text, True, CALIBRATED if is_open(text) else "")

    def _on_ticked(self, *_: object) -> None:
        self.changed.emit()

    def _on_entered(self) -> None:
        text = self.entry.text().strip()
        try:
            parse(text)
        except QuantizerError as error:
            self.message.setText(str(error))
            self.message.show()
            return
        self.message.hide()
        self.entry.clear()
        if not self.list.tick(text):
            self._add(text)
        self.changed.emit()


class SearchPanel(QWidget):
    """The search form, its buttons, and what it has found so far."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("search_panel")
        self._session = session
        self._form()
        self._buttons()
        self._status()
        layout = QVBoxLayout(self)
        layout.addLayout(self.form)
        layout.addWidget(self.tabs, 1)
        layout.addLayout(self.button_row)
        layout.addWidget(self.bar)
        layout.addWidget(self.progress_text)
        layout.addWidget(self.summary)
        session.projectChanged.connect(self._on_project)
        session.searchStateChanged.connect(self._on_state)
        session.candidateAdded.connect(self._on_candidates)
        session.jobProgress.connect(self._on_progress)
        self._on_project()
        self._on_state(session.search_state)

    # -- building ----------------------------------------------------------------------------------

    def _form(self) -> None:
        defaults = Search(project="")
        self.method = QComboBox(self, objectName="search_method", toolTip="How candidates are proposed")
        for key, label in METHODS.items():
            self.method.addItem(label, key)
        self.seconds = QDoubleSpinBox(self, objectName="search_seconds", minimum=0, maximum=1e6, value=60, decimals=0,
                                      suffix=" s", specialValueText="no limit", toolTip="Time the search may take")
        self.trials = QSpinBox(self, objectName="search_trials", minimum=0, maximum=1_000_000, value=0,
                               specialValueText="no limit", toolTip="Number of candidates to train")
        self.epochs = QSpinBox(self, objectName="search_epochs", minimum=1, maximum=1000, value=defaults.epochs,
                               toolTip="Training epochs for each candidate, from the float weights")
        self.seed = QSpinBox(self, objectName="search_seed", minimum=0, maximum=2**31 - 1, value=defaults.seed,
                             toolTip="The same seed gives the same candidates")
        self.form = QFormLayout(horizontalSpacing=12)
        for label, widget in (("Method", self.method), ("Time", self.seconds), ("Candidates", self.trials),
                              ("Epochs each", self.epochs), ("Seed", self.seed)):
            widget.setAccessibleName(label)
            widget.setMinimumHeight(FIELD_HEIGHT)
            self.form.addRow(label, widget)
        self.tabs = QTabWidget(self, objectName="search_options")
        self.tabs.setAccessibleName("Quantizers to choose from")
        self.options = {}
        for parameter, options in default_options().items():
            self.options[parameter] = OptionList(parameter, options, self)
            self.tabs.addTab(self.options[parameter], TYPES[parameter])
            self.options[parameter].changed.connect(self._check)
        self.frozen = CheckList("search_frozen", "Layers that keep the quantizers of the table", self)
        self.tabs.addTab(self.frozen, "Frozen")
        self.tabs.setTabToolTip(self.tabs.count() - 1, "Layers that keep the quantizers of the table")
        self.tabs.setStyleSheet("QTabBar::tab { padding: 7px 10px; }")  # four tabs fit a narrow panel
        for spin in (self.seconds, self.trials):
            spin.valueChanged.connect(self._check)

    def _buttons(self) -> None:
        self.start = QPushButton("Start search", self, objectName="search_start")
        theme.set_role(self.start, "primary")
        self.pause = QPushButton("Pause", self, objectName="search_pause")
        self.stop = QPushButton("Stop", self, objectName="search_stop")
        self.button_row = QHBoxLayout()
        for button in (self.start, self.pause, self.stop):
            self.button_row.addWidget(button)
        self.start.clicked.connect(self._on_start)
        self.pause.clicked.connect(self._on_pause)
        self.stop.clicked.connect(self._session.stop_search)

    def _status(self) -> None:
        self.bar = QProgressBar(self, objectName="search_progress", textVisible=False, maximum=1000)
        self.bar.setAccessibleName("Progress of the search")
        self.progress_text = QLabel("", self, objectName="search_progress_text")
        self.summary = QLabel("", self, objectName="search_summary", wordWrap=True)
        theme.set_role(self.progress_text, "muted")

    # -- acting ------------------------------------------------------------------------------------

    def request_fields(self) -> dict[str, object]:
        """What the form asks for, as fields of core.requests.Search."""
        return {"method": self.method.currentData(), "trials": self.trials.value() or None,
                "seconds": self.seconds.value() or None, "epochs": self.epochs.value(), "seed": self.seed.value(),
                "options": {parameter: chosen.chosen() for parameter, chosen in self.options.items()},
                "frozen": self.frozen.chosen()}

    def problem(self) -> str:
        """Why the form cannot be used as it is; empty when it can."""
        if not self.seconds.value() and not self.trials.value():
            return "Limit the time or the number of candidates."
        empty = [TYPES[parameter] for parameter, options in self.options.items() if not options.chosen()]
        return f"Tick at least one quantizer under {empty[0]}." if empty else ""

    def _check(self, *_: object) -> None:
        self._on_state(self._session.search_state)

    def _on_start(self) -> None:
        self._session.start_search(**self.request_fields())

    def _on_pause(self) -> None:
        if self._session.search_state == "paused":
            self._session.resume_search()
        else:
            self._session.pause_search()

    # -- following ---------------------------------------------------------------------------------

    def _on_project(self) -> None:
        self.bar.setValue(0)
        self.frozen.clear()
        for layer in self._session.info.layers if self._session.info is not None else ():
            if layer.quantizable:
                self.frozen.add(layer.name, False, layer.class_name)
        self._on_state(self._session.search_state)
        self._on_candidates()

    def _on_state(self, state: str) -> None:
        idle = state == "idle"
        problem = self.problem()
        self.start.setEnabled(idle and self._session.project is not None and not problem)
        self.start.setText("Start search" if not self._session.candidates else "Continue search")
        self.pause.setEnabled(state in ("running", "paused"))
        self.pause.setText("Resume" if state == "paused" else "Pause")
        self.stop.setEnabled(state in ("running", "paused"))
        self.stop.setText("Stopping…" if state == "stopping" else "Stop")
        for widget in (self.method, self.seconds, self.trials, self.epochs, self.seed, self.tabs):
            widget.setEnabled(idle)
        self.bar.setVisible(not idle)
        if state == "paused":
            self.progress_text.setText("Paused")
        if idle:
            self.bar.setValue(0)
            self.progress_text.setText(problem)
        self.progress_text.setVisible(bool(problem) or not idle)
        theme.set_role(self.progress_text, "error" if idle and problem else "muted")

    def _on_progress(self, progress: Progress) -> None:
        if not progress.message.startswith("search"):
            return
        self.bar.setValue(int(1000 * progress.done / progress.total) if progress.total else 0)
        unit = progress.message.rpartition(", ")[2]
        left = f", {duration(progress.remaining_s)}" if progress.remaining_s is not None else ""
        self.progress_text.setText(f"{progress.done:.0f} of {progress.total:.0f} {unit}{left}")

    def _on_candidates(self, *_: object) -> None:
        candidates = list(self._session.candidates.values())
        if not candidates:
            self.summary.setText("No candidate yet.")
            return
        front = candidate_front(candidates)
        best = f" Best accuracy {100 * front[0].evaluation.accuracy:.2f}\u00a0%, least energy on the front" \
               f" {front[-1].costs.energy_pj:.0f}\u00a0pJ." if front else ""
        noun = "candidate" if len(candidates) == 1 else "candidates"
        self.summary.setText(f"{len(candidates)} {noun}, {len(front)} on the front.{best}")

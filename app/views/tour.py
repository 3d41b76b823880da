"""A tour of six steps on the demo: a card beside what it speaks of, with a frame around that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QPoint, QRect, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app import theme

CARD_WIDTH, GAP, FRAME = 340, 14, 3


@dataclass(frozen=True)
class Step:
    """One step: what to show first, the object name of the widget it speaks of, title and text."""

    page: str
    widget: str
    title: str
    text: str


STEPS = (
    Step("show_layers", "layer_table", "The layers",
         "One row a layer. Double click a quantizer, or press Enter on it, to choose another one: energy and bits"
         " follow at once, the accuracy a moment later. Ctrl+Z takes anything back."),
    Step("show_layers", "distribution_plot", "What a quantizer does to the values",
         "The values of the weight whose quantizer is selected, and below them the comb of those that can be"
         " represented. What falls outside saturates."),
    Step("show_search", "search_panel", "The search",
         "Choose what each layer may take and how long to search, then press Start. It runs in the background; you"
         " can pause it, stop it and go on tomorrow."),
    Step("show_search", "pareto_plot", "The Pareto front",
         "Each point is a trained candidate. Click one, or walk along the front with the arrow keys, and its ROC"
         " curves appear beside those of the float model."),
    Step("show_export", "export_form", "To firmware",
         "Choose a flow, a part and a clock, and press Generate and synthesize. The project is written, proved bit"
         " for bit on test events, and synthesized."),
    Step("show_export", "report_view", "What it costs",
         "Latency, initiation interval, DSP, LUT and FF as the tools report them, each also in percent of the part."
         " The badge is green only when every value agrees."),
)


class Tour(QWidget):
    """Lies over the window; Next, Back, arrow keys; Esc ends it.

    Args:
        window: the main window; has the methods that the steps' pages name.
        steps: what to show.

    Signals:
        ended().
    """

    ended = Signal()

    def __init__(self, window: QWidget, steps: tuple[Step, ...] = STEPS) -> None:
        super().__init__(window)
        self.setObjectName("tour")
        self.setAccessibleName("Tour")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._window, self._steps = window, steps
        self.number = 0
        self._build_card()
        self.setGeometry(window.rect())
        self.show()
        self.raise_()
        self._show()

    def _build_card(self) -> None:
        self.card = QFrame(self, objectName="tour_card")
        theme.set_role(self.card, "card")
        self.card.setFixedWidth(CARD_WIDTH)
        self.title = QLabel("", self.card, objectName="tour_title")
        theme.set_role(self.title, "heading")
        self.text = QLabel("", self.card, objectName="tour_text", wordWrap=True)
        self.count = QLabel("", self.card, objectName="tour_count")
        theme.set_role(self.count, "muted")
        self.back = self._button("Back", "tour_back", self.go_back)
        self.next = self._button("Next", "tour_next", self.go_on)
        theme.set_role(self.next, "primary")
        self.skip = self._button("End tour", "tour_end", self.end)
        buttons = QHBoxLayout()
        buttons.addWidget(self.count)
        buttons.addStretch(1)
        for button in (self.skip, self.back, self.next):
            buttons.addWidget(button)
        layout = QVBoxLayout(self.card)
        layout.setContentsMargins(18, 14, 18, 14)
        layout.addWidget(self.title)
        layout.addWidget(self.text)
        layout.addLayout(buttons)

    def _button(self, text: str, name: str, slot: Callable[[], None]) -> QPushButton:
        button = QPushButton(text, self.card, objectName=name)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(slot)
        return button

    def go_on(self) -> None:
        """To the next step; after the last one the tour ends."""
        self._move(1)

    def go_back(self) -> None:
        """To the step before."""
        self._move(-1)

    def end(self) -> None:
        """Leave the window as it is and go."""
        self.hide()
        self.ended.emit()
        self.deleteLater()

    def _move(self, by: int) -> None:
        self.number = max(self.number + by, 0)
        if self.number >= len(self._steps):
            self.end()
        else:
            self._show()

    def _show(self) -> None:
        step = self._steps[self.number]
        getattr(self._window, step.page)()
        self.title.setText(step.title)
        self.text.setText(step.text)
        self.count.setText(f"{self.number + 1} of {len(self._steps)}")
        self.back.setEnabled(self.number > 0)
        self.next.setText("Done" if self.number + 1 == len(self._steps) else "Next")
        self.card.adjustSize()
        self._place()
        self.setFocus()
        self.update()

    @property
    def target(self) -> QRect:
        """Where the widget of this step is; empty where the window has none of that name."""
        found = self._window.findChild(QWidget, self._steps[self.number].widget)
        if found is None or not found.isVisible():
            return QRect()
        return QRect(found.mapTo(self._window, QPoint(0, 0)), found.size())

    def _place(self) -> None:
        """Right of the target if there is room, else left of it, else over its lower end."""
        target, card, room = self.target, self.card.sizeHint(), self.rect()
        card.setWidth(CARD_WIDTH)
        x = next((x for x in (target.right() + GAP, target.left() - GAP - card.width())
                  if 0 <= x <= room.width() - card.width()), room.width() - card.width() - 3 * GAP)
        y = min(max(target.center().y() - card.height() // 2, GAP), room.height() - card.height() - GAP)
        self.card.move(x, y)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Everything but the target a little darker, and a frame around it."""
        painter = QPainter(self)
        shade = QColor(0, 0, 0, 110)
        target = self.target.adjusted(-FRAME, -FRAME, FRAME, FRAME)
        outside = self.rect()
        for part in (QRect(outside.topLeft(), QPoint(outside.right(), target.top() - 1)),
                     QRect(QPoint(0, target.bottom() + 1), outside.bottomRight()),
                     QRect(QPoint(0, target.top()), QPoint(target.left() - 1, target.bottom())),
                     QRect(QPoint(target.right() + 1, target.top()), QPoint(outside.right(), target.bottom()))):
            painter.fillRect(part, shade)
        painter.setPen(QPen(QColor(theme.tokens().accent), FRAME))
        painter.drawRect(target)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Right, Enter and Space go on, Left goes back, Esc ends."""
        if event.key() == Qt.Key.Key_Escape:
            self.end()
        elif event.key() in (Qt.Key.Key_Right, Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.go_on()
        elif event.key() == Qt.Key.Key_Left:
            self.go_back()
        else:
            super().keyPressEvent(event)

    def follow_size(self) -> None:
        """Cover the window again after it was resized."""
        self.setGeometry(self._window.rect())
        self._place()

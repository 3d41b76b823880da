"""The checks before an export: what is in order in one line, what is not with its remedy."""

from __future__ import annotations

import html

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from app import theme
from app.jobs.preflight import PreflightCheck
from app.views.elided import scrolled
from core.hls.preflight import FAIL, OK, WARN, Finding

MARKS = {OK: ("\u2713", "success"), WARN: ("\u26a0", "warning"), FAIL: ("\u2717", "danger")}
LOOKING = "Looking at what this export would meet\u2026"
NOTHING = "Select a candidate, and what its export would meet is told here."
#: pixels of height at most, beyond which it scrolls
MOST = 220


class PreflightView(QWidget):
    """Follows a PreflightCheck."""

    def __init__(self, check: PreflightCheck, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("preflight_view")
        self._check = check
        self.label = QLabel("", objectName="preflight_text", wordWrap=True)
        self.label.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.label.setTextFormat(Qt.TextFormat.RichText)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse
                                          | Qt.TextInteractionFlag.TextSelectableByKeyboard)
        self.label.setAccessibleName("Checks before the export")
        self.area = scrolled(self.label, "preflight_area")
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.area)
        check.changed.connect(self._show)
        theme.manager().changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        check = self._check
        if check.findings is not None:
            text, tip = told(check.findings), "\n".join(f"{MARKS[one.state][0]} {one.what}" for one in check.findings)
        else:
            text, tip = html.escape(LOOKING if check.computing else check.problem or NOTHING), ""
        self.label.setText(text)
        self.label.setToolTip(tip)
        self._fit()

    def resizeEvent(self, event: object) -> None:
        """As high as the text, up to a limit."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._fit()

    def _fit(self) -> None:
        height = self.label.heightForWidth(max(self.width() - 4, 40))
        self.area.setFixedHeight(min(max(height, self.fontMetrics().height()) + 6, MOST))


def told(findings: list[Finding]) -> str:
    """Rich text: faults first, then warnings, each with its remedy; what is in order in one line."""
    lines = [_line(one) for state in (FAIL, WARN) for one in findings if one.state == state]
    good = [one for one in findings if one.state == OK]
    if good:
        tools = ", ".join(one.what for one in good if one.subject == "tool" and " is " not in one.what)
        others = [one.what for one in good if one.subject in ("network", "memory", "unrolling", "precision")]
        text = f"{len(good)} check{'s' if len(good) > 1 else ''} passed" + (f": {tools}" if tools else "")
        lines.append(f"{_mark(OK)} {html.escape(text)}")
        lines += [f"{_mark(OK)} {html.escape(text)}" for text in others]
    return "<br>".join(lines)


def _line(one: Finding) -> str:
    remedy = f"<br><i>{html.escape(one.remedy)}</i>" if one.remedy else ""
    return f"{_mark(one.state)} {html.escape(one.what[:1].upper() + one.what[1:])}.{remedy}"


def _mark(state: str) -> str:
    sign, colour = MARKS[state]
    return f'<span style="color:{getattr(theme.tokens(), colour)}">{sign}</span>'

"""Two to six candidates side by side: figures, exports, and the recipes line by line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor, QFont, QPixmap

from app import theme
from app.inspection import compared_colour
from app.models.layer_table import grouped
from app.session import Session
from core.candidate import Candidate
from core.hls.report import ExportReport, SynthesisReport
from core.metrics import background_rejection, mean_auc
from core.quant.recipe import LayerRecipe

Index = QModelIndex | QPersistentModelIndex
DASH = "\u2013"
FLOAT = "float"
#: pixels of the colour beside an id
SWATCH = 10


@dataclass(frozen=True)
class Line:
    """One line of a table.

    `texts` has one entry a candidate; `values` the numbers behind them, where there are any; `better` is 1 where
    more is better, -1 where less is, 0 where neither; a `section` is a headline without values.
    """

    title: str
    texts: tuple[str, ...] = ()
    values: tuple[float | None, ...] = ()
    better: int = 0
    tip: str = ""
    section: bool = False

    @property
    def differs(self) -> bool:
        """True where not all candidates have the same."""
        return len(set(self.texts)) > 1

    def best(self) -> frozenset[int]:
        """Columns that hold the best value, where not all are as good."""
        known = [value for value in self.values if value is not None]
        if not self.better or len(known) < 2 or min(known) == max(known):
            return frozenset()
        wanted = max(known) if self.better > 0 else min(known)
        return frozenset(number for number, value in enumerate(self.values) if value == wanted)


@dataclass
class Lines:
    """Collects lines over a fixed row of candidates."""

    candidates: Sequence[Candidate]
    found: list[Line] = field(default_factory=list)

    def section(self, title: str) -> None:
        self.found.append(Line(title, ("",) * len(self.candidates), section=True))

    def numbers(self, title: str, take: Callable[[Candidate], float | None], show: Callable[[float], str],
                better: int = 0, tip: str = "", relative: bool = False) -> None:
        """A line of numbers, each after the first with its ratio to the first where asked; none known: no line."""
        values = tuple(take(candidate) for candidate in self.candidates)
        if all(value is None for value in values):
            return
        texts = [DASH if value is None else show(value) for value in values]
        first = values[0]
        if relative and first:
            for number, value in enumerate(values[1:], start=1):
                if value is not None:
                    texts[number] += f"  ({_signed(100 * (value / first - 1))}\u00a0%)"
        self.found.append(Line(title, tuple(texts), values, better, tip))

    def texts(self, title: str, take: Callable[[Candidate], str], tip: str = "") -> None:
        self.found.append(Line(title, tuple(take(candidate) for candidate in self.candidates), tip=tip))


def figure_lines(candidates: Sequence[Candidate], exports: Sequence[ExportReport], working_point: float) -> list[Line]:
    """Quality, costs, training and exports of the candidates."""
    lines = Lines(candidates)
    _quality(lines, working_point)
    lines.section("Cost")
    for title, name, unit in (("Energy (pJ)", "energy_pj", ""), ("Parameter bits", "parameter_bits", ""),
                              ("Activation bits", "activation_bits", ""), ("EBOPs", "ebops", ""),
                              ("LUT, estimated for hls4ml", "lut", ""), ("DSP, estimated for hls4ml", "dsp", ""),
                              ("LUT, estimated for RTL", "da_lut", ""),
                              ("Latency, estimated for RTL (ns)", "latency_ns", "")):
        lines.numbers(title, lambda c, name=name: getattr(c.costs, name, None), _whole, -1, unit, relative=True)
    lines.section("Training")
    lines.texts("Method", lambda c: c.method)
    lines.texts("Judged as", lambda c: c.evaluation.kind)
    lines.numbers("Epochs", lambda c: c.training.get("epochs"), "{:g}".format)
    lines.numbers("Time (s)", lambda c: c.seconds, "{:.1f}".format)
    lines.texts("Seed", lambda c: DASH if c.seed is None else str(c.seed))
    _exports(lines, exports)
    return lines.found


def _quality(lines: Lines, working_point: float) -> None:
    metric = lines.candidates[0].evaluation.metric
    lines.section("Quality")
    if metric == "accuracy":
        lines.numbers("Accuracy (%)", lambda c: 100 * c.evaluation.accuracy, "{:.2f}".format, 1, "On the test events")
    else:
        lines.numbers(metric, lambda c: c.evaluation.accuracy, "{:.4f}".format, 1, "On the test events")
    lines.numbers("Mean AUC", lambda c: mean_auc(c.evaluation.auc), "{:.4f}".format, 1)
    classes = dict.fromkeys(name for c in lines.candidates for name in c.evaluation.auc)
    for name in classes:
        lines.found.append(_area_line(lines.candidates, name))
    for name in classes:
        lines.numbers(f"Rejection of the rest, {name}",
                      lambda c, name=name: background_rejection(*c.evaluation.roc[name], working_point)
                      if name in c.evaluation.roc else None, "{:.1f}".format, 1,
                      f"One over the background efficiency at a signal efficiency of {working_point:.3f}")


def _area_line(candidates: Sequence[Candidate], name: str) -> Line:
    values = tuple(c.evaluation.auc.get(name) for c in candidates)
    errors = [c.evaluation.auc_error.get(name) for c in candidates]
    texts = tuple(DASH if value is None else f"{value:.4f}" + (f" \u00b1 {error:.4f}" if error else "")
                  for value, error in zip(values, errors, strict=True))
    return Line(f"AUC, {name}", texts, values, 1,
                "\u00b1 is the standard error by Hanley and McNeil, Radiology 143 (1982) 29")


_SYNTHESIS: tuple[tuple[str, str], ...] = (
    ("LUT", "lut"), ("FF", "ff"), ("DSP", "dsp"), ("BRAM", "bram"), ("Latency (cycles)", "latency_cycles"),
    ("Latency (ns)", "latency_ns"), ("Initiation interval", "ii"))


def _exports(lines: Lines, exports: Sequence[ExportReport]) -> None:
    """One section a flow that some candidate was exported by."""
    newest = {(report.candidate_id, report.flow): report for report in exports}
    ids = {candidate.id for candidate in lines.candidates}
    for flow in dict.fromkeys(flow for key, flow in newest if key in ids):
        def report(candidate: Candidate, flow: str = flow) -> ExportReport | None:
            return newest.get((candidate.id, flow))

        def figure(candidate: Candidate, name: str, flow: str = flow) -> float | None:
            found = newest.get((candidate.id, flow))
            return _figure(found.synthesis if found else None, name)

        lines.section(f"Export, {flow}")
        lines.texts("Bit-exact", lambda c, report=report: _exactness(report(c)), "Against Keras on the test events")
        lines.texts("Part", lambda c, report=report: found.part if (found := report(c)) else DASH)
        lines.texts("Clock (ns)", lambda c, report=report: f"{found.clock_ns:g}" if (found := report(c)) else DASH)
        for title, name in _SYNTHESIS:
            lines.numbers(title, lambda c, name=name, figure=figure: figure(c, name), _whole, -1, relative=True)


def _figure(synthesis: SynthesisReport | None, name: str) -> float | None:
    return None if synthesis is None else getattr(synthesis, name)


def _exactness(report: ExportReport | None) -> str:
    if report is None:
        return DASH
    if report.exactness is None or not report.exactness.flows:
        return "not verified"
    return "yes" if report.exactness.verified else f"no: {report.exactness.mismatches} values differ"


def recipe_lines(candidates: Sequence[Candidate], layers: Sequence[str], only_differences: bool = False) -> list[Line]:
    """Input, then each layer's quantizers, units and sparsity, in the model's order."""
    found = [Line("Input", tuple(candidate.recipe.input for candidate in candidates))]
    names = dict.fromkeys([*layers, *(name for c in candidates for name in c.recipe.layers)])
    for name in names:
        entries = [candidate.recipe.layers.get(name, LayerRecipe()) for candidate in candidates]
        for parameter in dict.fromkeys(key for entry in entries for key in entry.quantizers):
            found.append(Line(f"{name}, {parameter}", tuple(_quantizer(entry, parameter) for entry in entries)))
        if any(entry.units_multiplier != 1.0 for entry in entries):
            found.append(Line(f"{name}, units", tuple(f"\u00d7 {entry.units_multiplier:g}" for entry in entries)))
        if any(entry.sparsity for entry in entries):
            found.append(Line(f"{name}, zeros", tuple(f"{100 * entry.sparsity:.0f} %" for entry in entries)))
    return [line for line in found if line.differs or not only_differences]


def _quantizer(entry: LayerRecipe, parameter: str) -> str:
    text = entry.quantizers.get(parameter, FLOAT)
    return f"{text}, widths by {entry.widths[parameter]}" if parameter in entry.widths else text


def _whole(value: float) -> str:
    return grouped(round(value)) if float(value).is_integer() or abs(value) >= 100 else f"{value:.2f}"


def _signed(value: float) -> str:
    return f"{value:+.0f}".replace("-", "\u2212")


class LineTable(QAbstractTableModel):
    """Lines over the candidates that are compared; the first candidate is what the others are held against.

    Args:
        recipes: mark cells that differ from the first candidate; else mark the best of each line.
    """

    def __init__(self, session: Session, name: str, recipes: bool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self._session = session
        self._recipes = recipes
        self._ids: list[str] = []
        self._lines: list[Line] = []

    def show(self, ids: Sequence[str], lines: Sequence[Line]) -> None:
        """Show these lines and nothing else."""
        self.beginResetModel()
        self._ids, self._lines = list(ids), list(lines)
        self.endResetModel()

    def line(self, row: int) -> Line:
        """The line of a row."""
        return self._lines[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Number of lines."""
        return 0 if parent.isValid() else len(self._lines)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Titles and one column a candidate."""
        return 0 if parent.isValid() else 1 + len(self._ids)

    def headerData(self, section: int, orientation: Qt.Orientation,
                   role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Ids of the candidates, each in its colour."""
        if orientation is not Qt.Orientation.Horizontal or not 0 < section <= len(self._ids):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._ids[section - 1]
        if role == Qt.ItemDataRole.DecorationRole:
            swatch = QPixmap(SWATCH, SWATCH)
            swatch.fill(QColor(compared_colour(section - 1)))
            return swatch
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    def marked(self, row: int, column: int) -> bool:
        """True where a cell stands out: the best figure of its line, or a quantizer other than the first's."""
        line = self._lines[row]
        if column == 0 or line.section:
            return False
        if self._recipes:
            return line.texts[column - 1] != line.texts[0]
        return column - 1 in line.best()

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell's text, weight, ground and tool tip."""
        if not index.isValid():
            return None
        line, column = self._lines[index.row()], index.column()
        marked = self.marked(index.row(), column)
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return line.title if column == 0 else line.texts[column - 1]
            case Qt.ItemDataRole.ToolTipRole:
                return self._tip(line, column, marked)
            case Qt.ItemDataRole.FontRole if marked or line.section:
                font = QFont()
                font.setBold(True)
                return font
            case Qt.ItemDataRole.BackgroundRole if self._recipes and marked:
                return QColor(theme.tokens().selection)
            case Qt.ItemDataRole.ForegroundRole if column == 0 and not line.section:
                return QColor(theme.tokens().muted)
            case Qt.ItemDataRole.AccessibleTextRole if column > 0 and not line.section:
                return f"{line.title} of {self._ids[column - 1]}: {line.texts[column - 1]}"
        return None

    def _tip(self, line: Line, column: int, marked: bool) -> str | None:
        if column == 0:
            return line.tip or None
        if marked:
            return f"Other than {self._ids[0]}: {line.texts[0]}" if self._recipes else "The best of these"
        return None

    def csv(self) -> str:
        """The table as it is shown, comma-separated."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["", *self._ids])
        for line in self._lines:
            writer.writerow([line.title, *(value if value is not None else shown for shown, value in
                                           zip(line.texts, line.values or (None,) * len(line.texts), strict=True))])
        return text.getvalue()


def spread(front: Sequence[str], number: int) -> list[str]:
    """`number` ids evenly along a front, both ends among them."""
    if len(front) <= number:
        return list(front)
    return [front[round(place * (len(front) - 1) / (number - 1))] for place in range(number)]

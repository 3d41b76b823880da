"""The matrix of kinds, classes and flows as a page: what a cell and a row are, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.quant.spec import KINDS


@dataclass(frozen=True)
class Cell:
    """One kind in one place of one class by one flow: mismatches of so many values, or why it is refused."""

    kind: str
    mismatches: int = 0
    values: int = 0
    refused: str = ""

    @property
    def mark(self) -> str:
        """For a table: the number of mismatches, or a dash."""
        return "-" if self.refused else str(self.mismatches)


@dataclass(frozen=True)
class Row:
    """A class, a place and a flow: a cell for each kind that can stand there.

    `seconds` is what the flow took for the class, all its places together; None where another row of it tells.
    """

    name: str
    place: str
    flow: str
    cells: dict[str, Cell] = field(default_factory=dict)
    seconds: float | None = None


def totals(found: Sequence[Row]) -> str:
    """Mismatches, values and cells in one sentence."""
    done = [cell for row in found for cell in row.cells.values() if not cell.refused]
    return (f"{sum(cell.mismatches for cell in done)} mismatches in {sum(cell.values for cell in done)} values of"
            f" {len(done)} cells; {sum(len(row.cells) for row in found) - len(done)} cells are refused.")


def page(found: Sequence[Row], title: str) -> str:
    """The rows as a page in Markdown: a table, then the reasons of what is refused."""
    head = " | ".join(f"`{kind}`" for kind in KINDS)
    lines = [f"| class: place | flow | {head} | s |", "|---" * (len(KINDS) + 3) + "|"]
    for row in found:
        marks = [row.cells[kind].mark if kind in row.cells else "" for kind in KINDS]
        seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
        lines.append(f"| {row.name}: {row.place} | {row.flow} | {' | '.join(marks)} | {seconds} |")
    return "\n".join([title, "", totals(found), "", *lines, "", "Refused, with the reason that is given:", "",
                      *_reasons(found)]) + "\n"


def _reasons(found: Sequence[Row]) -> list[str]:
    """One line for each kind and reason, with the places it was given for."""
    reasons: dict[str, list[str]] = {}
    for row in found:
        for cell in row.cells.values():
            if cell.refused:
                spot = f"{row.place}_{cell.kind}"
                reason = cell.refused.replace(f"'{spot}'", "it").replace(f"'{spot}_flat'", "it")
                reasons.setdefault(f"{cell.kind}, {row.flow}: {reason}", []).append(f"{row.name}: {row.place}")
    return [f"- {reason} ({', '.join(dict.fromkeys(where))})" for reason, where in sorted(reasons.items())]

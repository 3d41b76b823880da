"""Errors a user can meet: each says what is wrong, why, and what to do next."""

from __future__ import annotations

#: what a file holds may be quoted; of a hostile one no more than this, in characters
MAX_QUOTED = 800


def _one_line(text: str) -> str:
    """A text without line breaks and not too long to be read."""
    text = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]} ..."


class QuantiscopeError(Exception):
    """Base of every expected error.

    Args:
        what: one clause naming what went wrong, without a final full stop.
        why: the cause as far as it is known; empty when `what` says it all.
        remedy: what the user can do next.

    Attributes:
        details: a traceback or a tool's last lines, for those who want them; never needed to go on.
    """

    details: str = ""

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        what, why = _one_line(what), _one_line(why)
        super().__init__(what, why, remedy)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        sentence = f"{self.what}: {self.why}" if self.why else self.what
        return f"{sentence}. {self.remedy}" if self.remedy else f"{sentence}."


class ModelFileError(QuantiscopeError):
    """The model file is missing, corrupt, foreign, or holds code that must not be run."""


class DatasetError(QuantiscopeError):
    """The dataset cannot be read or does not fit the model."""


class QuantizerError(QuantiscopeError):
    """A quantizer string or argument is not one that is known."""


class RecipeError(QuantiscopeError):
    """A recipe does not fit its model."""


class CostError(QuantiscopeError):
    """A cost cannot be computed from what was given."""


class TrainingError(QuantiscopeError):
    """A training cannot start, or does not converge."""


class SearchError(QuantiscopeError):
    """A search cannot start or go on."""


class ProjectError(QuantiscopeError):
    """A project folder cannot be read or written."""


class ExportError(QuantiscopeError):
    """A candidate cannot be exported by the chosen flow."""


class ToolMissingError(QuantiscopeError):
    """An external tool is not installed; the remedy names the command that installs it."""


class ToolFailedError(QuantiscopeError):
    """An external tool ended with an error."""


class ClusterError(QuantiscopeError):
    """A cluster cannot be reached, started or used."""


class WorkerDiedError(QuantiscopeError):
    """The worker process ended without a result."""


class Cancelled(Exception):
    """The user asked a job to stop; not an error."""

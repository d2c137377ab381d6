"""Every error a reidkit user can meet, in one tree.

A message says what was asked, what was found and what to do. The commands print it on one line and leave with
the class's `exit_code`: 1 failure, 3 accuracy gate, 4 artifact invalid or untrusted, 5 backend missing, 130 Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar


class ReidkitError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        message: what was asked and what was found.
        remedy: what to do about it; empty where the message already says so.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled by what it holds: the arguments of its class are another's, and may be keywords alone.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[ReidkitError], arguments: tuple[Any, ...], state: dict[str, Any]) -> ReidkitError:
    """An error that came from another process."""
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


class InvalidInput(ReidkitError, ValueError):
    """An array or argument has the wrong shape, type or values."""


class InvalidFile(ReidkitError):
    """A file the user named is missing, unreadable or not what it should be."""


class InvalidConfig(ReidkitError, ValueError):
    """A configuration has an unknown key, a missing key or a value out of range."""


class InvalidCheckpoint(InvalidFile):
    """A weights file does not hold the weights of the backbone that was asked for."""


class DownloadFailure(ReidkitError):
    """A file could not be fetched, or what came is not the file that was expected; nothing took its place."""


class MissingDependency(ReidkitError):
    """A library that this task needs is not installed."""

    exit_code = 5

    def __init__(self, library: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}, which is not installed", remedy=f"pip install 'reidkit[{extra}]'")
        self.library = library
        self.extra = extra


class ExtensionMissing(ReidkitError, ImportError):
    """The compiled part of reidkit is not there, or was built for another Python or processor."""

    exit_code = 5


class ArtifactInvalid(ReidkitError):
    """An artifact folder is incomplete, altered, or of a schema this version does not read."""

    exit_code = 4


class ArtifactUntrusted(ReidkitError):
    """An artifact holds native code that was built elsewhere and nobody vouched for."""

    exit_code = 4


class EngineNotBuilt(ReidkitError):
    """An artifact is a portable bundle whose engine has to be built on this box first."""

    exit_code = 4


class EngineFailure(ReidkitError):
    """An inference library refused a model or failed while running it."""


class NonFiniteEmbedding(EngineFailure):
    """An engine returned NaN or infinity.

    Attributes:
        rows: indices of the offending crops within the batch that was asked for.
    """

    def __init__(self, rows: Iterable[int], *, artifact: str) -> None:
        self.rows = tuple(int(row) for row in rows)
        shown = ", ".join(map(str, self.rows[:8])) + (", …" if len(self.rows) > 8 else "")
        super().__init__(
            f"{artifact} returned non-finite embeddings for crops {shown}",
            remedy="do not track with it; export it again and look at its parity report",
        )


class ExportFailure(ReidkitError):
    """A model could not be converted or built."""


class TargetUnavailable(ExportFailure):
    """What a target builds with is not on this machine."""

    exit_code = 5


class GateFailure(ReidkitError):
    """A converted model is not faithful enough to its reference; nothing was published.

    Attributes:
        report: the figures and the gates, as the command prints them with ``--json``.
    """

    exit_code = 3

    def __init__(self, message: str, *, remedy: str = "", report: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.report = dict(report or {})


class Interrupted(ReidkitError):
    """A command was asked to stop before it had anything to show."""

    exit_code = 130


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion such as ``"did you mean 'osnet_x1_0'?"``, else the list of what is known."""
    choices = sorted(known)
    close = get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(choices)}"

"""What a gate decided, in one form for all gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "not_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """What one gate decided.

    Attributes:
        name: of the gate.
        status: `not_run` where there was nothing to run it on.
        measure: which figure decided: the first that is beyond its limit, else the gate's principal one.
        value: that figure; None if the gate did not run or there is no finite figure.
        limit: the limit it is held to; None where it is held to none.
        note: for people: why it did not run, or what it was measured against.
        figures: all that it measured, as JSON knows it.
    """

    name: str
    status: Status
    measure: str
    value: float | None
    limit: float | None
    note: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What the manifest and ``--json`` show under the gate's name."""
        return {
            "status": self.status,
            "measure": self.measure,
            "value": self.value,
            "limit": self.limit,
            "note": self.note,
            "figures": dict(self.figures),
        }

    def line(self) -> str:
        """The gate in one line for people, without its name."""
        if self.status == "not_run":
            return f"not run: {self.note}"
        figure = "not finite" if self.value is None else f"{self.measure} {self.value:.6g}"
        limit = "" if self.limit is None else f" (limit {self.limit:g})"
        return f"{self.status}: {figure}{limit}" + (f", {self.note}" if self.note else "")


def not_run(name: str, *, measure: str, why: str, figures: Mapping[str, Any] | None = None) -> GateReport:
    """The report of a gate that had nothing to decide; `figures` is what could be measured all the same."""
    return GateReport(
        name=name, status="not_run", measure=measure, value=None, limit=None, note=why, figures=figures or {}
    )


def at_most(
    name: str, held: Iterable[tuple[str, float, float | None]], *, note: str, figures: Mapping[str, Any]
) -> GateReport:
    """The report of a gate that holds figures to limits which they must not exceed.

    Args:
        name: of the gate.
        held: measure, value and limit of each figure, the principal one first; a limit of None holds nothing.
        note: see `GateReport`.
        figures: see `GateReport`.
    """
    measures = list(held)
    beyond = [each for each in measures if each[2] is not None and not each[1] <= each[2]]
    measure, value, limit = (beyond or measures)[0]
    return GateReport(
        name=name,
        status="failed" if beyond else "passed",
        measure=measure,
        value=value,
        limit=limit,
        note=note,
        figures=figures,
    )

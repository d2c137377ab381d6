"""The model card beside distilled weights: JSON for machines, the same in Markdown for people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reidkit.runtime.artifact.digests import sha256_of

NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """mAP and rank-1 in percent, by the protocol of Market-1501."""

    mean_average_precision: float
    rank_1: float
    queries: int
    crops: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationCard:
    """Where distilled weights come from and how good they are.

    Attributes:
        student: the backbone.
        weights: file name, sha256, bytes and number type.
        initialisation: ``"random"``, or name and sha256 of the weights that were begun with.
        teacher: name, sha256, precision and preprocessing.
        crops: how many, their digest, the sources, what was held out and what could not be read.
        terms: of the training data, as the user stated them.
        settings: of the training.
        course: epochs and minutes it took, and why it ended.
        neighbour_agreement: share of the teacher's nearest neighbours that are the student's too, of held-out crops.
        neighbours_compared: of each crop, for that figure.
        labelled: teacher's and student's retrieval on labelled crops that nobody learned from; empty without `labels`.
        toolchain: versions.
    """

    student: str
    weights: dict[str, Any]
    initialisation: str
    teacher: dict[str, str]
    crops: dict[str, Any]
    terms: str
    settings: dict[str, Any]
    course: dict[str, Any]
    neighbour_agreement: float
    neighbours_compared: int
    labelled: dict[str, Retrieval] = field(default_factory=dict)
    toolchain: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON holds it."""
        return asdict(self)

    @staticmethod
    def beside(weights: Path) -> DistillationCard | None:
        """The card beside a weights file; None where there is none, or that of other weights."""
        try:
            told = json.loads(weights.with_suffix(".card.json").read_bytes())
            labelled = {who: Retrieval(**figures) for who, figures in told.pop("labelled").items()}
            card = DistillationCard(**told, labelled=labelled)
            return card if card.weights["sha256"] == sha256_of(weights) else None
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def files(self, weights: Path) -> dict[Path, bytes]:
        """What belongs into ``NAME.card.json`` and ``NAME.card.md`` beside the weights."""
        told = json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"
        texts = {".card.json": told, ".card.md": self._markdown()}
        return {weights.with_suffix(suffix): text.encode() for suffix, text in texts.items()}

    def _markdown(self) -> str:
        file, teacher, crops, course = self.weights, self.teacher, self.crops, self.course
        unreadable = f"; {crops['unreadable']} files were no whole images" if crops["unreadable"] else ""
        lines = [
            f"# {file['file']}",
            "",
            f"`{self.student}`, distilled without labels from `{teacher['name']}`.",
            "",
            "| | |",
            "|---|---|",
            f"| weights | {file['bytes']:,} bytes, {file['dtype']}, sha256 `{file['sha256']}` |",
            f"| began with | {self.initialisation} |",
            f"| teacher | `{teacher['name']}` in {teacher['precision']}, sha256 `{teacher['sha256']}` |",
            f"| teacher's preprocessing | {teacher['preprocessing']} |",
            f"| crops | {crops['count']:,}, {crops['held_out']} of them held out{unreadable}; "
            f"from {', '.join(crops['sources'])} |",
            f"| crops' digest | `{crops['sha256']}` |",
            f"| terms of the training data | {self.terms} |",
            f"| training | {course['epochs']:.1f} epochs, {course['minutes']:.1f} minutes; {course['ended']} |",
            "",
            "## Figures",
            "",
            f"Of the teacher's {self.neighbours_compared} nearest neighbours of a held-out crop, "
            f"{self.neighbour_agreement:.1%} are the student's too.",
            "",
        ]
        if self.labelled:
            some = self.labelled["student"]
            lines += [
                f"Retrieval by the protocol of Market-1501 ({some.queries} queries, {some.crops} crops of people that "
                "were not learned from):",
                "",
                "| | mAP | rank-1 |",
                "|---|---|---|",
                *(f"| {who} | {r.mean_average_precision:.1f} | {r.rank_1:.1f} |" for who, r in self.labelled.items()),
                "",
            ]
        lines += ["## Settings", "", "| | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in {**self.settings, **self.toolchain}.items()]
        return "\n".join(lines) + "\n"

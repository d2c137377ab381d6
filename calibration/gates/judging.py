"""All gates in a row: what there is evidence for is run, what is not is said.

embedding ─ retrieval ─ tracking ─ worth_it ─► Verdict ─► thresholds for the tracker, if nothing failed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from reidkit.calibration.gates import retrieval, tracking, worth
from reidkit.calibration.gates.embedder import Embedder
from reidkit.calibration.gates.embedding import ParityReport
from reidkit.calibration.gates.limits import DEFAULT_LIMITS, GateLimits
from reidkit.calibration.gates.report import GateReport, not_run
from reidkit.calibration.gates.retrieval import RetrievalFigures, digest_of, retrieval_gate
from reidkit.calibration.gates.separation import Separation, separate
from reidkit.calibration.gates.tracking import Recording, replay, scores_of, tracking_gate
from reidkit.calibration.metrics.retrieval import read_gallery
from reidkit.runtime.errors import GateFailure, NonFiniteEmbedding
from reidkit.runtime.video.mot_files import read_tracks

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What there is to judge by.

    Attributes:
        gallery: folder of crops whose names tell who is seen where.
        recording: a sequence to track in.
        limits: what the gates hold to.
        allow_slower: whether an artifact may be slower than a float one.
        seconds: how long each batch size of each artifact is measured for.
    """

    gallery: Path | None = None
    recording: Recording | None = None
    limits: GateLimits = DEFAULT_LIMITS
    allow_slower: bool = False
    seconds: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """What all gates decided, and what a report shows besides.

    Attributes:
        gates: one report each.
        parity: agreement with the reference, None where there was none to compare with.
        retrieval: what was reached on the gallery; `reference` is the same of the reference, where it was run.
        separation: cosines of people in the gallery.
    """

    gates: tuple[GateReport, ...]
    parity: ParityReport | None = None
    retrieval: RetrievalFigures | None = None
    reference: RetrievalFigures | None = None
    separation: Separation | None = None

    @property
    def passed(self) -> bool:
        """Whether no gate failed."""
        return all(gate.status != "failed" for gate in self.gates)

    @property
    def thresholds(self) -> dict[str, float] | None:
        """Recommended settings of `BotSortConfig`, by name; None unless all passed on a gallery that tells them."""
        return self.separation.thresholds() if self.passed and self.separation is not None else None

    def gate(self, name: str) -> GateReport:
        """The report of one gate."""
        return next(gate for gate in self.gates if gate.name == name)

    def to_dict(self) -> dict[str, Any]:
        """The part of ``--json`` that judges."""
        return {
            "passed": self.passed,
            "parity": None if self.parity is None else self.parity.to_dict(),
            "gates": self.gates_dict(),
            "thresholds": self.thresholds,
        }

    def gates_dict(self) -> dict[str, Any]:
        """The gates by name, as the manifest keeps them."""
        return {gate.name: gate.to_dict() for gate in self.gates}

    def lines(self) -> list[str]:
        """The gates and the thresholds for people."""
        lines = [f"  gate    {gate.name} {gate.line()}" for gate in self.gates]
        if self.thresholds:
            shown = ", ".join(f"{name} {value:g}" for name, value in self.thresholds.items())
            lines.append(f"  advice  {shown} for the tracker, by the people of the gallery")
        return lines

    def expect_passed(self, name: str, *, remedy: str, facts: Mapping[str, Any]) -> None:
        """Raise `GateFailure` if a gate failed: its message has those that did, its report `facts` and all gates."""
        failed = [f"{gate.name} {gate.line()}" for gate in self.gates if gate.status == "failed"]
        if failed:
            raise GateFailure(f"{name}: {'; '.join(failed)}", remedy=remedy, report={**facts, **self.to_dict()})


def judge(
    candidate: Embedder,
    reference: Embedder | None,
    evidence: Evidence,
    *,
    embedding: GateReport,
    parity: ParityReport | None,
    recorded: Mapping[str, Any] | None = None,
    worth_it: Callable[[], GateReport],
    progress: Progress = lambda stage: None,
) -> Verdict:
    """Judge `candidate` by all that there is.

    Args:
        candidate: what is judged.
        reference: what it is held to; None where there is none that could be run.
        evidence: what to judge by.
        embedding: the first gate's report.
        parity: what that is about.
        recorded: figures of the reference's retrieval that came with the artifact, as `GateReport.figures`; they serve
            where the reference cannot be run and the gallery is the same.
        worth_it: gives the last gate's report.
        progress: told of each stage as it begins.
    """
    found = Verdict(gates=(embedding,), parity=parity)
    try:
        found = _with_retrieval(found, candidate, reference, evidence, recorded=recorded, progress=progress)
        report = _tracking(candidate, reference, evidence, progress=progress)
    except NonFiniteEmbedding as error:
        return non_finite(error)
    progress("measuring")
    return _with(found, report, worth_it())


def non_finite(error: NonFiniteEmbedding) -> Verdict:
    """The verdict on what answers with NaN or infinity: nothing else need be asked."""
    first = GateReport(
        name="embedding", status="failed", measure="cosine_min", value=None, limit=None, note=error.message
    )
    return first_alone(first, why="its embeddings are not finite")


def first_alone(first: GateReport, *, why: str, parity: ParityReport | None = None) -> Verdict:
    """The verdict of the embedding gate, and why no other was asked; `parity` is what it is about."""
    others = [not_run(gate.NAME, measure=gate.PRINCIPAL, why=why) for gate in (retrieval, tracking, worth)]
    return Verdict(gates=(first, *others), parity=parity)


def _with_retrieval(
    found: Verdict,
    candidate: Embedder,
    reference: Embedder | None,
    evidence: Evidence,
    *,
    recorded: Mapping[str, Any] | None,
    progress: Progress,
) -> Verdict:
    if evidence.gallery is None:
        return _with(found, not_run(retrieval.NAME, measure=retrieval.PRINCIPAL, why="no gallery was given"))
    gallery = read_gallery(evidence.gallery)
    digest = digest_of(gallery)

    def embedded(by: Embedder) -> Any:
        tell = partial("embedding the gallery by {}: {} of {}".format, by.name)
        return by.embed_files(gallery.paths, on_crop=lambda done: progress(tell(done, len(gallery.paths))))

    embeddings = embedded(candidate)
    own = RetrievalFigures.of(gallery, embeddings)
    theirs = None if reference is None else RetrievalFigures.of(gallery, embedded(reference))
    known, by = (None, "") if reference is None or theirs is None else (theirs.to_dict(), reference.name)
    if known is None and recorded is not None and recorded.get("gallery") == digest and "reference" in recorded:
        known, by = recorded["reference"], f"{recorded['reference']['by']} at the export"
    report = retrieval_gate(own, known, evidence.limits.retrieval, gallery=digest, by=by)
    return replace(_with(found, report), retrieval=own, reference=theirs, separation=separate(gallery, embeddings))


def _tracking(candidate: Embedder, reference: Embedder | None, evidence: Evidence, *, progress: Progress) -> GateReport:
    recording = evidence.recording
    if recording is None:
        return not_run(tracking.NAME, measure=tracking.PRINCIPAL, why="no sequence was given")
    runs = replay(
        recording,
        [candidate] if reference is None else [candidate, reference],
        on_frame=lambda index: progress(f"tracking, frame {index}"),
    )
    if reference is None:
        scores = scores_of(recording, runs[0])
        shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        why = f"{shown or 'tracked'}, but no reference to hold it to: name one with --reference"
        return not_run(tracking.NAME, measure=tracking.PRINCIPAL, why=why, figures=scores)
    truth = None if recording.truth is None else read_tracks(recording.truth)
    return tracking_gate(runs[0], runs[1], evidence.limits.tracking, truth=truth, by=reference.name)


def _with(found: Verdict, *reports: GateReport) -> Verdict:
    return replace(found, gates=(*found.gates, *reports))

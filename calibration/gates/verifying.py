"""An artifact judged again, on any box, at any time: by its golden embeddings, and by whatever else is there.

The reference is another artifact, mostly the float one of the same network. Without one the artifact is held to its
golden embeddings, which the original in torch gave, and to what its manifest remembers of the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.crops import find_crops
from reidkit.calibration.crops.folder import read_image
from reidkit.calibration.gates import worth
from reidkit.calibration.gates.bare_model import ENGINES, wrap_model
from reidkit.calibration.gates.embedder import Embedder
from reidkit.calibration.gates.embedding import (
    ParityReport,
    answer_in_batches,
    compare_embeddings,
    embedding_gate,
)
from reidkit.calibration.gates.judging import Evidence, Progress, Verdict, judge, non_finite
from reidkit.calibration.gates.limits import GateLimits
from reidkit.calibration.gates.report import GateReport, not_run
from reidkit.calibration.gates.worth import FLOATS, float_siblings, is_same_network, worth_gate
from reidkit.runtime.artifact import load_golden
from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.artifact.preprocessing import told_preprocessing
from reidkit.runtime.engines import EngineBase, open_unchecked
from reidkit.runtime.errors import ArtifactInvalid, InvalidFile, NonFiniteEmbedding

CROPS = 200
"""Most crops of a folder that are compared one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An artifact's folder, or a bare model file.

    Attributes:
        path: of either.
        preprocessing: of a model file, by name or file; None to look for a file beside it.
        precision: what a model file computes in.
    """

    path: Path
    preprocessing: str | None = None
    precision: str = "fp32"

    @property
    def is_bare(self) -> bool:
        """Whether it is a model file."""
        return self.path.suffix in ENGINES and not self.path.is_dir()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What to verify, and by what.

    Attributes:
        subject: what is judged.
        reference: what it is held to.
        crops: folder of crops to compare on, one by one; None for the artifact's golden ones.
        evidence: what else there is.
        trusted: as for `open_artifact`.
    """

    subject: Subject
    reference: Subject | None = None
    crops: Path | None = None
    evidence: Evidence = field(default_factory=Evidence)
    trusted: bool = False


def verify(job: Verification, *, progress: Progress = lambda stage: None) -> Verdict:
    """Judge an artifact or a model file by all that there is.

    Raises:
        ReidkitError: the artifact, the reference or the evidence cannot be read, opened or run.
    """
    with TemporaryDirectory(prefix="reidkit-verify-") as scratch, ExitStack() as stack:
        progress("opening")
        theirs = None
        if job.reference is not None:
            theirs = _folder(job.reference, Path(scratch, "reference"))
        try:
            folder = _folder(job.subject, Path(scratch, "subject"))
            engine = stack.enter_context(open_unchecked(folder, trusted=job.trusted))
            other = None if theirs is None else stack.enter_context(open_unchecked(theirs, trusted=job.trusted))
            reference = None if other is None else Embedder.of(other).as_reference()
            progress("comparing embeddings")
            is_same = other is not None and is_same_network(engine.manifest, other.manifest)
            parity, gate = _embedding(job, folder, engine, reference, is_same=is_same)
            if reference is not None and not is_same:
                reference = replace(reference, name=f"{reference.name} (another network, or other weights)")
        except NonFiniteEmbedding as error:
            return non_finite(error)
        return judge(
            Embedder.of(engine),
            reference,
            job.evidence,
            embedding=gate,
            parity=parity,
            recorded=engine.manifest.gates.get("retrieval", {}).get("figures"),
            worth_it=partial(_worth, job, folder, engine.manifest, _rival(job, theirs, other), gate, progress),
            progress=progress,
        )


def _folder(subject: Subject, scratch: Path) -> Path:
    """The artifact's folder; that of a model file is made in `scratch`."""
    if not subject.is_bare:
        return subject.path
    if not subject.path.is_file():
        raise InvalidFile(f"there is no model file {subject.path}")
    preprocessing = told_preprocessing(subject.preprocessing, beside=subject.path)
    scratch.mkdir()
    return wrap_model(subject.path, preprocessing, precision=subject.precision, folder=scratch)


def _embedding(
    job: Verification, folder: Path, engine: EngineBase, reference: Embedder | None, *, is_same: bool
) -> tuple[ParityReport | None, GateReport]:
    """How near the embeddings are to those of `reference`, if it is the same network, else to the golden ones."""
    own, golden = Embedder.of(engine), load_golden(folder)
    pictures = [] if job.crops is None else [read_image(path) for path in find_crops(job.crops, limit=CROPS)]
    remarks = []
    if reference is not None and not is_same:
        remarks.append(f"{reference.name} is another network, or of other weights")
        reference = None
    if pictures and reference is None:
        own.embed(own.cut_whole(pictures))
        remarks.append(f"those of {len(pictures)} crops in {job.crops} are finite, with nothing to hold them to")
    if reference is None and job.subject.is_bare:
        why = "a model file brings no embeddings of its original to hold it to"
        return None, not_run("embedding", measure="cosine_min", why="; ".join([why, *remarks]))
    is_rgb = engine.manifest.preprocessing.color == "rgb"
    golden_pictures = list(golden.crops[..., ::-1] if is_rgb else golden.crops)
    limits = job.evidence.limits
    if reference is None:
        by = "; ".join(["its golden embeddings", *remarks])
        return _compared(own, golden.embeddings, golden_pictures, engine.manifest, limits, by=by)
    shown = pictures or golden_pictures
    expected = reference.embed(reference.cut_whole(shown))
    return _compared(own, expected, shown, engine.manifest, limits, by=reference.name)


def _compared(
    own: Embedder,
    expected: NDArray[np.float32],
    pictures: Sequence[NDArray[np.uint8]],
    manifest: Manifest,
    limits: GateLimits,
    *,
    by: str,
) -> tuple[ParityReport, GateReport]:
    if manifest.precision.built not in limits.embedding:
        raise ArtifactInvalid(
            f"{manifest.name} was built in {manifest.precision.built}, there are limits for "
            f"{', '.join(limits.embedding)}",
            remedy="install a newer reidkit",
        )
    crops, dim = own.cut_whole(pictures), expected.shape[1]
    batches = sorted({1, own.batch})
    answers = [answer_in_batches(own.answer, crops, batch=batch, dim=dim) for batch in batches]
    parity = compare_embeddings(np.tile(expected, (len(batches), 1)), np.concatenate(answers))
    parity = replace(parity, crops=len(crops))
    note = f"{len(crops)} crops, {' and '.join(map(str, batches))} at a time, held to {by}"
    return parity, embedding_gate(parity, limits.embedding[manifest.precision.built], note=note)


def _rival(job: Verification, folder: Path | None, reference: EngineBase | None) -> Path | None:
    """The reference's folder, where it is float: what it computes in is not told by a model file."""
    if folder is None or reference is None or job.reference is None:
        return None
    is_float = job.reference.is_bare or reference.manifest.precision.built in FLOATS
    return folder if is_float else None


def _worth(
    job: Verification, folder: Path, manifest: Manifest, rival: Path | None, embedding: GateReport, tell: Progress
) -> GateReport:
    """The last gate. A model file, which may be of any precision, is held to the reference that was named with it."""
    skipped = partial(not_run, worth.NAME, measure=worth.PRINCIPAL)
    if embedding.status == "failed":
        return skipped(why="its embeddings are wrong")
    if manifest.precision.built in FLOATS and not job.subject.is_bare:
        return skipped(why=f"{manifest.precision.built} is float itself")
    rivals = [] if job.subject.is_bare else float_siblings(folder.parent, manifest)
    if rival is not None and rival.resolve() not in (path.resolve() for path in rivals):
        rivals.append(rival)
    return worth_gate(
        folder,
        rivals,
        job.evidence.limits.worth_it,
        seconds=job.evidence.seconds,
        allow_slower=job.evidence.allow_slower,
        trusted=job.trusted,
        on_turn=lambda done, of: tell(f"measuring, turn {done} of {of}"),
    )

"""From crops and a teacher to a student's weights and its card.

    crops ─ teacher ─ labels ─┐
                              ├─ training ─ best average ─ weights.safetensors, card
    student, random or given ─┘

Beside the output lies a folder of work, ``NAME.work``: the teacher's labels by digest, and the training's last state,
from which it resumes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from reidkit.calibration.crops import CropSet
from reidkit.export.backbones import ModelCard
from reidkit.export.checkpoints import Checkpoint, load_backbone, random_backbone
from reidkit.export.distillation.card import NOT_STATED, DistillationCard
from reidkit.export.distillation.collection import CropSources, collect
from reidkit.export.distillation.exam import Exam
from reidkit.export.distillation.labels import Labels, Stopped
from reidkit.export.distillation.pace import Pace
from reidkit.export.distillation.teacher import Teacher, open_teacher
from reidkit.export.distillation.training import Settings, Training
from reidkit.export.distillation.validation import hold_out, neighbour_agreement, neighbours_compared
from reidkit.export.distillation.work import State, half_precision, workplace, write_together
from reidkit.export.onnx import CropEmbedder
from reidkit.runtime.artifact.digests import sha256_of
from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.errors import ExportFailure, InvalidInput
from reidkit.runtime.files import refuse_overwriting

CHECKPOINT_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationJob:
    """What to train.

    Attributes:
        teacher: artifact, checkpoint or vendor file.
        teacher_preprocessing: of a vendor file.
        trusted: run native code in a teacher's artifact even if it was built elsewhere.
        student: the backbone.
        initial: weights to begin with, None for random ones.
        sources: of crops.
        output: the ``.safetensors`` file to write.
        gallery: folder of labelled crops to measure teacher and student on; never learned from.
        terms: of the training data, in the user's words.
        settings: of the training.
        patience: epochs at full size without a better agreement after which to stop.
        resume: go on with an unfinished training; a finished one is left as it is.
    """

    teacher: Path
    teacher_preprocessing: str | None = None
    trusted: bool = False
    student: ModelCard
    initial: Path | None = None
    sources: CropSources
    output: Path
    gallery: Path | None = None
    terms: str = NOT_STATED
    settings: Settings = field(default_factory=Settings)
    patience: int = 15
    resume: bool = False

    @property
    def work(self) -> Path:
        """Folder of labels and checkpoint."""
        return self.output.with_suffix(".work")

    @property
    def labels(self) -> Path:
        """Folder of the teacher's answers."""
        return self.work / "labels"

    @property
    def checkpoint(self) -> Path:
        """File of an unfinished training's last state."""
        return self.work / "training.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a training stands: its progress in [0, 1], and figures, None where there are none yet."""

    stage: str
    progress: float = 0.0
    seconds_left: float | None = None
    loss: float | None = None
    agreement: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationResult:
    """The card of the weights, and what was skipped on the way.

    `found` is True where the training was finished before: nothing was trained or written then.
    """

    card: DistillationCard
    files: tuple[Path, ...]
    unreadable: tuple[Path, ...] = ()
    interrupted: bool = False
    found: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What ``reidkit distil --json`` prints."""
        return {
            **self.card.to_dict(),
            "files": [str(path) for path in self.files],
            "unreadable": [str(path) for path in self.unreadable],
            "interrupted": self.interrupted,
            "found": self.found,
        }


def distil(
    job: DistillationJob,
    *,
    on_report: Callable[[Report], None] = lambda report: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> DistillationResult:
    """Train a student and write its weights and card.

    Args:
        job: what to train.
        on_report: told how it stands, a few times a minute.
        should_stop: asked between steps; what is best so far is then written, and the training can be resumed.

    Raises:
        InvalidFile: a source, teacher or checkpoint cannot be read, or a file not be written.
        InvalidInput: too few crops, weights or an unfinished training lie there unasked, the output is what is read,
            or another process is at it.
        EngineFailure: the teacher gives no usable embedding.
        ExportFailure: the training went astray.
        Stopped: before there was anything to keep.
    """
    refuse_overwriting([job.output], [job.teacher] if job.initial is None else [job.teacher, job.initial])
    with workplace(job.work):
        if not job.resume:
            _expect_nothing_there(job)
        with closing(
            open_teacher(job.teacher, preprocessing=job.teacher_preprocessing, trusted=job.trusted)
        ) as teacher:
            on_report(Report(stage="reading crops"))
            if job.output.exists() and not job.checkpoint.exists():
                return _found(job, teacher, should_stop)
            return _distil(job, teacher, on_report, should_stop)


def _expect_nothing_there(job: DistillationJob) -> None:
    if job.checkpoint.exists():
        raise InvalidInput(
            f"{job.checkpoint} holds an unfinished training", remedy="continue it with --resume, or remove it"
        )
    if job.output.exists():
        raise InvalidInput(f"{job.output} is there already", remedy="remove it, or choose another --output")


def _found(job: DistillationJob, teacher: Teacher, should_stop: Callable[[], bool]) -> DistillationResult:
    """What a training that was finished before came to. Raises `InvalidInput` where it was another, or broken off."""
    card, asked = DistillationCard.beside(job.output), _made_of(job, teacher)
    if (
        card is None
        or card.course["ended"] == "interrupted"
        or _lasting(card.settings) != _lasting(asked.pop("settings"))
        or any(getattr(card, name) != value for name, value in asked.items())
        or card.crops["sha256"] != _crops(job, teacher, should_stop).digest()
    ):
        raise InvalidInput(
            f"{job.output} is there already, and was not trained to its end by this teacher, crops and settings",
            remedy="remove it, or choose another --output",
        )
    return DistillationResult(card=card, files=(job.output, *card.files(job.output)), found=True)


def _distil(
    job: DistillationJob, teacher: Teacher, on_report: Callable[[Report], None], should_stop: Callable[[], bool]
) -> DistillationResult:
    student = _backbone(job)
    preprocessing, cache = job.student.preprocessing, job.labels
    exam = None
    if job.gallery is not None:
        exam = Exam.prepare(job.gallery, teacher, preprocessing, cache=cache, should_stop=should_stop)
    crops = _crops(job, teacher, should_stop)
    on_report(Report(stage=f"asking the teacher about {len(crops)} crops"))
    seed = job.settings.seed
    every = Labels.of(teacher, crops, seed=seed, folder=cache, should_stop=should_stop)
    bank = every.of_view(0)
    held = torch.from_numpy(hold_out(bank, seed=seed))
    labels = Labels.of(
        teacher, crops.pick((~held).nonzero().squeeze(1).numpy()), seed=seed, folder=cache, should_stop=should_stop
    )
    training = Training(
        student,
        torch.from_numpy(labels.crops.images),
        bank[~held],
        preprocessing=preprocessing,
        settings=job.settings,
    )
    course = _Course(
        job,
        training,
        labels,
        State(job.checkpoint, identity=_identity(job, every)),
        validation=(torch.from_numpy(crops.images[held.numpy()]), bank[held]),
        on_report=on_report,
    )
    ended = course.run(should_stop)
    on_report(Report(stage="measuring", progress=training.progress))
    weights = save(half_precision(course.best_backbone()))
    card = _card(job, every, held, course, exam, weights, ended)
    files = {job.output: weights, **card.files(job.output)}
    write_together(files)
    if ended != "interrupted":
        course.state.remove()
    return DistillationResult(
        card=card, files=tuple(files), unreadable=crops.unreadable, interrupted=ended == "interrupted"
    )


def _crops(job: DistillationJob, teacher: Teacher, should_stop: Callable[[], bool]) -> CropSet:
    size = (job.student.preprocessing.height, job.student.preprocessing.width)
    return collect(job.sources, teacher, size=size, cache=job.labels, should_stop=should_stop)


class _Course:
    """A training from its first epoch to its end, with views, validation and checkpoints."""

    def __init__(
        self,
        job: DistillationJob,
        training: Training,
        labels: Labels,
        state: State,
        *,
        validation: tuple[Tensor, Tensor],
        on_report: Callable[[Report], None],
    ) -> None:
        self.training = training
        self.state = state
        self.best: dict[str, Tensor] = {}
        self._job, self._labels, self._report = job, labels, on_report
        self._validation = validation
        self._best_agreement, self._best_epoch, self._best_size = -1.0, 0, training.size
        self._saved_s = monotonic()
        self._pace = Pace()

    def run(self, should_stop: Callable[[], bool]) -> str:
        """Train until the end; why it ended."""
        self._resume()
        training = self.training
        while training.progress < 1:
            try:
                self._add_views()
            except Stopped:
                break
            before_s, done = training.seconds, training.epochs_done
            loss = training.run_epoch(should_pause=lambda: should_stop() or self._save_is_due())
            if not isfinite(loss):
                raise ExportFailure("the training went astray: its loss is not finite", remedy="try another --seed")
            agreement = self._validate() if training.step_in_epoch == 0 else None
            self._pace.epochs(training.size, training.epochs_done - done, training.seconds - before_s)
            self._report(self._now("training", loss=loss, agreement=agreement))
            if should_stop():
                break
            if self._save_is_due():
                self._save()
            if training.at_full_size and training.epoch - self._best_epoch > self._job.patience:
                return "no better for a while"
        if training.step == 0:
            raise Stopped
        self._save()
        return "interrupted" if training.progress < 1 else "complete"

    def best_backbone(self) -> nn.Module:
        """The averaged student as it was at its best, or as it is where that has not been measured yet."""
        if self.best:
            self.training.backbone.load_state_dict(self.best)
        return self.training.backbone

    def _resume(self) -> None:
        content = self.state.read()
        if content is None:
            return
        for view in range(1, content["training"]["used"].shape[1]):
            self.training.add_view(self._labels.of_view(view))
        self.training.restore(content["training"])
        self.best = content["best"]
        self._best_agreement, self._best_epoch = content["score"]
        self._best_size = tuple(content["size"])

    def _save_is_due(self) -> bool:
        return monotonic() - self._saved_s > CHECKPOINT_S

    def _save(self) -> None:
        self._saved_s = monotonic()
        self.state.write(
            {
                "training": self.training.state(),
                "best": self.best,
                "score": [self._best_agreement, self._best_epoch],
                "size": list(self._best_size),
            }
        )

    def _add_views(self) -> None:
        for view in self.training.views_missing:
            started_s = monotonic()
            self._report(self._now(f"asking the teacher about view {view}"))
            self.training.add_view(self._labels.of_view(view))
            self._pace.view(monotonic() - started_s)
            self.training.seconds += monotonic() - started_s

    def _validate(self) -> float:
        """How well the averaged weights agree with the teacher; where none before did better at this size, keep them.

        Among equals those that learned longest are kept.
        """
        training, (crops, bank) = self.training, self._validation
        started_s = monotonic()
        agreement = neighbour_agreement(training.embed(crops), bank)
        if agreement > self._best_agreement or training.size != self._best_size:
            self._best_agreement, self._best_epoch, self._best_size = agreement, training.epoch, training.size
        if agreement == self._best_agreement:
            self.best = {key: tensor.clone() for key, tensor in training.backbone.state_dict().items()}
        training.seconds += monotonic() - started_s
        return agreement

    def _now(self, stage: str, *, loss: float | None = None, agreement: float | None = None) -> Report:
        left = self._pace.left(self.training)
        return Report(stage=stage, progress=self.training.progress, seconds_left=left, loss=loss, agreement=agreement)


def _backbone(job: DistillationJob) -> nn.Module:
    """The student's network, to be trained."""
    if job.initial is None:
        module = random_backbone(job.student, seed=job.settings.seed)
    else:
        module, _ = load_backbone(job.student, Checkpoint.read(job.initial))
    return module.requires_grad_(True)


def _identity(job: DistillationJob, every: Labels) -> str:
    settings = _lasting(asdict(job.settings))
    initial = sha256_of(job.initial) if job.initial is not None else "random"
    parts = [job.student.name, initial, every.teacher.identity, every.crops_sha256, settings]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _lasting(settings: dict[str, Any]) -> dict[str, Any]:
    """What of the settings may not change between the parts of a training: all but how long it lasts."""
    return {key: value for key, value in settings.items() if key not in ("epochs", "minutes", "patience")}


def _names_of(sources: CropSources) -> list[str]:
    return [path.name for path in (*sources.folders, *sources.videos)]


def _made_of(job: DistillationJob, teacher: Teacher) -> dict[str, Any]:
    """What a card says of a training before there is any."""
    diverse = {"diverse": job.sources.diverse} if job.sources.videos else {}
    return {
        "student": job.student.name,
        "initialisation": f"{job.initial.name}, sha256 {sha256_of(job.initial)}" if job.initial else "random weights",
        "teacher": {
            "name": teacher.name,
            "sha256": teacher.sha256,
            "precision": teacher.precision,
            "preprocessing": job.teacher_preprocessing or "its own",
        },
        "settings": {**asdict(job.settings), "patience": job.patience, **diverse},
    }


def _card(
    job: DistillationJob,
    every: Labels,
    held: Tensor,
    course: _Course,
    exam: Exam | None,
    weights: bytes,
    ended: str,
) -> DistillationCard:
    """What is to be said of a safetensors file, measured on what is in it."""
    training, crops, preprocessing = course.training, every.crops, job.student.preprocessing
    written = Checkpoint(job.output, hashlib.sha256(weights).hexdigest(), load(weights))
    embedder = CropEmbedder(load_backbone(job.student, written)[0], preprocessing)

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return embedder.embed(_ordered(images, preprocessing))

    unit = functional.normalize(torch.from_numpy(embed(crops.images[held.numpy()])))
    return DistillationCard(
        **_made_of(job, every.teacher),
        weights={"file": job.output.name, "sha256": written.sha256, "bytes": len(weights), "dtype": "float16"},
        crops={
            "count": len(crops),
            "sha256": every.crops_sha256,
            "sources": _names_of(job.sources),
            "held_out": int(held.sum()),
            "unreadable": len(crops.unreadable),
        },
        terms=job.terms,
        course={"epochs": training.epochs_done, "minutes": training.seconds / 60, "ended": ended},
        neighbour_agreement=neighbour_agreement(unit, every.of_view(0)[held]),
        neighbours_compared=neighbours_compared(len(unit)),
        labelled={"teacher": exam.teacher, "student": exam.retrieval(embed(exam.images))} if exam else {},
        toolchain={library: version(library) for library in ("reidkit", "torch")},
    )


def _ordered(crops: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """RGB crops, (N, 3, H, W), with their colours in the order that the student takes."""
    return crops if preprocessing.color == "rgb" else np.ascontiguousarray(crops[:, ::-1])

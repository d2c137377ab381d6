"""The training loop: two halves of every batch at once, one half a thread; new views as it goes.

    progress 0 ───────────────── 65 % ──────────── 100 %
    size     half                whole                     most of what there is to learn shows in small pictures
    views    4, growing to all at 60 %                     each view of a crop is used as often as the others
    rate     warm-up, then a cosine to nothing

A batch is anchors, each with some of its nearest neighbours in the teacher's eyes: what is hard to tell apart is told
apart in one batch. Two threads with half a batch each outrun one batch in two threads: OSNet's many small layers leave
threads waiting for each other. What is measured and kept is the running average of the weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from reidkit.export.distillation.losses import likeness_loss
from reidkit.export.distillation.optimizer import Optimizer
from reidkit.export.distillation.views import NUMBERS, draw_views, render
from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.box.processor import usable_processors

HALVES = 2
_EMBEDDED_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to train. A training ends after `epochs` or `minutes`, whichever comes first, and is annealed by then.

    Attributes:
        epochs: passes of as many images as there are crops.
        minutes: time budget, None for no limit.
        first_views: views of each crop that the teacher labels before the first epoch, the crop itself among them.
        views: views of each crop in the end.
        views_until: share of the training after which there are all.
        half_size_share: share of the training that sees crops of half the height and width.
        batch: images a step, in two halves.
        group: an anchor and its neighbours, together.
        neighbours: nearest crops among which an anchor's company is drawn.
        matrix_rate: Muon's learning rate, of weights that are matrices, at its peak.
        learning_rate: AdamW's, of all else, at its peak.
        weight_decay: of weights, not of biases and norms.
        average: how much of the running average stays after a step.
        warmup_steps: steps over which the rate rises.
        seed: of weights, views and batches.
    """

    epochs: int = 150
    minutes: float | None = None
    first_views: int = 4
    views: int = 16
    views_until: float = 0.6
    half_size_share: float = 0.65
    batch: int = 64
    group: int = 4
    neighbours: int = 12
    matrix_rate: float = 0.04
    learning_rate: float = 8e-3
    weight_decay: float = 0.02
    average: float = 0.998
    warmup_steps: int = 200
    seed: int = 0


class _Batch(NamedTuple):
    """Half a batch.

    Attributes:
        rows: (B,) int64, crops.
        numbers: (B, NUMBERS) float32, of their views.
        changed: (B,) bool, whether the view differs from the crop.
        mirrored: (B,) bool, whether the student sees it mirrored. The label stays: to a teacher a person and the
            mirror image are as good as one (cosine 0.98 for Intel's 0277), and a second picture costs nothing.
        labels: (B, E) the teacher's embeddings.
    """

    rows: Tensor
    numbers: Tensor
    changed: Tensor
    mirrored: Tensor
    labels: Tensor


class Training:
    """A student, what it learns from, and how far it is.

    Args:
        module: the student's backbone; it is trained in place.
        crops: (N, 3, H, W) uint8 RGB.
        bank: (N, E) the teacher's embeddings of the crops as they are, of length 1.
        preprocessing: of the student's input, its colours and normalisation.
        settings: how.

    Attributes:
        epoch: whole epochs so far.
        step_in_epoch: steps of the present one so far.
        step: steps so far.
        seconds: that the training took so far; views and validation are added by whoever makes them.
        size: height and width of what the student sees in the present epoch.
    """

    def __init__(
        self, module: nn.Module, crops: Tensor, bank: Tensor, *, preprocessing: Preprocessing, settings: Settings
    ) -> None:
        self.settings = settings
        self.epoch = self.step_in_epoch = self.step = 0
        self.seconds = 0.0
        self._crops, self._bank = crops, bank
        self.size = self._next_size()
        self._half_crops = torch.cat([_halve(part.float()).round().byte() for part in torch.split(crops, 512)])
        self._numbers = [torch.zeros(len(crops), NUMBERS)]
        self._labels = [bank]
        self._used = np.zeros((len(crops), 1), np.int32)
        self._nearest = _nearest(bank, min(settings.neighbours, len(crops) - 1))
        self._reversed = preprocessing.color == "bgr"
        normalization = preprocessing.normalization
        self._mean, self._std = (
            torch.tensor(values)[:, None, None] / normalization.scale
            for values in (normalization.mean, normalization.std)
        )
        with torch.no_grad():
            width = module.eval()(torch.zeros(1, *crops.shape[1:])).shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            projection = nn.Linear(width, bank.shape[1], bias=False)
        self._student = nn.ModuleDict({"backbone": module, "projection": projection})
        self._student.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._average = copy.deepcopy(self._student).eval().requires_grad_(False)
        self._replicas = [self._student, *(_twin(self._student) for _ in range(HALVES - 1))]
        self._optimizer = Optimizer(
            self._student,
            matrix_rate=settings.matrix_rate,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )

    @property
    def backbone(self) -> nn.Module:
        """The averaged student, in evaluation mode."""
        return self._average["backbone"]

    @property
    def epochs_done(self) -> float:
        """Epochs so far, the present one by its steps."""
        return self.epoch + self.step_in_epoch / self.steps

    @property
    def progress(self) -> float:
        """How far the training is, in [0, 1], by epochs or by the clock."""
        settings = self.settings
        done = self.epochs_done / settings.epochs
        if settings.minutes is not None:
            done = max(done, self.seconds / 60 / settings.minutes)
        return min(done, 1.0)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return max(1, len(self._crops) // self.settings.batch)

    @property
    def at_full_size(self) -> bool:
        """Whether the student sees whole pictures by now."""
        return self.size == tuple(self._crops.shape[2:])

    @property
    def views_left(self) -> int:
        """Views that are still to come."""
        return self.settings.views - len(self._labels)

    @property
    def views_missing(self) -> range:
        """Views that should be there before the next epoch and are not."""
        if self.step_in_epoch:
            return range(0)
        settings = self.settings
        grown = (settings.views - settings.first_views) * self.progress / settings.views_until
        return range(len(self._labels), min(settings.views, settings.first_views + math.floor(max(0.0, grown))))

    def add_view(self, labels: Tensor) -> None:
        """Take the next view into use; labels: (N, E) the teacher's embeddings of it, of length 1."""
        drawn = draw_views(len(self._crops), seed=self.settings.seed, view=len(self._labels))
        self._numbers.append(torch.from_numpy(drawn))
        self._labels.append(labels)
        unused = np.zeros((len(self._crops), 1), np.int32)
        self._used = np.concatenate([self._used, unused], axis=1)[:, : len(self._labels)]

    def run_epoch(self, *, should_pause: Callable[[], bool] = lambda: False) -> float:
        """Train to the end of the epoch, or to the step after which `should_pause`; the mean loss.

        Goes on where a pause or a restored state left off.
        """
        settings = self.settings
        if self.step_in_epoch == 0:
            self.size = self._next_size()
        order = np.random.default_rng([settings.seed, self.epoch]).permutation(len(self._crops))
        per_half = settings.batch // HALVES // settings.group
        threads = max(1, usable_processors() // HALVES)
        losses: list[float] = []
        before_s, started_s = self.seconds, monotonic()
        with ThreadPoolExecutor(HALVES, initializer=lambda: torch.set_num_threads(threads)) as pool:
            while self.step_in_epoch < self.steps:
                rng = np.random.default_rng([settings.seed, self.epoch, self.step_in_epoch])
                places = self.step_in_epoch * HALVES * per_half + np.arange(HALVES * per_half)
                halves = order[places % len(order)].reshape(HALVES, per_half)
                batches = [self._choose(anchors, rng) for anchors in halves]
                losses += pool.map(lambda job: self._learn(*job), zip(self._replicas, batches, strict=True))
                self._update()
                self.step_in_epoch += 1
                self.seconds = before_s + monotonic() - started_s
                if should_pause():
                    break
        if self.step_in_epoch == self.steps:
            self.epoch, self.step_in_epoch = self.epoch + 1, 0
        return float(np.mean(losses))

    def embed(self, crops: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 RGB -> (N, D) float32 of length 1, by the averaged student at the present size."""
        chunks = []
        for part in torch.split(crops, _EMBEDDED_AT_ONCE):
            images = part.float()
            if not self.at_full_size:
                images = _halve(images)
            with torch.inference_mode(), _lower_precision():
                chunks.append(self.backbone(self._normalised(images)).float())
        return functional.normalize(torch.cat(chunks))

    def state(self) -> dict[str, Any]:
        """Everything that a training goes on from, but for its crops and labels."""
        return {
            "student": self._student.state_dict(),
            "average": self._average.state_dict(),
            "twins": [_buffers(twin) for twin in self._replicas[1:]],
            "optimizer": self._optimizer.state_dict(),
            "used": torch.from_numpy(self._used),
            "place": [self.epoch, self.step_in_epoch, self.step],
            "seconds": self.seconds,
            "size": list(self.size),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there; its views have to be added first."""
        self._student.load_state_dict(state["student"])
        self._average.load_state_dict(state["average"])
        for twin, buffers in zip(self._replicas[1:], state["twins"], strict=True):
            twin.load_state_dict(buffers, strict=False)
        self._optimizer.load_state_dict(state["optimizer"])
        self._used = state["used"].numpy().copy()
        self.epoch, self.step_in_epoch, self.step = state["place"]
        self.seconds = state["seconds"]
        self.size = (state["size"][0], state["size"][1])

    def _next_size(self) -> tuple[int, int]:
        """Height and width of what the student sees in an epoch that begins now."""
        height, width = self._crops.shape[2:]
        return (height // 2, width // 2) if self.progress < self.settings.half_size_share else (height, width)

    def _choose(self, anchors: NDArray[np.int64], rng: np.random.Generator) -> _Batch:
        """Anchors with company, each in its least used view."""
        drawn = rng.random((len(anchors), self._nearest.shape[1])).argsort(axis=1)[:, : self.settings.group - 1]
        company = np.take_along_axis(self._nearest[anchors], drawn, axis=1)
        rows = np.concatenate([anchors[:, None], company], axis=1).ravel()
        views = (self._used[rows] + rng.random((len(rows), self._used.shape[1]))).argmin(axis=1)
        np.add.at(self._used, (rows, views), 1)
        pairs = list(zip(rows.tolist(), views.tolist(), strict=True))
        numbers = torch.stack([self._numbers[view][row] for row, view in pairs])
        labels = torch.stack([self._labels[view][row] for row, view in pairs])
        mirrored = torch.from_numpy(rng.random(len(rows)) < 0.5)
        return _Batch(torch.from_numpy(rows), numbers, torch.from_numpy(views > 0), mirrored, labels)

    def _learn(self, replica: nn.ModuleDict, batch: _Batch) -> float:
        """Add the gradients of one half to `replica`; its loss."""
        crops = self._crops if self.at_full_size else self._half_crops
        with torch.no_grad():
            images = render(crops, batch.rows, batch.numbers, batch.changed, size=self.size)
            images = self._normalised(torch.where(batch.mirrored[:, None, None, None], images.flip(3), images))
        with _lower_precision():
            embeddings = replica["backbone"](images)
        embeddings = embeddings.float()
        loss = likeness_loss(embeddings, replica["projection"](embeddings), batch.labels, self._bank)
        torch.autograd.backward(loss / HALVES)
        return float(loss.detach())

    def _update(self) -> None:
        """One step of the optimizer with the gradients of both halves."""
        settings, parameters = self.settings, list(self._student.parameters())
        for twin in self._replicas[1:]:
            torch._foreach_add_(_gradients(parameters), _gradients(twin.parameters()))
            twin.zero_grad(set_to_none=True)
        nn.utils.clip_grad_norm_(parameters, 5.0)
        warm = min(1.0, (self.step + 1) / settings.warmup_steps)
        cosine = (1 + math.cos(math.pi * self.progress)) / 2
        self._optimizer.step(warm * (0.01 + 0.99 * cosine))
        self.step += 1
        weight = 1 - min(settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(_floats(self._average), _floats(self._student), weight)

    def _normalised(self, images: Tensor) -> Tensor:
        ordered = images.flip(1) if self._reversed else images
        return ((ordered - self._mean) / self._std).contiguous(memory_format=torch.channels_last)


def _lower_precision() -> torch.autocast:
    """bfloat16 where the processor computes in it."""
    has_it = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=has_it)


def _halve(images: Tensor) -> Tensor:
    return functional.avg_pool2d(images, 2)


def _nearest(bank: Tensor, count: int) -> NDArray[np.int64]:
    """(N, count) rows of the nearest other crops."""
    rows = [
        (part @ bank.T).scatter_(1, own[:, None], -torch.inf).topk(count, dim=1).indices
        for part, own in zip(torch.split(bank, 1024), torch.split(torch.arange(len(bank)), 1024), strict=True)
    ]
    found: NDArray[np.int64] = torch.cat(rows).numpy()
    return found


def _twin(student: nn.ModuleDict) -> nn.ModuleDict:
    """The same parameters with gradients and batch statistics of their own."""
    twin = copy.deepcopy(student)
    for own, shared in zip(twin.parameters(), student.parameters(), strict=True):
        own.data = shared.data
    return twin


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _floats(module: nn.Module) -> list[Tensor]:
    return [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_buffers())

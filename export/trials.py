"""Which backbone each target can build and run here: every combination is tried. `reidkit targets` runs it.

A backbone is loaded, converted and run in torch once, and then exported to target after target as `reid-export` does,
checks included. The artifacts are thrown away, what came of it is kept.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reidkit.calibration.crops import find_crops
from reidkit.export.backbones import ModelCard
from reidkit.export.originals import Original, kept, random_original, trained_original
from reidkit.export.pipeline import ExportJob, ExportResult, export
from reidkit.export.weights import DEFAULT
from reidkit.runtime.errors import GateFailure, InvalidFile, MissingDependency, ReidkitError, TargetUnavailable
from reidkit.runtime.files import whole_file
from reidkit.targets import Precision, Target

CROPS = 4
"""Compared one at a time and all at once: enough to see a wrong operator, and not much for a network of 50 G MACs."""

CALIBRATION_CROPS = 32

BACKBONES = (
    "osnet_x0_25",
    "osnet_x0_5",
    "osnet_x0_75",
    "osnet_x1_0",
    "mobilenetv2_x1_4",
    "resnest50_sbs_2020",
    "resnest101_sbs",
    "convnext_small",
    "convnext_base_layumi",
    "clip_vit_b16",
    "clip_vit_l14",
)
"""Those that are tried unless others are named: the ten listed networks and the one that comes with weights."""

Status = Literal["runs", "builds", "bundle", "differs", "refused", "unavailable"]

STATUSES: Mapping[Status, str] = {
    "runs": "built, opened here, and as near to torch as its precision has to be",
    "builds": "built; nothing here can run it, so its graph, or the saved program, was compared with torch",
    "bundle": "written with its recipe, to be built on the box it is for; the graph was compared with torch",
    "differs": "built and run, and too far from torch to be published",
    "refused": "not built",
    "unavailable": "not tried, for want of a library or a device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of one export.

    Attributes:
        status: one of `STATUSES`.
        reason: why it does not run, in the words of the error.
        cosine_min: the worst cosine to torch, None where nothing was compared.
        megabytes: of what was built, all its files; None where nothing was.
        build_cpu_s: processor time of all threads and child processes from the graph to the engine.
        weights: ``"embedded"`` or ``"random"``.
        toolchain: versions of what had a hand in it.
    """

    backbone: str
    target: str
    precision: str
    status: Status
    reason: str
    cosine_min: float | None
    megabytes: float | None
    build_cpu_s: float | None
    weights: str
    toolchain: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str, str]:
        """What there is one of."""
        return self.backbone, self.target, self.precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """All that were made, in whatever order. `machine`: where the last of them was."""

    machine: str
    trials: Mapping[tuple[str, str, str], Trial]

    def with_one(self, trial: Trial, *, machine: str) -> Trials:
        """These and another, which takes the place of an earlier one of its kind."""
        return Trials(machine=machine, trials={**self.trials, trial.key: trial})

    def write(self, path: Path) -> None:
        """Write them as JSON, a line for each."""
        lines = (f"    {json.dumps(dataclasses.asdict(each))}" for _, each in sorted(self.trials.items()))
        text = f'{{\n  "machine": {json.dumps(self.machine)},\n  "trials": [\n' + ",\n".join(lines) + "\n  ]\n}\n"
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Trials:
        """What `write` wrote; none where there is no such file. Raises `InvalidFile` if it is something else."""
        if not path.exists():
            return Trials(machine="", trials={})
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            trials = [Trial(**entry) for entry in content["trials"]]
            return Trials(machine=content["machine"], trials={each.key: each for each in trials})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidFile(
                f"{path} does not hold what reidkit targets measured ({error})",
                remedy="name another file, or remove it",
            ) from error


def try_targets(
    card: ModelCard,
    wanted: Iterable[tuple[Target, Precision]],
    *,
    crops: Path | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Iterable[Trial]:
    """Export a backbone to target after target.

    Args:
        card: the backbone, with the weights that come with reidkit or random ones.
        wanted: what to build.
        crops: folder whose first few crops are compared, and calibrate int8; None for rendered ones, and no int8.
        progress: told of each stage as it begins.
    """
    with tempfile.TemporaryDirectory() as temporary:
        few = None if crops is None else _few(crops, CROPS, Path(temporary, "crops"))
        calibration = None if crops is None else _few(crops, CALIBRATION_CROPS, Path(temporary, "calibration"))
        made = trained_original(card) if card.name == DEFAULT else random_original(card)
        original = kept(made, Path(temporary))
        for target, precision in wanted:
            job = ExportJob(
                original=lambda: original,
                target=target.name,
                precision=precision,
                output=Path(temporary, "artifacts"),
                batch_sizes=(CROPS,),
                crops=few,
                calibration=calibration if precision is Precision.INT8 else None,
            )
            yield _try(job, original, progress=progress)
            shutil.rmtree(job.output, ignore_errors=True)


def _try(job: ExportJob, original: Original, *, progress: Callable[[str], None]) -> Trial:
    backbone = original.backbone
    stages = _Stages(lambda stage: progress(f"{backbone.name}, {job.target}, {job.precision}: {stage}"))
    result: ExportResult | None = None
    status: Status
    try:
        result = export(job, progress=stages.begin)
        runs = result.manifest.parity["judged"] == "engine"
        status = "runs" if runs else "builds" if result.manifest.is_built else "bundle"
        reason, cosine = "", result.manifest.parity["cosine_min"]
    except GateFailure as error:
        status, reason, cosine = "differs", error.message, error.report.get("parity", {}).get("cosine_min")
    except (TargetUnavailable, MissingDependency) as error:
        status, reason, cosine = "unavailable", error.message, None
    except ReidkitError as error:
        status, reason, cosine = "refused", error.message, None
    manifest = result.manifest if result else None
    return Trial(
        backbone=backbone.name,
        target=job.target,
        precision=str(job.precision),
        status=status,
        reason=" ".join(reason.split()),
        cosine_min=cosine,
        megabytes=round(sum(file.bytes for file in manifest.files.values()) / 1e6, 1) if manifest else None,
        build_cpu_s=stages.seconds.get("building"),
        weights=backbone.weights.source,
        toolchain=manifest.toolchain if manifest else {},
    )


class _Stages:
    """Processor time by the first word of a stage's name."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._name, self._since = "", 0.0

    def begin(self, stage: str) -> None:
        now = sum(os.times()[:4])  # this process and its children, user and system
        if self._name:
            self.seconds[self._name] = round(now - self._since, 1)
        self._name, self._since = stage.split()[0], now
        self._progress(stage)


def _few(crops: Path, count: int, folder: Path) -> Path:
    folder.mkdir()
    for path in find_crops(crops, limit=count):
        shutil.copy(path, folder)
    return folder

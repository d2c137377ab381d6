"""What `reid-export` is asked for: one field for each option, whether they go together, and what comes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reidkit.calibration.gates.judging import Evidence
from reidkit.calibration.gates.limits import read_limits
from reidkit.calibration.gates.tracking import Recording
from reidkit.calibration.metrics import read_gallery
from reidkit.export.backbones import card_of_factory, find_backbone
from reidkit.export.catalogue.known_weights import backbone_of, known_weights, model_name
from reidkit.runtime.commands.shell import refuse_idle
from reidkit.runtime.files import expect_place
from reidkit.targets import Precision, find_target
from reidkit.targets.target import no_calibration, takes_crops

if TYPE_CHECKING:
    from collections.abc import Callable

    from reidkit.export.ensembles import Ensemble
    from reidkit.export.originals import Original
    from reidkit.export.pipeline import ExportJob

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options of `reid-export` as they were given, by their names there."""

    model: str | None
    backbones_file: Path | None
    module: str | None
    onnx: Path | None
    preprocessing: str | None
    weights: tuple[Path, ...]
    random_weights: bool
    target: str
    precision: str
    output: Path
    name: str | None
    batch: tuple[int, ...]
    options: dict[str, str]
    crops: Path | None
    calibration: Path | None
    observer: str
    budget_s: float
    gate: Path | None
    sequence: Path | None
    detections: Path | None
    thresholds: Path | None
    allow_slower: bool
    report: Path | None
    ensemble_weights: tuple[float, ...] | None
    width: int | None
    gallery: Path | None

    @property
    def names(self) -> list[str]:
        """The networks that `--model` names."""
        return self.model.split("+") if self.model else []

    @property
    def parts(self) -> int:
        """How many networks it is about; 0 where nothing tells."""
        return len(self.names or ([] if self.module or self.onnx else self.weights))

    @property
    def is_auto(self) -> bool:
        """Whether the precision is to be chosen."""
        return self.precision == AUTO

    def expect_consistent(self) -> None:
        """Refuse what does not go together, and places and files that would stop the export after its work.

        Raises:
            click.UsageError: an option needs another, excludes another, or could change nothing.
            InvalidFile: the gallery or the report's place is not what it should be.
            ExportFailure: there is no such target.
        """
        self._expect_network()
        self._expect_ensemble()
        self._expect_precision()
        if self.detections is not None and self.sequence is None:
            raise click.UsageError("--detections are of a --sequence")
        if self.gate is not None:
            read_gallery(self.gate)
        if self.report is not None:
            expect_place(self.report, option="--report")

    def evidence(self) -> Evidence:
        """What the artifact is to be judged by. Raises `InvalidFile` or `InvalidInput` for a file that will not do."""
        return Evidence(
            gallery=self.gate,
            recording=None if self.sequence is None else Recording.find(self.sequence, detections=self.detections),
            limits=read_limits(self.thresholds),
            allow_slower=self.allow_slower,
        )

    def original(self) -> Original:
        """The one network that was asked for, read."""
        from reidkit.export.originals import onnx_original, random_original, trained_original

        if self.onnx is not None:
            return onnx_original(self.onnx, preprocessing=self.preprocessing)
        card = card_of_factory(self.module, preprocessing=self.preprocessing) if self.module else None
        if self.model is not None:
            card = find_backbone(backbone_of(self.model), preprocessing=self.preprocessing)
        if card is not None and self.random_weights:
            return random_original(card)
        if self.model is not None and not self.weights:
            return trained_original(card, known_weights(self.model))
        return trained_original(card, *self.weights)

    def ensemble(self) -> Ensemble:
        """The networks that were asked for, read and joined."""
        from reidkit.export.ensembles import Ensemble, load_parts

        cards = [find_backbone(backbone_of(name)) for name in self.names]
        parts = load_parts(cards, self.weights, names=self.names, random=self.random_weights)
        ensemble = Ensemble.of(parts, weights=self.ensemble_weights)
        if self.width is None or self.crops is None:
            return ensemble
        return ensemble.projected_on(self.crops, width=self.width)

    def job(self, original: Callable[[], Original], evidence: Evidence) -> ExportJob:
        """What to export `original` as; in float32 where the precision is to be chosen."""
        from reidkit.export.pipeline import ExportJob
        from reidkit.export.quantizing import Int8Settings

        return ExportJob(
            original=original,
            target=self.target,
            precision=Precision.FP32 if self.is_auto else Precision(self.precision),
            output=self.output,
            name=self.name,
            model=None if self.model is None else model_name(self.model),
            batch_sizes=self.batch,
            options=self.options,
            crops=self.crops,
            calibration=self.calibration,
            int8=Int8Settings(observer=self.observer, budget_s=self.budget_s),
            evidence=evidence,
            report=self.report,
        )

    def _expect_network(self) -> None:
        model, module, onnx, weights = self.model, self.module, self.onnx, self.weights
        if sum(given is not None for given in (model, module, onnx)) > 1:
            raise click.UsageError("give one of --model, --module and --onnx")
        if "" in self.names:
            raise click.UsageError(f"--model {model}: a name is missing beside the +")
        if onnx is not None and (weights or self.random_weights or self.backbones_file is not None):
            raise click.UsageError("an --onnx file has its weights inside: give it alone, with --preprocessing")
        if weights and self.random_weights:
            raise click.UsageError("give --weights FILE or --random-weights, not both")
        if self.random_weights and model is None and module is None:
            raise click.UsageError("--random-weights needs --model or --module")
        if self.preprocessing is not None and (self.parts > 1 or (model is None and module is None and onnx is None)):
            raise click.UsageError("--preprocessing is for --module, --onnx and --model timm:NAME")

    def _expect_ensemble(self) -> None:
        if self.parts < 2:
            if len(self.weights) > 1:
                raise click.UsageError("one network has one --weights FILE; an ensemble is --model NAME+NAME")
            if self.ensemble_weights is not None or self.width is not None or self.gallery is not None:
                raise click.UsageError("--ensemble-weights, --width and --gallery are for ensembles: --model NAME+NAME")
        elif self.is_auto:
            raise click.UsageError("--precision auto is for one network: name an ensemble's")
        if self.width is not None and self.crops is None:
            raise click.UsageError("--width needs --crops FOLDER, along whose axes embeddings are projected")

    def _expect_precision(self) -> None:
        target = find_target(self.target)
        scaled = takes_crops(target, self.options)
        if self.calibration is not None and self.precision in (Precision.FP32, Precision.FP16, Precision.BF16):
            raise click.UsageError(f"--calibration is for --precision int8, not {self.precision}")
        if self.calibration is not None and not scaled:
            asked = ", ".join([f"target {self.target}", *(f"{name}={value}" for name, value in self.options.items())])
            raise click.UsageError(f"--calibration is not for {asked}: int8 takes no crops there")
        if self.calibration is None and self.precision == Precision.INT8 and scaled:
            raise click.UsageError(str(no_calibration()))
        ours = ("observer", "budget_s")
        if target.int8_layout is None:
            refuse_idle(ours, f"with target {self.target}, which quantises by its own means")
        if self.is_auto and self.calibration is None:
            refuse_idle(ours, "without --calibration")
        if self.precision != Precision.INT8:
            idle = ["allow_slower"] if self.is_auto else [*ours, "allow_slower"]
            refuse_idle(idle, f"with --precision {self.precision}")

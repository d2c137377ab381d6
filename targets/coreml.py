"""Core ML: an ML Program for Apple's devices, made of the program that torch exports. **Not run on a device**.

    program ─ coremltools ─ int8 weights ─ engine.mlpackage ─ read again: held to the program, evaluated on any machine

It is built on Linux and on a Mac, and runs on macOS 13, iOS 16 and later. Where Core ML is not, what the saved package
says is computed operator by operator; see `reidkit.targets._mil`.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.quantization import Layout
from reidkit.runtime.artifact.manifest import Batch
from reidkit.runtime.errors import ExportFailure, InvalidInput, MissingDependency, ReidkitError
from reidkit.targets.target import BuildJob, BuiltEngine, Option, Precision, read_options, refuse_precision

INPUT, OUTPUT = "images", "embeddings"

_FEWEST_WEIGHTS = 512
"""A smaller tensor stays in float16: scales for its channels would eat what is gained."""

_WIDE = ("pow", "reduce_l2_norm")
"""Operators whose squares and cubes leave float16's range on ordinary activations."""


def _input(text: str) -> str:
    if text not in ("array", "image"):
        raise ValueError(text)
    return text


class CoreMlTarget:
    """`Target` for Macs, iPhones and iPads: their processor, GPU and Neural Engine.

    Sizes of a batch are enumerated, since the Neural Engine takes no open ones: those of ``--batch 1,4,8``, or the
    powers of two up to a single size. As an image Core ML takes one crop at a time, in a picture of the app's own.

    In fp16 all is computed in float16 but for powers and lengths, whose squares leave its range. In int8 only
    weights are, a scale for each channel, and float16 is computed with; that needs no calibration. Activations in int8
    are not offered: what coremltools 9.0 made of them was far from the network (decision 024).
    """

    name = "coreml"
    engine = "coreml"
    consumes: Literal["onnx", "exported_program"] = "exported_program"
    precisions = frozenset({Precision.FP32, Precision.FP16, Precision.INT8})
    by_hint: frozenset[Precision] = frozenset()
    int8_layout: Layout | None = None
    calibrates = False
    options: Mapping[str, Option] = MappingProxyType(
        {"input": Option(about="array: batches of float32 grey levels; image: a picture at a time", read=_input)}
    )
    most_batch_sizes: int | None = None
    portable = False

    def available(self) -> str | None:
        """Why it cannot build here, None if it can."""
        return None if find_spec("coremltools") else "coremltools is not installed"

    def build(self, job: BuildJob) -> BuiltEngine:
        """Write ``engine.mlpackage``, a folder, and hold what was saved to the program."""
        refuse_precision(self, job.precision)
        kind = read_options(self, job.options, job.precision, job.batch).get("input", "array")
        try:
            with _quietly():
                import coremltools
        except ModuleNotFoundError as error:
            raise MissingDependency("coremltools", extra="coreml", purpose="Target coreml") from error
        from reidkit.targets._mil.comparison import expect_same
        from reidkit.targets._mil.evaluator import Evaluator
        from reidkit.targets._mil.package import MANIFEST, read_package, write_package

        if job.program is None:
            raise InvalidInput("target coreml is built from a program of torch, none was given")
        package = job.folder / "engine.mlpackage"
        sizes = [1] if kind == "image" else batch_sizes(job.batch)
        try:
            with _quietly():
                program = _prepared(job.program(sizes[0] if len(sizes) == 1 else None))
                model = _converted(program, job, kind, sizes)
                specification = model.get_spec()
                _describe(specification, job)
                write_package(package, specification, Path(model.weights_dir))
                specification, function = read_package(package)
                expect_same(specification, function, program, precision=job.precision, sizes=sizes)
                evaluator = Evaluator(function)
        except (ReidkitError, OSError):
            raise
        except Exception as error:  # of torch and coremltools, with no base of their own
            reason = str(error).strip().partition("\n")[0]
            raise ExportFailure(f"coremltools {coremltools.__version__} refuses it: {reason}") from error
        return BuiltEngine(
            engine_file=f"{package.name}/{MANIFEST}",
            toolchain={
                "coremltools": coremltools.__version__,
                "least_system": "macOS 13, iOS 16",
                "inference_precision": "f32" if job.precision is Precision.FP32 else "f16",
                "input": kind,
            },
            precision_built=job.precision,
            evaluate=partial(_evaluate, evaluator, sizes),
        )


def batch_sizes(batch: Batch) -> list[int]:
    """The batch sizes that are enumerated, ascending."""
    doubled = {1 << power for power in range(batch.max.bit_length())}
    return sorted(batch.buckets or {*doubled, batch.max})


def _prepared(program: Any) -> Any:
    """The program as coremltools understands it.

    It knows no bytes, so the input is typed float32. And two operators it takes for others (9.0): 1/x for
    1/(x + 0.0001), which is no root of a generalised mean any more, and a GELU by tanh for one by erf.
    """
    import torch

    def gelu(x: Any, *, approximate: str = "none") -> Any:
        if approximate != "tanh":
            return NotImplemented  # stays as it is
        return 0.5 * x * (torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * torch.pow(x, 3))) + 1)

    aten = torch.ops.aten
    program = program.run_decompositions(
        {aten.reciprocal.default: lambda x: torch.ones_like(x) / x, aten.gelu.default: gelu}
    )
    (name,) = program.graph_signature.user_inputs
    node = next(node for node in program.graph.nodes if node.name == name)
    node.meta["val"] = node.meta["val"].float()
    return program


def _converted(program: Any, job: BuildJob, kind: str, sizes: list[int]) -> Any:
    """A `coremltools.models.MLModel`, not loaded."""
    import coremltools

    (name,) = program.graph_signature.user_inputs
    crop = next(node.meta["val"].shape[1:] for node in program.graph.nodes if node.name == name)
    shapes = [(size, *crop) for size in sizes]
    if kind == "image":
        if job.preprocessing is None:
            raise InvalidInput("a picture's colours have an order, and the job does not tell it")
        color = getattr(coremltools.colorlayout, job.preprocessing.color.upper())
        images = coremltools.ImageType(INPUT, shapes[0], color_layout=color)
    else:
        shape = shapes[0] if len(shapes) == 1 else coremltools.EnumeratedShapes(shapes, default=shapes[0])
        images = coremltools.TensorType(INPUT, shape, dtype=np.float32)
    half = coremltools.transform.FP16ComputePrecision(op_selector=_bears_half)
    model = coremltools.convert(
        program,
        inputs=[images],
        outputs=[coremltools.TensorType(OUTPUT, dtype=np.float32)],
        minimum_deployment_target=coremltools.target.iOS16,
        compute_precision=coremltools.precision.FLOAT32 if job.precision is Precision.FP32 else half,
        skip_model_load=True,
    )
    if job.precision is not Precision.INT8:
        return model
    from coremltools.optimize.coreml import OpLinearQuantizerConfig, OptimizationConfig, linear_quantize_weights

    config = OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=_FEWEST_WEIGHTS)
    return linear_quantize_weights(model, OptimizationConfig(global_config=config))


def _bears_half(operation: Any) -> bool:
    """Whether a MIL operator is computed in float16: not those of `_WIDE`, nor means of them."""
    wide = operation.x.op if operation.op_type == "reduce_mean" else operation
    return wide is None or wide.op_type not in _WIDE


def _describe(specification: Any, job: BuildJob) -> None:
    """Write into the package what the manifest says, for whoever has the package alone."""
    description = specification.description
    about = description.metadata
    about.userDefined.pop("com.github.apple.coremltools.conversion_date", None)  # the same model, the same bytes
    about.author = f"reidkit {version('reidkit')}"
    about.shortDescription = "Person re-identification: a crop of a person in, an embedding out, not normalised."
    description.output[0].shortDescription = "a row a crop; divide each by its length, in float32, and compare them"
    if job.backbone:
        weights = job.backbone.weights
        about.versionString = f"{job.backbone.name}, weights {(weights.sha256 or 'random')[:12]}"
        about.license = weights.licence or "of the weights: not known"
        about.userDefined["reidkit.backbone"] = json.dumps(asdict(job.backbone))
    if job.preprocessing:
        about.userDefined["reidkit.preprocessing"] = json.dumps(asdict(job.preprocessing))
        description.input[0].shortDescription = (
            f"crops resized to {job.preprocessing.width}x{job.preprocessing.height} whatever their shape, "
            f"{job.preprocessing.color.upper()}, grey levels 0 to 255; the model normalises"
        )


def _evaluate(
    evaluator: Callable[[NDArray[Any]], NDArray[np.float32]], sizes: list[int], crops: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """(N, D) float32 embeddings of (N, 3, H, W) uint8 crops in batches of those sizes, the last one padded."""
    answers = []
    while count := len(crops):
        size = min((size for size in sizes if size >= count), default=sizes[-1])
        batch = np.zeros((size, *crops.shape[1:]), crops.dtype)
        batch[:count] = crops[:size]
        answers.append(evaluator(batch)[:count])
        crops = crops[size:]
    return np.concatenate(answers)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the libraries' warnings, logs and progress to themselves. Their errors are exceptions and pass."""
    silenced = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(silenced)


TARGET = CoreMlTarget()

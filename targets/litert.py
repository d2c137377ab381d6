"""LiteRT, once TensorFlow Lite: a ``.tflite`` for phones and small boards, made of the program that torch exports.

program, once a batch size ─ litert-torch ─ signatures that share their weights ─ ai-edge-quantizer ─ engine.tflite
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.quantization import Layout
from reidkit.runtime.artifact.manifest import Batch
from reidkit.runtime.errors import ExportFailure, InvalidInput, MissingDependency, ReidkitError
from reidkit.targets._litert_quantizer import dynamic_int8, full_int8, halved, signature
from reidkit.targets._litert_ways import fittest, seconds
from reidkit.targets.target import (
    BuildJob,
    BuiltEngine,
    Option,
    Precision,
    calibration_crops,
    read_options,
    refuse_precision,
)

_LIBRARIES = ("litert-torch", "ai-edge-quantizer", "ai-edge-litert")

_CONVERTED: WeakKeyDictionary[Any, dict[tuple[int, ...], bytes]] = WeakKeyDictionary()
"""Models by the program of their smallest batch, and by their sizes."""


def _way(text: str) -> str:
    if text not in ("full", "dynamic"):
        raise ValueError(text)
    return text


class LiteRtTarget:
    """`Target` for Android, the Raspberry Pi and other processors that XNNPACK knows.

    LiteRT takes no open batch size: each that is named is a signature of its own (``--batch 1,4,8``), and beside them
    there is always one crop. A single size is but the most crops that the engine is given at once: they are run one by
    one, which takes XNNPACK no longer.

    In fp16 the weights of convolutions and linear layers are float16. XNNPACK makes them float32 again as it opens the
    file and computes in that: the file is smaller, the engine no faster.

    int8 comes in two ways, of which the option ``int8`` names one; without it both are built, and of those that LiteRT
    runs here and that keep the embeddings the faster is taken. *full*: weights and activations are integers, on scales
    that calibration crops gave. *dynamic*: weights are, and activations become so for each product; it takes no crops.
    Which is faster is the network's affair, by a factor: full for OSNet, dynamic for ConvNeXt.
    """

    name = "litert"
    engine = "litert"
    consumes: Literal["onnx", "exported_program"] = "exported_program"
    precisions = frozenset({Precision.FP32, Precision.FP16, Precision.INT8})
    by_hint: frozenset[Precision] = frozenset()
    int8_layout: Layout | None = None
    calibrates = True
    options: Mapping[str, Option] = MappingProxyType(
        {
            "int8": Option(
                about="full or dynamic: whether the scales of activations are fixed",
                read=_way,
                precisions=frozenset({Precision.INT8}),
                without_crops=frozenset({"dynamic"}),
            )
        }
    )
    most_batch_sizes: int | None = None
    portable = False

    def available(self) -> str | None:
        """Why it cannot build here, None if it can."""
        return f"{missing} is not installed" if (missing := _missing_library()) else None

    def build(self, job: BuildJob) -> BuiltEngine:
        """Write ``engine.tflite``; LiteRT must run it."""
        refuse_precision(self, job.precision)
        way: str | None = read_options(self, job.options, job.precision, job.batch).get("int8")
        is_int8 = job.precision is Precision.INT8
        crops = calibration_crops(job) if is_int8 and way != "dynamic" else None
        if missing := _missing_library():
            raise MissingDependency(missing, extra="litert-export", purpose="Target litert")
        if job.program is None:
            raise InvalidInput("target litert is built from a program of torch, none was given")
        size = _sizes(job.batch)[0]
        try:
            with _quietly():
                model = _converted(job.program, job.batch)
                computes = {"inference_precision": "f32"}
                if job.precision is Precision.FP16:
                    model = halved(model)
                elif is_int8:
                    ways, taken, against = _in_integers(model, crops, size=size), way or "dynamic", dict[str, str]()
                    if way is None and crops is not None:
                        taken, against = fittest(ways, model, crops, size=size)
                    model, computes = ways[taken], {"int8": taken, **against}
                seconds(model)
        except ReidkitError:
            raise
        except Exception as error:  # of torch, jax, MLIR and LiteRT, which have no base of their own
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ExportFailure(
                f"LiteRT, by litert-torch {version('litert-torch')}, refuses this network: {reason}"
            ) from error
        engine_file = job.folder / "engine.tflite"
        engine_file.write_bytes(model)
        return BuiltEngine(
            engine_file=engine_file.name,
            toolchain={**{library: version(library) for library in _LIBRARIES}, **computes},
            precision_built=job.precision,
            calibrated=computes.get("int8") == "full",
        )


def _missing_library() -> str | None:
    """The first of the libraries that is not installed."""
    return next((library for library in _LIBRARIES if find_spec(library.replace("-", "_")) is None), None)


def _sizes(batch: Batch) -> list[int]:
    """The batch sizes that get a signature, ascending."""
    return sorted({1, *batch.buckets} if batch.dynamic else batch.buckets)


def _converted(program: Callable[[int], Any], batch: Batch) -> bytes:
    """The float32 model; a program that somebody keeps is converted once for all precisions."""
    import litert_torch

    sizes = tuple(_sizes(batch))
    traced = [program(size) for size in sizes]
    known = _CONVERTED.setdefault(traced[0], {})
    if sizes not in known:
        converter = litert_torch.Converter()
        for size, each in zip(sizes, traced, strict=True):
            converter.add_signature(signature(size), _flattened(each).module(), *each.example_inputs)
        known[sizes] = converter.convert().model_content()
    return known[sizes]


def _flattened(traced: Any) -> Any:
    """The program with its linear layers on rows, where one is on a map a single pixel high or wide.

    litert-torch 0.10 gives such a layer a batch_matmul of another rank than its output and then refuses it.
    """
    import torch

    linear = torch.ops.aten.linear.default
    maps = [node.args[0].meta["val"].shape[1:-1] for node in traced.graph.nodes if node.target is linear]
    if not any(len(pixels) > 1 and 1 in pixels for pixels in maps):
        return traced

    def on_rows(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        answer = torch.mm(rows, weight.t()) if bias is None else torch.addmm(bias, rows, weight.t())
        return answer.reshape(*x.shape[:-1], weight.shape[0])

    return traced.run_decompositions({linear: on_rows})


def _in_integers(model: bytes, crops: NDArray[np.uint8] | None, *, size: int) -> dict[str, bytes]:
    """The model in int8 by the name of the way: in full too, if there are crops to calibrate with."""
    ways = {"dynamic": dynamic_int8(model)}
    if crops is not None:
        ways["full"] = full_int8(model, crops, size=size)
    return ways


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the libraries' warnings, logs and progress to themselves. Their errors are exceptions and pass."""
    silenced = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(silenced)


TARGET = LiteRtTarget()

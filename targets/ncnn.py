"""ncnn: the graph as ncnn's own two files, by way of pnnx."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from reidkit.calibration.quantization import Layout
from reidkit.runtime.engines.ncnn import load_network
from reidkit.runtime.errors import ExportFailure, MissingDependency
from reidkit.targets._ncnn_quantizer import int8
from reidkit.targets.target import NO_OPTIONS, BuildJob, BuiltEngine, Precision, calibration_crops, refuse_precision

_EXTRAS = {"ncnn": "ncnn", "pnnx": "ncnn-export", "onnx": "ncnn-export"}


class NcnnTarget:
    """`Target` for small ARM boxes, and any other processor.

    In fp16 weights, and activations where the processor converts them, are stored in half precision and multiplied in
    float32. In int8 products are integers, but those of a single pixel; the rest is float32.
    """

    name = "ncnn"
    engine = "ncnn"
    consumes: Literal["onnx", "exported_program"] = "onnx"
    precisions = frozenset({Precision.FP32, Precision.FP16, Precision.INT8})
    by_hint = frozenset({Precision.FP16})
    int8_layout: Layout | None = None
    calibrates = True
    options = NO_OPTIONS
    most_batch_sizes: int | None = None
    portable = False

    def available(self) -> str | None:
        """Why it cannot build here, None if it can."""
        return next((f"{library} is not installed" for library in _EXTRAS if find_spec(library) is None), None)

    def build(self, job: BuildJob) -> BuiltEngine:
        """Write ``engine.param`` and ``engine.bin``; ncnn must open them."""
        refuse_precision(self, job.precision)
        for library, extra in _EXTRAS.items():
            if find_spec(library) is None:
                raise MissingDependency(library, extra=extra, purpose="Target ncnn")
        import ncnn

        half = job.precision is Precision.FP16
        crops = calibration_crops(job) if job.precision is Precision.INT8 else None
        with TemporaryDirectory(dir=job.folder) as scratch:  # for the dozen files that pnnx writes
            structure, weights = _convert(_for_one_crop(job.onnx_path, Path(scratch) / "engine.onnx"), half=half)
        try:
            if crops is not None:
                structure, weights = int8(ncnn, structure, weights, crops)
            load_network(ncnn, structure, weights, half=half)
        except ValueError as error:
            raise ExportFailure(f"ncnn {ncnn.__version__} refuses the graph: {error}") from error
        (job.folder / "engine.param").write_bytes(structure)
        (job.folder / "engine.bin").write_bytes(weights)
        return BuiltEngine(
            engine_file="engine.param",
            toolchain={"ncnn": ncnn.__version__, "pnnx": version("pnnx")},
            precision_built=job.precision,
            calibrated=crops is not None,
        )


def _for_one_crop(graph: Path, path: Path) -> Path:
    """Write the graph to `path` as ncnn can have it, for one crop of float32, and return that."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # which onnx is made with

    try:
        model = onnx.load(graph)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ExportFailure(f"ONNX {onnx.__version__} refuses the graph: {error}") from error
    crops = model.graph.input[0].type.tensor_type
    crops.elem_type = onnx.TensorProto.FLOAT
    crops.shape.dim[0].dim_value = model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    del model.graph.value_info[:]
    onnx.save(model, path)
    return path


def _convert(graph: Path, *, half: bool) -> tuple[bytes, bytes]:
    """Structure and weights of an ONNX file, beside which pnnx leaves much else."""
    # Its module is a wrapper that imports torch; the program needs none.
    program = Path(find_spec("pnnx").submodule_search_locations[0], "pnnx")  # type: ignore[union-attr, index]
    done = subprocess.run(
        [program, graph.name, f"fp16={int(half)}"], cwd=graph.parent, capture_output=True, text=True, check=False
    )
    written = [graph.with_suffix(f".ncnn.{kind}") for kind in ("param", "bin")]
    if done.returncode or not all(file.is_file() for file in written):
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise ExportFailure(
            f"pnnx {version('pnnx')} refuses the graph: it says {said[-1]!r} and ends with status {done.returncode}"
        )
    structure, weights = (file.read_bytes() for file in written)
    return structure, weights


TARGET = NcnnTarget()

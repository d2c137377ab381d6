"""The checked float32 graph in eight bits, as much of it as the embedding gate lets be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reidkit.calibration.gates import (
    EmbeddingLimits,
    ParityReport,
    answer_in_batches,
    compare_embeddings,
    embedding_gate,
)
from reidkit.calibration.quantization import (
    DEFAULT_OBSERVER,
    CalibrationSet,
    Layout,
    Quantizer,
    SearchTrace,
    grouped,
    search,
)
from reidkit.export.fidelity import Crops, Embeddings, Fidelity
from reidkit.export.onnx import lower, run_onnx
from reidkit.runtime.errors import GateFailure
from reidkit.targets import Precision

SEARCH_CROPS = 32
"""Crops on which a mixture is measured."""

HEADROOMS = (0.2, 0.5, 0.8)
"""What a mixture has to leave of the gate's allowance, one after the other until the graph that is made of it passes:
its floats may be half as wide as those of the search, and it is judged on more crops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Settings:
    """How a network is quantised.

    Attributes:
        observer: how far grids reach; a name of `OBSERVERS`.
        budget_s: after so many seconds the search for layers that have to stay in float tries nothing new.
    """

    observer: str = DEFAULT_OBSERVER
    budget_s: float = 600.0


def quantize(
    graph: Path,
    calibration: CalibrationSet,
    fidelity: Fidelity,
    *,
    layout: Layout,
    settings: Int8Settings,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Rewrite the float32 graph at `graph` with eight bits in it; what the manifest says of that is returned.

    Args:
        graph: rewritten in place.
        calibration: crops by which it is scaled.
        fidelity: crops and references of the gate that the search has to pass.
        layout: the target's.
        settings: how.
        progress: told of each stage as it begins.

    Raises:
        GateFailure: no mixture of eight bits and float was found that passes; the report has the search.
        ExportFailure: there is nothing to quantise, or an activation is not finite.
        InvalidInput: no such observer.
    """
    import onnx

    progress(f"observing the network on {len(calibration.crops)} crops")
    quantizer = Quantizer(graph, calibration, layout=layout, observer=settings.observer)
    groups, limits = grouped(quantizer.modules()), fidelity.limits[Precision.INT8]

    def agreement(mixture: Path, crops: Crops, reference: Embeddings) -> ParityReport:
        found = answer_in_batches(run_onnx(mixture), crops, batch=fidelity.batches[-1], dim=reference.shape[1])
        return compare_embeddings(reference, found)

    @cache
    def measured(products: frozenset[str]) -> ParityReport:
        with TemporaryDirectory() as folder:
            mixture = Path(folder, "mixture.onnx")
            onnx.save_model(quantizer.model(products), mixture)
            return agreement(mixture, fidelity.crops[:SEARCH_CROPS], fidelity.reference[:SEARCH_CROPS])

    def in_half(model: Any) -> Any:
        onnx.save_model(model, graph)
        lower(graph, Precision.FP16, crops=fidelity.crops)
        return onnx.load_model(graph)

    typed = {"typed": in_half} if layout.rest_in_half else {}
    ends = time.monotonic() + settings.budget_s
    for headroom in HEADROOMS:
        trace = search(
            groups,
            quantizer.work,
            measure=lambda products: measured(frozenset(products)),
            passes=partial(_passes, limits.with_headroom(headroom)),
            budget_s=ends - time.monotonic(),
            progress=progress,
        )
        if not trace.found:
            raise _refusal(trace)
        products = [name for group, names in groups.items() if group not in trace.in_float for name in names]
        onnx.save_model(quantizer.model(products, **typed), graph)
        if _passes(limits, agreement(graph, fidelity.crops, fidelity.reference)):
            break
    rest = Precision.FP16 if layout.rest_in_half else Precision.FP32
    return {**quantizer.to_dict(products), "rest": str(rest), "search": trace.to_dict()}


def _passes(limits: EmbeddingLimits, parity: ParityReport) -> bool:
    return embedding_gate(parity, limits).status == "passed"


def _refusal(trace: SearchTrace) -> GateFailure:
    best = max(trace.trials, key=lambda trial: trial.cosine_p01 or -1.0)
    found = "NaN or infinity" if best.cosine_p01 is None else f"1 % quantile of the cosine {best.cosine_p01:.4f}"
    why = "its time ended" if trace.outcome == "out of time" else "nothing else was left"
    return GateFailure(
        f"no mixture of int8 and float passes the embedding gate: the best of {len(trace.trials)} has {found}, {why}",
        remedy="give a longer --budget, more crops like those of the camera, or export in fp16",
        report={"artifact": None, "precision_built": "int8", "passed": False, "search": trace.to_dict()},
    )

"""Which way of int8 suits a network: one that LiteRT runs here, that keeps the embeddings, and of these the fastest."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.gates import EMBEDDING_LIMITS, compare_embeddings, embedding_gate
from reidkit.targets._litert_quantizer import signature

CROPS = 32
"""Crops on which a way is held to the float model."""

_LIMITS = EMBEDDING_LIMITS["int8"].with_headroom(0.2)  # the gate looks at other crops, and at more of them
_RUNS = 5


def fittest(
    ways: Mapping[str, bytes], model: bytes, crops: NDArray[np.uint8], *, size: int
) -> tuple[str, dict[str, str]]:
    """The name of the way to take, and by name what speaks against others.

    Where LiteRT runs none, or none keeps the embeddings, the fastest of the rest is named: others will refuse it.

    Args:
        ways: models in int8, by name.
        model: in float32, what they were made of.
        crops: (N, 3, H, W) uint8, at least one.
        size: of the signature to run.
    """
    few = np.resize(crops[:CROPS], (-(-min(len(crops), CROPS) // size) * size, *crops.shape[1:]))
    expected = _embeddings(model, few, size=size)
    unable, astray = {}, {}
    for way, candidate in ways.items():
        try:
            parity = compare_embeddings(expected, _embeddings(candidate, few, size=size))
        except (RuntimeError, ValueError) as error:
            unable[way] = f"not run by LiteRT: {str(error).strip()[-200:]}"
            continue
        gate = embedding_gate(parity, _LIMITS)
        if gate.status != "passed":
            found = "not finite" if gate.value is None else f"{gate.value:.4f}"
            astray[way] = f"{gate.measure} {found} on {len(few)} crops"
    able = [way for way in ways if way not in unable] or list(ways)
    near = [way for way in able if way not in astray] or able
    told = {f"int8 {way}": reason for way, reason in {**unable, **astray}.items()}
    return min(near, key=lambda way: seconds(ways[way])), told


def seconds(model: bytes) -> float:
    """How long LiteRT takes on one thread for its smallest batch, at best. Raises `RuntimeError` if it cannot."""
    interpreter = _opened(model)
    took = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        interpreter.invoke()
        took.append(time.perf_counter() - started)
    return min(took)


def _embeddings(model: bytes, crops: NDArray[np.uint8], *, size: int) -> NDArray[np.float32]:
    """(N, D) of crops, N a multiple of `size`."""
    interpreter = _opened(model)
    run = interpreter.get_signature_runner(signature(size))
    (taken,), (given,) = run.get_input_details(), run.get_output_details()
    parts = [run(**{taken: crops[start : start + size]})[given] for start in range(0, len(crops), size)]
    embeddings: NDArray[np.float32] = np.concatenate(parts)
    return embeddings


def _opened(model: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter

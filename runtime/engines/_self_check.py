"""The box checks itself before it tracks: the golden crops must give the golden embeddings here too."""

from __future__ import annotations

import numpy as np

from reidkit.runtime.artifact.folder import Golden
from reidkit.runtime.engines._cropping import input_tensor
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import ArtifactInvalid, EngineFailure

# Wider than the limits an export must keep: here only the processor differs, and a wrong kernel is wrong by far.
_MIN_COSINE = {"fp32": 0.9999, "fp16": 0.98, "bf16": 0.97, "int8": 0.85}
_MAX_NORM_DEVIATION = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 0.1, "int8": 0.3}


def self_check(engine: EngineBase, golden: Golden) -> None:
    """Embed the golden crops and hold the answers to the golden embeddings, by direction and by length.

    All at once, or in each of the batch sizes that `engine` has to prove.

    Raises:
        EngineFailure: they differ; the message has the figures.
        ArtifactInvalid: this version knows no limits for the artifact's precision.
    """
    name, precision = engine.manifest.name, engine.manifest.precision.built
    if precision not in _MIN_COSINE:
        raise ArtifactInvalid(
            f"{name} was built in {precision}, this reidkit knows {', '.join(_MIN_COSINE)}",
            remedy="export it again, or install a newer reidkit",
        )
    crops = golden.crops
    if engine.manifest.preprocessing.layout == "nchw":
        crops = crops.transpose(0, 3, 1, 2)
    if engine.manifest.preprocessing.dtype != "uint8":
        crops = crops.astype(np.float32)
    crops, expected = input_tensor(engine.manifest.preprocessing, crops), golden.embeddings
    # A larger batch than there are crops has them several times.
    rounds = [np.arange(size) % len(crops) for size in engine.sizes_to_prove or [len(crops)]]
    found = np.concatenate([engine.embed(crops[rows], normalize=False) for rows in rounds])
    expected = expected[np.concatenate(rounds)]
    found_norms, expected_norms = np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):  # a NaN keeps no limit
        cosine = ((found * expected).sum(axis=1) / (found_norms * expected_norms)).min()
        deviation = np.abs(found_norms / expected_norms - 1).max()
    if not (cosine >= _MIN_COSINE[precision] and deviation <= _MAX_NORM_DEVIATION[precision]):
        raise EngineFailure(
            f"{name} gives other embeddings here than where it was made: cosine {cosine:.6f} (at least "
            f"{_MIN_COSINE[precision]}), lengths off by {deviation:.2g} (at most {_MAX_NORM_DEVIATION[precision]})",
            remedy="this library computes this model wrongly on this box: export it for another target",
        )

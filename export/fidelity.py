"""Whether something computes what its original computes: the same crops through both, in several batch sizes.

The reference is the original in float32, mostly a torch module. A graph, a compiled engine, anything that maps crops to
embeddings is held to it, by direction and by length, one crop at a time and many: some compilers get only one of them
right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.crops import find_crops, read_crops
from reidkit.calibration.gates import (
    EMBEDDING_LIMITS,
    EmbeddingLimits,
    answer_in_batches,
    compare_embeddings,
    embedding_gate,
)
from reidkit.calibration.gates.judging import Verdict, first_alone
from reidkit.calibration.street import render_crops
from reidkit.export.originals import Original
from reidkit.runtime.artifact.folder import Golden
from reidkit.runtime.artifact.manifest import Preprocessing
from reidkit.runtime.errors import ExportFailure, GateFailure
from reidkit.targets import Precision

REAL_CROPS = 200
RENDERED_CROPS = 32
GOLDEN_CROPS = 8
SEED = 0

Crops = NDArray[np.uint8]
Embeddings = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Fidelity:
    """Crops with their reference embeddings.

    Attributes:
        crops: (N, 3, H, W) uint8, in the input's colour order.
        reference: (N, D) float32.
        by: what computed the reference.
        batches: the batch sizes to compare in.
        source: where the crops are from, for the manifest.
        limits: by precision, how near is near enough.
    """

    crops: Crops
    reference: Embeddings
    by: str
    batches: tuple[int, ...]
    source: str
    limits: Mapping[str, EmbeddingLimits]

    @staticmethod
    def to(
        original: Original,
        *,
        folder: Path | None,
        max_batch: int,
        limits: Mapping[str, EmbeddingLimits] = EMBEDDING_LIMITS,
    ) -> Fidelity:
        """Fidelity to `original` on the real crops of `folder`, else on rendered ones, at batch 1 and `max_batch`.

        Raises:
            ExportFailure: the original itself gives no embeddings that anything could be held to.
        """
        preprocessing = original.preprocessing
        if folder is None:
            rendered = _rendered(max(RENDERED_CROPS, max_batch), preprocessing)
            crops, source = _nchw(rendered), f"rendered, seed {SEED}"
        else:
            crops, source = read_crops(find_crops(folder, limit=REAL_CROPS), preprocessing), f"folder {folder.name}"
        reference = _sound(original, crops)
        return Fidelity(crops, reference, original.reference, tuple(sorted({1, max_batch})), source, limits)

    def on_few(self) -> Fidelity:
        """The same on the first crops alone, two full batches of them."""
        few = 2 * max(self.batches)
        return replace(self, crops=self.crops[:few], reference=self.reference[:few])

    def judge(self, embed: Callable[[Crops], Embeddings], precision: Precision) -> Verdict:
        """What the first gate says of `embed`, which maps at most `max_batch` crops to raw embeddings."""
        dim = self.reference.shape[1]
        answers = [answer_in_batches(embed, self.crops, batch=batch, dim=dim) for batch in self.batches]
        parity = compare_embeddings(np.tile(self.reference, (len(answers), 1)), np.concatenate(answers))
        parity = replace(parity, crops=len(self.crops))
        gate = embedding_gate(parity, self.limits[precision], note=f"{len(self.crops)} crops, held to {self.by}")
        why = "not asked for" if gate.status == "passed" else "its embeddings are not near enough"
        return first_alone(gate, why=why, parity=parity)

    def expect_near(self, what: str, verdict: Verdict, precision: Precision) -> None:
        """Raise `GateFailure` if `judge` found `what` not near enough for `precision`; the message has the figure."""
        gate = verdict.gate("embedding")
        if gate.status == "passed":
            return
        found = "it is not finite" if gate.value is None else f"{gate.measure} {gate.value:.6g}"
        raise GateFailure(
            f"{what} differs from {self.by} over {len(self.crops)} crops: {found}, limit {gate.limit:g}",
            remedy="nothing was published",
            report={"artifact": None, "precision_built": str(precision), **verdict.to_dict()},
        )

    def to_dict(self) -> dict[str, Any]:
        """What was compared with what, for the manifest."""
        return {"reference": self.by, "batches": list(self.batches), "source": self.source}


def golden(original: Original) -> Golden:
    """The few rendered crops and reference embeddings with which a box checks itself."""
    crops = _rendered(GOLDEN_CROPS, original.preprocessing)
    return Golden(crops=crops, embeddings=original.embed(_nchw(crops)))


def _sound(original: Original, crops: Crops) -> Embeddings:
    """The reference embeddings, each of them finite and with a direction."""
    embeddings = original.embed(crops)
    lengths = np.linalg.norm(embeddings, axis=1)
    for what, bad in {"NaN or infinity": ~np.isfinite(lengths), "nothing but zeros": lengths == 0}.items():
        if bad.any():
            raise ExportFailure(
                f"{original.backbone.name} itself gives {what} for {bad.sum()} of {len(crops)} crops",
                remedy="nothing can be proved of it: check its weights and its preprocessing",
            )
    return embeddings


def _rendered(count: int, preprocessing: Preprocessing) -> Crops:
    """(N, H, W, 3) uint8, in the input's colour order."""
    crops = render_crops(count, seed=SEED, height=preprocessing.height, width=preprocessing.width)
    return crops if preprocessing.color == "rgb" else np.ascontiguousarray(crops[..., ::-1])


def _nchw(crops: Crops) -> Crops:
    return np.ascontiguousarray(crops.transpose(0, 3, 1, 2))

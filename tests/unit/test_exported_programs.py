"""The program that torch exports of an original: what targets are fed that take no ONNX."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="programs are torch's: install the extra 'export'")

from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones import find_backbone  # noqa: E402
from reidkit.export.ensembles import Ensemble  # noqa: E402
from reidkit.export.onnx import CropEmbedder  # noqa: E402
from reidkit.export.originals import Original, random_original, untrained_backbone  # noqa: E402
from reidkit.runtime.errors import ExportFailure  # noqa: E402


def backbone() -> Original:
    return random_original(find_backbone("osnet_x0_25"))


def ensemble() -> Original:
    parts = [untrained_backbone(find_backbone("osnet_x0_25"), seed=seed) for seed in (0, 1)]
    return Ensemble.of(parts, weights=[1, 0.5]).original()


@pytest.mark.parametrize("original", [backbone, ensemble], ids=lambda make: make.__name__)
def test_a_program_computes_what_the_original_embeds(original: object) -> None:
    made: Original = original()  # type: ignore[operator]
    how = made.preprocessing
    crops = np.ascontiguousarray(render_crops(2, seed=1, height=how.height, width=how.width).transpose(0, 3, 1, 2))
    assert made.program is not None
    program = made.program(2)
    (images,) = (node.meta["val"] for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
    assert (images.dtype, tuple(images.shape)) == (torch.uint8, crops.shape)
    with torch.inference_mode():
        found = program.module()(torch.from_numpy(crops)).numpy()
    np.testing.assert_allclose(found, made.embed(crops), rtol=1e-4, atol=1e-5)


class Undecided(torch.nn.Module):
    """Asks the pixels which way to go."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = images.mean((2, 3))
        return rows if rows.sum() > 0 else -rows


def test_what_torch_cannot_trace_is_an_export_failure() -> None:
    embedder = CropEmbedder(Undecided(), find_backbone("osnet_x0_25").preprocessing)
    with pytest.raises(ExportFailure, match="torch cannot trace this backbone"):
        embedder.program(1)

"""Every backbone there is: the keys of the published checkpoints, and the numbers of the upstream implementation.

The fixtures are facts measured on upstream code: `backbone_keys/NAME.json` holds each published key with its type and
shape, `backbone_golden/NAME.npz` the raw embeddings for weights and input made by the formulas below.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="backbones need the extra 'export'")

from reidkit.export.backbones import ModelCard, backbones  # noqa: E402
from reidkit.export.checkpoints import Checkpoint, identify, random_backbone  # noqa: E402
from reidkit.runtime.errors import InvalidCheckpoint  # noqa: E402

DATA = Path(__file__).parents[1] / "data"

UNPROVED = {
    "osnet_ain_x0_5": "the same class as x1.0 and x0.25",
    "osnet_ain_x0_75": "the same class as x1.0 and x0.25",
    "resnet50_bot": "resnet50_sbs without non-local blocks, pooled as resnest50_bot",
    "resnest50_agw": "resnest50_bot pooled as resnest50_sbs",
    "resnest50_agw_2020": "the same network as resnest50_sbs_2020",
    "resnest101_bot_2020": "resnest101_bot undilated, as resnest50_bot_2020 is; never published",
    "resnest101_sbs": "resnest101_bot pooled as resnest50_sbs; never published",
    "clip_vit_l14_trunk": "a slice of clip_vit_l14",
    "clip_vit_l14_projection": "a slice of clip_vit_l14",
    "convnext_base_layumi": "convnext_base with two layers in place of the last norm",
}
"""Backbones without upstream's numbers, and what speaks for them."""

PIXELS = {
    "pixel_mean": torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1),
    "pixel_std": torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1),
}
"""What FastReID's files of 2020 say of their input."""

ALIKE = [{"resnest50_agw_2020", "resnest50_sbs_2020"}, {"resnest50_agw", "resnest50_bot"}]
"""Backbones whose published files have the same keys and shapes, so that none of them can be told by its file."""


@pytest.fixture(params=backbones().values(), ids=lambda card: card.name)
def card(request: pytest.FixtureRequest) -> ModelCard:
    return request.param


@pytest.fixture
def published(card: ModelCard) -> dict[str, Any]:
    return json.loads((DATA / "backbone_keys" / f"{card.name}.json").read_text())


def test_the_keys_are_the_published_ones_without_the_head(card: ModelCard, published: dict[str, Any]) -> None:
    with torch.device("meta"):
        state = card.build().state_dict()
    ours = {key: [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)] for key, tensor in state.items()}
    heads = {key for key in published["keys"] if key.startswith(card.head_prefixes)}
    assert heads == set(published["classifier_keys"])
    assert ours == {key: kind for key, kind in published["keys"].items() if key not in heads}


def test_it_has_as_many_parameters_as_upstream(card: ModelCard, published: dict[str, Any]) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in card.build().parameters()) == published["params_inference"]


def test_its_published_file_is_taken_for_nothing_else(card: ModelCard, published: dict[str, Any]) -> None:
    tensors = {key: torch.zeros(()).expand(shape) for key, (_, shape) in published["keys"].items()}
    tensors |= {key: tensor.long() for key, tensor in tensors.items() if key.endswith("num_batches_tracked")}
    tensors |= {key: PIXELS[key] for key in PIXELS if key in tensors}
    checkpoint = Checkpoint(Path("published.pth"), "", tensors)
    for alike in ALIKE:
        if card.name in alike:
            with pytest.raises(InvalidCheckpoint, match="alike: say which with --model") as caught:
                identify(checkpoint)
            assert all(name in str(caught.value) for name in alike)
            return
    found = identify(checkpoint).name
    assert card.name.startswith(found) if card.by_name_only else card.name == found


def test_it_computes_what_upstream_computes(card: ModelCard) -> None:
    path = DATA / "backbone_golden" / f"{card.name}.npz"
    assert path.exists() != (card.name in UNPROVED)
    if card.name in UNPROVED:
        pytest.skip(f"upstream was not run: {UNPROVED[card.name]}")
    golden = np.load(path)["output"]
    with torch.device("meta"):
        module = card.build().eval()
    weights = _timm_weights if card.name == "clip_vit_l14" else _weights
    state = {key: torch.from_numpy(weights(key, tuple(value.shape))) for key, value in module.state_dict().items()}
    module.load_state_dict(state, assign=True)
    noise = np.random.RandomState(0).randn(2, 3, 16, 8).astype(np.float32)
    height, width = card.preprocessing.height, card.preprocessing.width
    images = noise.repeat(height // 16, axis=2).repeat(width // 8, axis=3)
    with torch.inference_mode():
        embeddings = module(torch.from_numpy(images)).numpy()
    assert embeddings.shape == golden.shape
    assert np.abs(embeddings - golden).max() <= 1e-4 * np.abs(golden).max()


def test_random_weights_tell_crops_apart(card: ModelCard) -> None:
    images = torch.rand(2, 3, card.preprocessing.height, card.preprocessing.width)
    with torch.inference_mode():
        embeddings = random_backbone(card)(images)
    assert not torch.equal(embeddings[0], embeddings[1])
    assert 0.1 < embeddings.norm(dim=1).min() <= embeddings.norm(dim=1).max() < 1000


@pytest.mark.parametrize(
    "card", {card.family: card for card in reversed(backbones().values())}.values(), ids=lambda c: c.family
)
def test_random_weights_are_the_same_for_the_same_seed(card: ModelCard) -> None:
    first, again, other = (random_backbone(card, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def _weights(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value that upstream had at `key` when the golden output was computed."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    draw = np.random.RandomState(zlib.crc32(key.encode()) & 0x7FFFFFFF)
    if key.endswith("running_var"):
        value = 0.5 + draw.rand(*shape)
    elif key.endswith(".pool_layer.p"):
        value = np.full(shape, 3.0)
    elif re.search(r"\.NL_.*\.W\.1\.weight$", key):
        value = np.full(shape, 1e-3)
    elif len(shape) == 1 and key.endswith((".weight", ".gamma")):
        value = 0.6 + 0.4 * draw.rand(*shape)
    elif len(shape) < 2:
        value = 0.02 * draw.randn(*shape)
    else:
        value = draw.randn(*shape) * np.sqrt(2 / np.prod(shape[1:]))
    return np.asarray(value, np.float32)


TIMM_NAMES = {
    "visual.": "",
    "transformer.resblocks": "blocks",
    "class_embedding": "cls_token",
    "positional_embedding": "pos_embed",
    "conv1": "patch_embed.proj",
    "ln_pre": "norm_pre",
    "ln_post": "norm",
    "ln_": "norm",
    "in_proj_": "qkv.",
    "out_proj": "proj",
    "c_fc": "fc1",
    "c_proj": "fc2",
}


def _timm_weights(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The same for a key of open CLIP, where upstream was timm, whose keys are others."""
    if key == "visual.proj":
        return _weights("head.weight", shape[::-1]).T.copy()
    name = key
    for ours, theirs in TIMM_NAMES.items():
        name = name.replace(ours, theirs)
    added = {"cls_token": (1, 1), "pos_embed": (1,)}.get(name, ())
    return _weights(name, (*added, *shape)).reshape(shape)

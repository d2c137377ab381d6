"""Weights files: what is loaded, and what is refused in one line."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="checkpoints need the extra 'export'")
safetensors = pytest.importorskip("safetensors.torch", reason="checkpoints need the extra 'export'")

from reidkit.export.backbones import find_backbone  # noqa: E402
from reidkit.export.checkpoints import Checkpoint, identify, load_backbone, random_backbone  # noqa: E402
from reidkit.runtime.errors import InvalidCheckpoint  # noqa: E402

CARD = find_backbone("osnet_x0_25")
KEY = "conv3.0.conv2c.1.conv2.weight"


@pytest.fixture(scope="module")
def trained() -> dict[str, torch.Tensor]:
    """A published checkpoint's tensors: a backbone's and its classifier's."""
    head = {"classifier.weight": torch.randn(1041, 512), "classifier.bias": torch.randn(1041)}
    return {**random_backbone(CARD).state_dict(), **head}


@pytest.fixture
def state(trained: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(trained)


def written(content: object, path: Path, **how: object) -> Path:
    torch.save(content, path, **how)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InvalidCheckpoint) as caught:
        load_backbone(CARD, Checkpoint.read(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.pth.tar", "a.safetensors", "old.pth"])
def test_every_usual_file_loads_exactly_and_reports_the_head_it_dropped(name: str, state, tmp_path: Path) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        safetensors.save_file(state, path)
    else:
        written(state, path, _use_new_zipfile_serialization=not name.startswith("old"))
    module, dropped = load_backbone(CARD, Checkpoint.read(path))
    assert sorted(dropped) == ["classifier.bias", "classifier.weight"]
    assert not module.training
    loaded = module.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in loaded)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 150, "rank1": np.float32(0.74), "mAP": np.float64(0.43)},
        lambda state: {"model": state, "optimizer": {"param_groups": [{"lr": 1e-3}]}},
        lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
        lambda state: {"state_dict": {f"module.{key}": tensor for key, tensor in state.items()}},
    ],
    ids=["torchreid's training", "model and optimizer", "parallel training", "both"],
)
def test_wrappers_and_prefixes_are_taken_off(wrap, state, tmp_path: Path) -> None:
    checkpoint = Checkpoint.read(written(wrap(state), tmp_path / "a.pt"))
    assert list(checkpoint.tensors) == list(state)
    load_backbone(CARD, checkpoint)


def test_only_the_training_counters_may_be_absent(state, tmp_path: Path) -> None:
    bare = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    load_backbone(CARD, Checkpoint.read(written(bare, tmp_path / "a.pt")))


def test_half_precision_weights_are_widened(state, tmp_path: Path) -> None:
    half = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    module, _ = load_backbone(CARD, Checkpoint.read(written(half, tmp_path / "a.pt")))
    assert module.state_dict()[KEY].dtype == torch.float32
    assert torch.equal(module.state_dict()[KEY], state[KEY].half().float())


def test_the_digest_is_that_of_the_file(state, tmp_path: Path) -> None:
    import hashlib

    path = written(state, tmp_path / "a.pt")
    assert Checkpoint.read(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_missing_unexpected_and_misshapen_keys_are_counted_and_named(state, tmp_path: Path) -> None:
    del state[KEY], state["fc.0.bias"]
    state["fc.0.weight"] = torch.zeros(512, 127)
    state["extra"] = torch.zeros(1)
    message = refusal(written(state, tmp_path / "a.pt"))
    assert "does not hold the weights of osnet_x0_25" in message
    assert "1 of another shape (fc.0.weight is (512, 127), expected (512, 128))" in message
    assert f"2 missing ({KEY}, fc.0.bias), 1 unexpected (extra)" in message


def test_integers_are_no_weights(state, tmp_path: Path) -> None:
    state[KEY] = state[KEY].to(torch.int8)
    assert f"{KEY} is (24, 1, 3, 3) int8, expected (24, 1, 3, 3)" in refusal(written(state, tmp_path / "a.pt"))


def test_the_weights_of_another_backbone_are_recognised(tmp_path: Path) -> None:
    other = random_backbone(find_backbone("osnet_x0_5")).state_dict()
    message = refusal(written(other, tmp_path / "a.pt"))
    assert message.endswith("these are the weights of osnet_x0_5")
    assert len(message) < 600


def test_almost_another_backbone_is_told_too(tmp_path: Path) -> None:
    other = random_backbone(find_backbone("osnet_x0_5")).state_dict()
    del other["fc.0.bias"]
    assert refusal(written(other, tmp_path / "a.pt")).endswith("the nearest is osnet_x0_5 with 1 missing (fc.0.bias)")


def test_foreign_tensors_are_no_weights_of_ours(tmp_path: Path) -> None:
    assert "they are no weights of" in refusal(written({"layer.weight": torch.zeros(3)}, tmp_path / "a.pt"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, state, tmp_path: Path) -> None:
    state[KEY] = torch.full_like(state[KEY], value)
    assert f"NaN or infinity in 1 tensors ({KEY})" in refusal(written(state, tmp_path / "a.pt"))


def test_a_backbone_is_identified_by_its_keys(state, tmp_path: Path) -> None:
    assert identify(Checkpoint.read(written(state, tmp_path / "a.pt"))) == CARD


def test_what_fits_no_backbone_is_not_identified(state, tmp_path: Path) -> None:
    del state[KEY]
    with pytest.raises(InvalidCheckpoint, match=r"fits no backbone: the nearest is osnet_x0_25 with 1 missing"):
        identify(Checkpoint.read(written(state, tmp_path / "a.pt")))


@pytest.mark.parametrize(
    ("asked", "given"), [("resnest50_bot", "resnest50_bot_2020"), ("resnest50_bot_2020", "resnest50_bot")]
)
def test_a_file_of_one_fastreid_generation_never_loads_into_the_other(asked: str, given: str) -> None:
    checkpoint = Checkpoint(Path("a.pth"), "", random_backbone(find_backbone(given)).state_dict())
    with pytest.raises(InvalidCheckpoint, match=rf"not hold the weights of {asked}: .*heads.*these are .*{given}"):
        load_backbone(find_backbone(asked), checkpoint)


def test_a_fastreid_file_trained_with_another_mean_is_refused() -> None:
    card = find_backbone("resnest50_bot_2020")
    pixels = {"pixel_mean": torch.full((1, 3, 1, 1), 127.5), "pixel_std": torch.full((1, 3, 1, 1), 127.5)}
    checkpoint = Checkpoint(Path("a.pth"), "", {**random_backbone(card).state_dict(), **pixels})
    with pytest.raises(
        InvalidCheckpoint, match=r"a\.pth: pixel_mean is \[127\.5, 127\.5, 127\.5\], .* with \[123\.675"
    ):
        load_backbone(card, checkpoint)


@pytest.fixture(scope="module")
def clip() -> dict[str, torch.Tensor]:
    return random_backbone(find_backbone("clip_vit_b16")).state_dict()


@pytest.mark.parametrize(
    "take", [identify, lambda checkpoint: load_backbone(find_backbone("clip_vit_b16"), checkpoint)]
)
def test_a_clip_file_that_knows_its_cameras_is_refused_with_the_reason(take, clip) -> None:
    checkpoint = Checkpoint(Path("a.pth"), "", {**clip, "cv_embed": torch.zeros(6, 768)})
    with pytest.raises(InvalidCheckpoint, match=r"a\.pth: this is an SIE variant .*: use the checkpoint without SIE"):
        take(checkpoint)


def test_square_positional_embeddings_are_interpolated_to_the_input(clip) -> None:
    key = "image_encoder.positional_embedding"
    ramp = torch.linspace(0, 1, 14).view(14, 1, 1).expand(14, 14, 768).reshape(196, 768)  # from top to bottom
    checkpoint = Checkpoint(Path("a.pth"), "", {**clip, key: torch.cat([torch.full((1, 768), 7.0), ramp])})
    fitted = load_backbone(identify(checkpoint), checkpoint)[0].state_dict()[key]
    assert torch.equal(fitted[0], torch.full((768,), 7.0))
    grid = fitted[1:].view(16, 8, 768)
    assert torch.allclose(grid, grid[:, :1, :1])
    assert grid[:, 0, 0].diff().min() > 0


def test_positional_embeddings_of_another_stride_are_refused(clip) -> None:
    key = "image_encoder.positional_embedding"
    checkpoint = Checkpoint(Path("a.pth"), "", {**clip, key: torch.zeros(211, 768)})  # 21 by 10 overlapping patches
    with pytest.raises(InvalidCheckpoint, match=rf"{key} is \(211, 768\), expected \(129, 768\)"):
        load_backbone(find_backbone("clip_vit_b16"), checkpoint)


@pytest.mark.parametrize("name", ["osnet_x0_25_msmt17", "osnet_x0_5"])
def test_real_files_are_identified_and_load(name: str, shared_data: Path) -> None:
    checkpoint = Checkpoint.read(shared_data / "reid_weights" / f"{name}.pt")
    card = identify(checkpoint)
    assert name.startswith(card.name)
    load_backbone(card, checkpoint)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"these are not weights\n" * 99, b"\x80\x02}q\x00.", bytes(range(256)) * 9])
def test_files_that_are_no_checkpoints_are_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    refusal(path)


def test_a_folder_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path)
    assert "there is no weights file" in refusal(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [[1, 2], 3.5, {}, {"epoch": 3}, {"state_dict": None}, {1: torch.zeros(1)}])
def test_files_without_a_state_dict_are_refused(content: object, tmp_path: Path) -> None:
    assert "state dict" in refusal(written(content, tmp_path / "a.pt"))


def test_a_state_dict_that_wraps_itself_ends(tmp_path: Path) -> None:
    content: dict[str, object] = {}
    content["model"] = content
    assert "'model' is a dict" in refusal(written(content, tmp_path / "a.pt"))


@pytest.mark.parametrize(
    "spoil", [torch.Tensor.to_sparse, lambda tensor: tensor.to("meta"), lambda t: t.double() * 1e99]
)
def test_tensors_that_hold_no_plain_float32_values_are_refused(spoil, state, tmp_path: Path) -> None:
    state[KEY] = spoil(state[KEY])
    assert KEY in refusal(written(state, tmp_path / "a.pt"))


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))])
def test_code_in_a_file_is_refused_and_not_run(write, state, tmp_path: Path) -> None:
    path, proof = tmp_path / "a.pt", tmp_path / "it ran"
    write({**state, "attack": Attack(proof)}, path)
    refusal(path)
    assert not proof.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_no_truncated_file_is_taken_for_a_checkpoint(zipped: bool, state, tmp_path: Path) -> None:
    whole = written(state, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped).read_bytes()
    for length in np.linspace(1, len(whole) - 1, 40).astype(int):
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        refusal(tmp_path / "cut.pt")

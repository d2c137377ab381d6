"""Crops read from a folder are resized as the manifest says, which is how the engine will resize them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="needs the extra 'video'")

from reidkit.calibration.crops import read_crop_set, read_crops  # noqa: E402
from reidkit.calibration.crops.folder import read_image  # noqa: E402
from reidkit.runtime.artifact.manifest import Normalization, Preprocessing, Resize  # noqa: E402
from reidkit.runtime.errors import InvalidFile  # noqa: E402

BILINEAR = Preprocessing(
    height=64,
    width=32,
    color="bgr",
    layout="nhwc",
    dtype="uint8",
    resize=Resize(kernel="bilinear", antialias=False),
    normalization=Normalization(where="graph", scale=1.0, mean=[0.0] * 3, std=[1.0] * 3),
)


@pytest.mark.parametrize(("kernel", "peer"), [("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)])
def test_the_kernel_is_the_named_one(kernel: str, peer: int, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 41, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "crop.png"), image)
    preprocessing = replace(BILINEAR, resize=Resize(kernel=kernel, antialias=False))  # type: ignore[arg-type]
    (crop,) = read_crops([tmp_path / "crop.png"], preprocessing)
    expected = cv2.resize(image, (32, 64), interpolation=peer)
    assert np.abs(crop.astype(np.int16) - expected).max() <= 1


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_the_beginning_of_an_image_is_no_image(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"crop{suffix}"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (100, 41, 3), dtype=np.uint8))
    whole = path.read_bytes()
    assert read_image(path).shape == (100, 41, 3)
    path.write_bytes(whole + b"what a camera adds")
    assert read_image(path).shape == (100, 41, 3)
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InvalidFile):
            read_image(path)
    path.write_bytes(b"")
    with pytest.raises(InvalidFile, match="is not an image"):
        read_image(path)


def test_half_an_image_is_left_out_of_a_set_and_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 41, 3), dtype=np.uint8)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        cv2.imwrite(str(tmp_path / name), noise)
    half = tmp_path / "b.jpg"
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    crops = read_crop_set(tmp_path, height=64, width=32, unreadable_share=0.5)
    assert (crops.names, crops.unreadable) == (("a.jpg", "c.jpg"), (half,))
    with pytest.raises(InvalidFile, match=r"1 of 3 files in .* are no whole images \(b\.jpg\)"):
        read_crop_set(tmp_path, height=64, width=32)

"""Crops against OpenCV's and Pillow's own, and what is refused at the door."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.native import cut_crops


@dataclass(frozen=True)
class Case:
    """A box of so many pixels, resized to so many."""

    box: tuple[int, int]  # height, width
    crop: tuple[int, int] = (256, 128)

    def __str__(self) -> str:
        return "{}x{} to {}x{}".format(*self.box, *self.crop)


CASES = [
    Case((8, 8)),
    Case((1, 1)),
    Case((1, 40)),
    Case((90, 1)),
    Case((2, 2), (7, 5)),
    Case((40, 16)),
    Case((100, 37)),
    Case((256, 128)),
    Case((257, 127)),
    Case((512, 256)),
    Case((300, 90)),
    Case((60, 700)),
    Case((1000, 400)),
    Case((2000, 1000)),
    Case((2000, 1000), (3, 2)),
    Case((384, 128), (1, 1)),
    Case((640, 480), (160, 65)),
]


@pytest.fixture(scope="module")
def street() -> NDArray[np.uint8]:
    """A (2100, 1100, 3) frame with slopes, hard edges, fine stripes and texture."""
    y, x = np.mgrid[:2100, :1100]
    waves = 127 + 120 * np.sin(x / 9.0 + np.sin(y / 31.0) * 4)
    blocks = 255 * ((x // 23 + y // 41) % 2)
    stripes = np.where((x > 500) & (y % 3 == 0), 250, 8)
    frame = np.stack([waves, blocks, stripes], axis=-1)
    frame += np.random.default_rng(7).normal(0, 12, frame.shape)
    return np.clip(frame, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Resize:
    """A filter, as a manifest names it, and the library that it follows."""

    kernel: str
    antialias: bool

    def __str__(self) -> str:
        return f"{self.kernel} {'antialiased' if self.antialias else 'plain'}"

    @property
    def tolerance(self) -> int:
        """Grey levels from the library's."""
        return 0 if self.antialias else 1

    @property
    def options(self) -> dict[str, Any]:
        return {"kernel": self.kernel, "antialias": self.antialias}

    def by_the_library(self, pixels: NDArray[np.uint8], crop: tuple[int, int]) -> NDArray[np.uint8]:
        height, width = crop
        if self.antialias:
            image = pytest.importorskip("PIL.Image", reason="the antialiased kernels are held to Pillow's")
            how = image.Resampling[self.kernel.upper()]
            # Columns first, as Pillow did by itself before 13, where some crops take the other order.
            return np.asarray(image.fromarray(pixels).resize((width, len(pixels)), how).resize((width, height), how))
        cv2 = pytest.importorskip("cv2", reason="the plain kernels are held to OpenCV's")
        how = cv2.INTER_LINEAR if self.kernel == "bilinear" else cv2.INTER_CUBIC
        return cv2.resize(pixels, (width, height), interpolation=how)


RESIZES = [Resize(kernel, antialias) for kernel in ("bilinear", "bicubic") for antialias in (False, True)]
each_resize = pytest.mark.parametrize("resize", RESIZES, ids=str)


def cut(
    frame, boxes_xyxy, crop=(256, 128), dtype=np.uint8, *, swap_colors=False, antialias=False, layout="nchw", **how
):
    boxes_xyxy = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    shape = (3, *crop) if layout == "nchw" else (*crop, 3)
    out = np.full((len(boxes_xyxy), *shape), 77, dtype)
    cut_crops(frame, boxes_xyxy, out, swap_colors=swap_colors, antialias=antialias, layout=layout, **how)
    return out if layout == "nhwc" else out.transpose(0, 2, 3, 1)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@each_resize
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_crop_is_within_a_grey_level_of_the_library_it_follows_or_equal(street, case, resize, layout):
    top, left = 61, 43
    bottom, right = top + case.box[0], left + case.box[1]
    expected = resize.by_the_library(street[top:bottom, left:right], case.crop).astype(float)
    options = resize.options | {"layout": layout}
    rounded = cut(street, [left, top, right, bottom], case.crop, **options)[0]
    exact = cut(street, [left, top, right, bottom], case.crop, np.float32, **options)[0]
    assert np.abs(rounded - expected).max() <= resize.tolerance
    assert np.abs(exact - expected).max() <= 1.02
    assert np.abs(rounded - exact).max() <= 0.52  # to nearest
    assert exact.min() >= 0
    assert exact.max() <= 255.02


@each_resize
def test_real_crops_are_within_a_grey_level_of_the_library_or_equal(shared_data: Path, resize):
    image = pytest.importorskip("PIL.Image", reason="real crops are JPEG files")
    files = [
        file
        for folder in ("market_eval", "mot/pets", "mot/campus")
        for file in sorted((shared_data / "reid_crops" / folder).glob("*.jpg"))[::40]
    ]
    assert len(files) > 50
    for file in files:
        pixels = np.asarray(image.open(file).convert("RGB"))
        height, width = pixels.shape[:2]
        for crop in ((256, 128), (61, 23)):
            rounded = cut(pixels, [0, 0, width, height], crop, **resize.options)[0].astype(int)
            assert np.abs(rounded - resize.by_the_library(pixels, crop)).max() <= resize.tolerance, file


@each_resize
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_a_crop_of_its_own_size_is_a_copy(street, dtype, resize):
    crop = cut(street, [10, 20, 138, 276], dtype=dtype, **resize.options)[0]
    np.testing.assert_array_equal(crop, street[20:276, 10:138])


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@each_resize
def test_swapped_colors_are_the_channels_in_reverse(street, resize, layout):
    boxes = [[0, 0, 300, 400], [500, 30, 540, 120], [100, 100, 103, 104]]
    options = resize.options | {"layout": layout}
    kept, swapped = (cut(street, boxes, swap_colors=swap, **options) for swap in (False, True))
    np.testing.assert_array_equal(swapped, kept[..., ::-1])


def test_rows_may_lie_any_distance_apart(street):
    boxes = [[3, 5, 130, 260], [0, 0, 200, 300]]
    for view in (street[:300, 700:900], street[::2], street[::-1], street[400:100:-1, :200]):
        np.testing.assert_array_equal(cut(view, boxes), cut(view.copy(), boxes))


def test_a_box_is_clipped_and_truncated(street):
    height, width = street.shape[:2]
    given = [[-20.5, -3, 60.9, 100.2], [1000.7, 2000.99, 1e30, 2101], [-0.9, 0, 8, 8]]
    covered = [[0, 0, 60, 100], [1000, 2000, width, height], [0, 0, 8, 8]]
    np.testing.assert_array_equal(cut(street, given), cut(street, covered))


@pytest.mark.parametrize(
    "boxes",
    [
        np.float32([[1, 2, 30, 40]]),
        np.int64([[1, 2, 30, 40]]),
        np.float64([[1, 0, 2, 0, 30, 0, 40]])[:, ::2],
        np.asfortranarray(np.float64([[1, 2, 30, 40]] * 3))[:1],
    ],
    ids=["float32", "int64", "strided", "fortran"],
)
def test_boxes_come_in_any_real_type_and_order(street, boxes):
    out = np.empty((1, 3, 64, 32), np.uint8)
    cut_crops(street, boxes, out, swap_colors=False, antialias=False)
    np.testing.assert_array_equal(out[0].transpose(1, 2, 0), cut(street, [1, 2, 30, 40], (64, 32))[0])


def test_no_boxes_are_no_crops(street):
    assert cut(street, np.empty((0, 4))).shape == (0, 256, 128, 3)
    assert cut(street[:0], np.empty((0, 4))).shape == (0, 256, 128, 3)


def test_nothing_is_written_beside_the_callers_memory(street):
    memory = np.full(3 * 3 * 17 * 13 + 64, 201, np.uint8)
    out = memory[32:-32].reshape(3, 3, 17, 13)
    boxes = np.float64([[0, 0, 5, 9], [100, 100, 300, 700], [1099, 2099, 1100, 2100]])
    for resize in RESIZES:
        cut_crops(street, boxes, out, swap_colors=False, **resize.options)
        assert (memory[:32] == 201).all()
        assert (memory[-32:] == 201).all()


def test_boxes_without_pixels_are_named(street):
    boxes = np.float64(
        [[0, 0, 9, 9], [5, 5, 5, 9], [3.1, 0, 3.9, 9], [9, 9, 4, 12], [1100, 0, 1200, 9], [-9, 0, -1, 9]]
    )
    with pytest.raises(InvalidInput, match=r"no pixel of the 1100x2100 frame in rows 1, 2, 3, 4, 5$"):
        cut(street, boxes)


def test_boxes_that_are_not_finite_are_named_and_nothing_is_written(street):
    boxes = np.float64([[0, 0, 9, 9], [0, 0, np.nan, 9], [0, 0, 9, np.inf], [9, 9, 9, 9]])
    out = np.full((4, 3, 16, 8), 77, np.uint8)
    with pytest.raises(InvalidInput, match=r"boxes_xyxy is not finite in rows 1, 2$"):
        cut_crops(street, boxes, out, swap_colors=False, antialias=False)
    assert (out == 77).all()


def test_only_some_of_many_bad_rows_are_listed(street):
    with pytest.raises(InvalidInput, match=r"rows 0, 1, 2, 3, 4, 5, 6, 7, …$"):
        cut(street, np.full((1000, 4), np.nan))


FRAME = np.zeros((40, 30, 3), np.uint8)
BOXES = np.float64([[0, 0, 9, 9]])
OUT = np.zeros((1, 3, 16, 8), np.uint8)


def read_only(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"frame": FRAME[0, 0]}, r"frame is neither \(H, W, 3\) nor \(H, W\)"),
        ({"frame": np.zeros((40, 30, 4), np.uint8)}, r"frame is neither \(H, W, 3\) nor \(H, W\)"),
        ({"frame": FRAME.astype(np.float32)}, r"frame is \(40, 30, 3\) float32"),
        ({"frame": FRAME.tolist()}, "frame is a list"),
        ({"frame": FRAME[:, ::2]}, "side by side"),
        ({"frame": FRAME[..., ::-1]}, "side by side"),
        ({"boxes_xyxy": BOXES[:, :3]}, r"boxes_xyxy is \(1, 3\) float64"),
        ({"boxes_xyxy": BOXES[0]}, r"boxes_xyxy is \(4,\) float64"),
        ({"boxes_xyxy": BOXES.astype(str)}, r"boxes_xyxy is \(1, 4\) <U"),
        ({"boxes_xyxy": BOXES + 1j}, r"boxes_xyxy is \(1, 4\) complex"),
        ({"boxes_xyxy": np.vstack([BOXES, BOXES])}, "room for 1 crops, boxes_xyxy has 2 rows"),
        ({"out": OUT.astype(np.int16)}, r"out is \(1, 3, 16, 8\) int16"),
        ({"out": OUT.astype(np.float64)}, r"out is \(1, 3, 16, 8\) float64"),
        ({"out": OUT[0]}, r"out is \(3, 16, 8\) uint8"),
        ({"out": np.zeros((1, 3, 16, 16), np.uint8)[..., ::2]}, "not C-contiguous"),
        ({"out": np.asfortranarray(OUT)}, "not C-contiguous"),
        ({"out": read_only(OUT)}, r"writable"),
        ({"out": OUT.transpose(0, 2, 3, 1).copy()}, "three channels where nchw has them"),
        ({"out": OUT, "layout": "nhwc"}, "three channels where nhwc has them"),
        ({"out": np.zeros((1, 3, 0, 8), np.uint8)}, "crops of 8x0"),
        ({"layout": "hwc"}, "layout is 'hwc'"),
        ({"kernel": "lanczos"}, "kernel is 'lanczos'"),
    ],
)
def test_what_does_not_fit_is_refused_and_told(given, message):
    arguments = {"frame": FRAME, "boxes_xyxy": BOXES, "out": OUT, "swap_colors": False, "antialias": False} | given
    with pytest.raises(InvalidInput, match=message):
        cut_crops(**arguments)

"""What crops are cut from, grey and YUV frames, and what they are written as: types, levels, letterboxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.native import YuvFrame, cut_crops

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BOXES = np.float64([[10, 20, 138, 276], [0, 0, 300, 400], [33, 41, 60, 99], [299, 399, 300, 400], [7, 5, 8, 90]])
CROP = (64, 48)
RESIZES = [
    {"kernel": kernel, "antialias": antialias} for kernel in ("bilinear", "bicubic") for antialias in (False, True)
]
each_resize = pytest.mark.parametrize("resize", RESIZES, ids=lambda how: "{kernel} {antialias}".format(**how))
each_layout = pytest.mark.parametrize("layout", ["nchw", "nhwc"])


@pytest.fixture(scope="module")
def street() -> NDArray[np.uint8]:
    """A (400, 300, 3) frame with slopes, edges and saturated colours."""
    y, x = np.mgrid[:400, :300]
    waves = 127 + 120 * np.sin(x / 9.0 + np.sin(y / 31.0) * 4)
    frame = np.stack([waves, 255 * ((x // 23 + y // 41) % 2), np.where(y % 3 == 0, 250, 8)], axis=-1)
    return np.clip(frame + np.random.default_rng(7).normal(0, 12, frame.shape), 0, 255).astype(np.uint8)


def cut(frame: Any, dtype: type = np.uint8, *, crop=CROP, boxes=BOXES, layout="nchw", **how: Any) -> NDArray[Any]:
    """(N, h, w, 3) crops, whatever the layout."""
    out = np.full((len(boxes), *((3, *crop) if layout == "nchw" else (*crop, 3))), 77, dtype)
    cut_crops(frame, boxes, out, layout=layout, **({"swap_colors": False, "antialias": False} | how))
    return out if layout == "nhwc" else out.transpose(0, 2, 3, 1)


@each_layout
@each_resize
@pytest.mark.parametrize("swap_colors", [False, True])
def test_floats_are_normalised_by_channel_of_the_crop(street, layout, resize, swap_colors):
    options = resize | {"layout": layout, "swap_colors": swap_colors}
    levels = cut(street, np.float32, **options).astype(np.float64)
    expected = (levels / 255 - MEAN) / STD
    options |= {"scale": 1 / 255, "mean": MEAN, "std": STD}
    floats = cut(street, np.float32, **options)
    np.testing.assert_allclose(floats, expected, atol=2e-6)
    np.testing.assert_array_equal(cut(street, np.float16, **options), floats.astype(np.float16))


@each_resize
def test_halves_are_the_floats_rounded(street, resize):
    np.testing.assert_array_equal(
        cut(street, np.float16, **resize), cut(street, np.float32, **resize).astype(np.float16)
    )


@each_resize
@each_layout
def test_bytes_are_the_levels_whatever_the_normalisation(street, resize, layout):
    options = resize | {"layout": layout}
    np.testing.assert_array_equal(
        cut(street, scale=9.0, mean=MEAN, std=STD, **options), np.floor(cut(street, np.float32, **options) + 0.5)
    )


@each_resize
def test_a_grey_frame_is_one_of_equal_channels(street, resize):
    grey = np.ascontiguousarray(street[..., 0])
    for view in (grey, grey[::-1], grey[:, 5:200], grey[::2]):
        thrice = np.ascontiguousarray(np.repeat(view[..., None], 3, axis=2))
        boxes = np.clip(BOXES, 0, [view.shape[1], view.shape[0]] * 2)[:3]
        np.testing.assert_array_equal(cut(view, boxes=boxes, **resize), cut(thrice, boxes=boxes, **resize))


def yuv_of(street: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H * 3 / 2, W) I420, as OpenCV encodes it."""
    cv2 = pytest.importorskip("cv2", reason="colours are held to OpenCV's")
    return cv2.cvtColor(street, cv2.COLOR_BGR2YUV_I420)


def as_nv12(i420: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height = i420.shape[0] // 3 * 2
    u, v = i420[height:].reshape(2, -1)
    return np.vstack([i420[:height], np.stack([u, v], axis=-1).reshape(height // 2, -1)])


@each_layout
@pytest.mark.parametrize("swap_colors", [False, True])
def test_yuv_is_within_a_level_of_opencvs_conversion_cut_from_bgr(street, layout, swap_colors):
    cv2 = pytest.importorskip("cv2", reason="colours are held to OpenCV's")
    i420 = yuv_of(street)
    options = {"layout": layout, "swap_colors": swap_colors}
    expected = cut(cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420), **options).astype(int)
    found = cut(YuvFrame.i420(i420), **options)
    assert np.abs(found - expected).max() <= 1
    np.testing.assert_array_equal(cut(YuvFrame.nv12(as_nv12(i420)), **options), found)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(("matrix", "red", "blue"), [("bt601", 0.299, 0.114), ("bt709", 0.2126, 0.0722)])
def test_each_matrix_and_range_is_within_a_level_of_the_standards_formula(matrix, red, blue, full_range):
    random = np.random.default_rng(3)
    y, u, v = (random.integers(0, 256, (90, 70), dtype=np.uint8) for _ in range(3))
    u, v = u[:45, :35].copy(), v[:45, :35].copy()
    luma = y.astype(float) if full_range else np.maximum(y - 16.0, 0) * 255 / 219
    step = 1 if full_range else 255 / 224
    blueness, redness = (np.kron(plane - 128.0, np.ones((2, 2))) * step for plane in (u, v))
    b = luma + 2 * (1 - blue) * blueness
    r = luma + 2 * (1 - red) * redness
    g = luma - (2 * (1 - blue) * blue * blueness + 2 * (1 - red) * red * redness) / (1 - red - blue)
    expected = np.clip(np.stack([b, g, r], axis=-1), 0, 255)
    found = cut(YuvFrame(y, u, v, matrix, full_range), crop=(90, 70), boxes=np.float64([[0, 0, 70, 90]]))[0]
    assert np.abs(found - expected).max() <= 0.51


@each_resize
def test_a_yuv_box_may_begin_and_end_anywhere(street, resize):
    frame = YuvFrame.i420(yuv_of(street))
    height, width = frame.shape
    whole = cut(frame, crop=frame.shape, boxes=np.float64([[0, 0, width, height]]))[0]  # its own size: converted
    whole = np.ascontiguousarray(whole)
    np.testing.assert_array_equal(cut(frame, **resize), cut(whole, **resize))
    odd = YuvFrame(frame.y[:399, :299], frame.u, frame.v)
    boxes = np.minimum(BOXES, [299, 399, 299, 399])[:3]
    np.testing.assert_array_equal(cut(odd, boxes=boxes, **resize), cut(whole[:399, :299], boxes=boxes, **resize))


def test_yuv_planes_may_be_strided(street):
    i420 = yuv_of(street)
    frame, upside_down = YuvFrame.i420(i420), YuvFrame.i420(i420)
    upside_down = YuvFrame(frame.y[::-1], frame.u[::-1], frame.v[::-1])
    copied = YuvFrame(*(np.ascontiguousarray(plane) for plane in (upside_down.y, upside_down.u, upside_down.v)))
    np.testing.assert_array_equal(cut(upside_down), cut(copied))


@pytest.mark.parametrize("box", [(100, 50), (50, 100), (7, 300), (300, 7), (64, 48), (1, 1), (65, 48)], ids=str)
@each_layout
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_letterbox_keeps_the_shape_and_pads_around(street, box, layout, dtype):
    height, width = box
    boxes = np.float64([[0, 0, width, height]])
    scale = min(CROP[0] / height, CROP[1] / width)
    inner = max(1, min(CROP[0], int(height * scale + 0.5))), max(1, min(CROP[1], int(width * scale + 0.5)))
    top, left = (CROP[0] - inner[0]) // 2, (CROP[1] - inner[1]) // 2
    options = {"layout": layout, "scale": 1 / 255, "mean": MEAN, "std": STD, "swap_colors": True}
    expected = np.empty((*CROP, 3), dtype)
    expected[:] = (114, 7, 250) if dtype is np.uint8 else (np.float32([114, 7, 250]) / 255 - MEAN) / STD
    expected[top : top + inner[0], left : left + inner[1]] = cut(street, dtype, crop=inner, boxes=boxes, **options)[0]
    found = cut(street, dtype, boxes=boxes, letterbox=(114, 7, 250), **options)[0]
    np.testing.assert_allclose(found, expected, atol=0 if dtype is np.uint8 else 1e-6)


Y, U = np.zeros((40, 30), np.uint8), np.zeros((20, 15), np.uint8)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (YuvFrame(Y, U[:19], U), "chroma of a 30x40 frame is 15x20, not 15x19"),
        (YuvFrame(Y, U, np.zeros((20, 30), np.uint8)), "not 30x20"),
        (YuvFrame(Y, U, np.zeros((20, 30), np.uint8)[:, ::2]), "neither side by side nor two by two"),
    ],
)
def test_planes_that_do_not_fit_are_refused(frame, message):
    with pytest.raises(InvalidInput, match=message):
        cut(frame, boxes=np.float64([[0, 0, 9, 9]]))


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ((Y[..., None].repeat(3, 2), U, U), r"plane y is \(40, 30, 3\) uint8"),
        ((Y, U.astype(np.int8), U), r"plane u is \(20, 15\) int8"),
        ((Y, U, None), "plane v is a NumPy array of uint8, found a NoneType"),
        ((Y, U, U, "bt2020"), "matrix is 'bt2020'"),
    ],
)
def test_planes_that_are_none_are_refused(planes, message):
    with pytest.raises(InvalidInput, match=message):
        YuvFrame(*planes)


@pytest.mark.parametrize("layout", [YuvFrame.nv12, YuvFrame.i420])
def test_no_picture_is_refused(layout):
    with pytest.raises(InvalidInput, match="YUV 4:2:0 is a NumPy array of uint8, found a NoneType"):
        layout(None)


@pytest.mark.parametrize("picture", [np.zeros((41, 30), np.uint8), np.zeros((45, 31), np.uint8), np.zeros((45, 30))])
@pytest.mark.parametrize("make", [YuvFrame.nv12, YuvFrame.i420])
def test_an_array_that_is_no_yuv_picture_is_refused(make, picture):
    with pytest.raises(InvalidInput, match=r"YUV 4:2:0 is \(H \* 3 / 2, W\) uint8"):
        make(picture)


@pytest.mark.parametrize(
    "given", [{"letterbox": (1, 2)}, {"letterbox": (1, 2, 256)}, {"mean": [0.5] * 2}, {"std": [1.0]}]
)
def test_channels_are_three(street, given):
    with pytest.raises(InvalidInput):
        cut(street, **given)

"""A ready ONNX file: what is made of it computes the same for any number of crops, or it is refused with the reason."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="exporting needs the extra 'export'")
for library in ("torch", "onnxruntime"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")

from reidkit.calibration.crops import find_crops, read_crops  # noqa: E402
from reidkit.export.fidelity import Fidelity  # noqa: E402
from reidkit.export.onnx import run_onnx  # noqa: E402
from reidkit.export.originals import Original, onnx_original, trained_original  # noqa: E402
from reidkit.runtime.artifact.manifest import Preprocessing  # noqa: E402
from reidkit.runtime.artifact.preprocessing import parse_preprocessing, told_preprocessing  # noqa: E402
from reidkit.runtime.errors import ExportFailure, InvalidConfig, InvalidFile  # noqa: E402

TOLD = parse_preprocessing("rgb-imagenet-16x8")
RAW = replace(TOLD, dtype="uint8", normalization=replace(TOLD.normalization, where="graph"))

USUAL = """
    <ir_version: 8, opset_import: ["" : 18]>
    usual (float[N, 3, 16, 8] images) => (float[N, 2] embeddings) <float[2, 3] weights = {1, 2, 3, 4, -5, 6}>
    {
        mean = GlobalAveragePool (images)
        flat = Flatten (mean)
        embeddings = Gemm <transB = 1> (flat, weights)
    }
"""
RAW_PIXELS = """
    <ir_version: 8, opset_import: ["" : 18]>
    raw (uint8[N, 3, 16, 8] images) => (float[N, 3] embeddings)
    {
        pixels = Cast <to = 1> (images)
        mean = GlobalAveragePool (pixels)
        embeddings = Flatten (mean)
    }
"""
CHANNELS_LAST = """
    <ir_version: 8, opset_import: ["" : 18]>
    last (float[N, 16, 8, 3] pixels) => (float[N, 3] embedding) <int64[2] axes = {1, 2}>
    { embedding = ReduceMean <keepdims = 0> (pixels, axes) }
"""
ONE_AT_A_TIME = """
    <ir_version: 4, opset_import: ["" : 9]>
    one (float[1, 3, 16, 8] pixels) => (float[1, 12] embedding) <int64[2] shape = {1, 12}>
    {
        stripes = AveragePool <kernel_shape = [4, 8], strides = [4, 8]> (pixels)
        embedding = Reshape (stripes, shape)
    }
"""
FOUR_AT_A_TIME = ONE_AT_A_TIME.replace("[1,", "[4,").replace("{1,", "{4,")


def write(text: str, folder: Path) -> Path:
    path = folder / "given.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def tell(how: Preprocessing, folder: Path, **changed: Any) -> None:
    (folder / "given.preprocessing.json").write_text(json.dumps({**asdict(how), **changed}))


def given(text: str, folder: Path, how: Preprocessing = TOLD) -> Original:
    tell(how, folder)
    return onnx_original(write(text, folder))


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 3, 16, 8), np.uint8)


def by_hand(name: str, crops: np.ndarray) -> np.ndarray:
    """What the networks above compute, in NumPy."""
    if name == "raw":
        return crops.mean((2, 3))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = (crops / 255 - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)
    if name == "striped":
        return pixels.reshape(-1, 3, 4, 4, 8).mean((3, 4)).reshape(-1, 12)
    means = pixels.mean((2, 3))
    return means @ np.array([[1, 2, 3], [4, -5, 6]]).T if name == "usual" else means


@pytest.mark.parametrize(
    ("text", "name", "how"),
    [
        (USUAL, "usual", TOLD),
        (RAW_PIXELS, "raw", RAW),
        (CHANNELS_LAST, "last", replace(TOLD, layout="nhwc")),
        (ONE_AT_A_TIME, "striped", TOLD),
        (FOUR_AT_A_TIME, "striped", TOLD),
    ],
    ids=["usual", "raw pixels", "channels last", "one at a time", "four at a time"],
)
def test_it_computes_what_the_file_does_for_any_number_of_crops(
    text: str, name: str, how: Preprocessing, crops: np.ndarray, tmp_path: Path
) -> None:
    original = given(text, tmp_path, how)
    np.testing.assert_allclose(original.embed(crops), by_hand(name, crops), rtol=1e-4, atol=1e-4)
    original.write_onnx(tmp_path / "adapted.onnx")
    for batch in (1, 3, 5):
        found = run_onnx(tmp_path / "adapted.onnx")(crops[:batch])
        np.testing.assert_allclose(found, original.embed(crops[:batch]), rtol=1e-4, atol=1e-4)


def test_what_is_written_looks_like_any_graph_of_ours(tmp_path: Path) -> None:
    original = given(ONE_AT_A_TIME, tmp_path)
    original.write_onnx(tmp_path / "adapted.onnx")
    model = onnx.load(tmp_path / "adapted.onnx")
    assert [opset.version for opset in model.opset_import] == [18]
    kinds = [(tensor.name, tensor.type.tensor_type) for tensor in (*model.graph.input, *model.graph.output)]
    described = [(name, kind.elem_type, [d.dim_param or d.dim_value for d in kind.shape.dim]) for name, kind in kinds]
    assert described == [
        ("images", onnx.TensorProto.UINT8, ["batch", 3, 16, 8]),
        ("embeddings", onnx.TensorProto.FLOAT, ["batch", 12]),
    ]


def test_the_manifest_is_told_where_it_is_from(tmp_path: Path) -> None:
    original = given(USUAL, tmp_path)
    weights = original.backbone.weights
    assert (original.backbone.name, original.backbone.parameters) == ("given", 6)
    assert (weights.source, weights.file) == ("file", "given.onnx")
    assert weights.sha256 == hashlib.sha256((tmp_path / "given.onnx").read_bytes()).hexdigest()
    assert original.reference == "given.onnx itself in ONNX Runtime"
    assert (original.preprocessing.dtype, original.preprocessing.normalization.where) == ("uint8", "graph")
    assert original.preprocessing.normalization.mean == TOLD.normalization.mean


def test_colours_are_in_the_files_order(crops: np.ndarray, tmp_path: Path) -> None:
    path = write(RAW_PIXELS, tmp_path)
    tell(replace(RAW, color="bgr"), tmp_path)
    np.testing.assert_allclose(onnx_original(path).embed(crops), crops.mean((2, 3)), rtol=1e-5)


def test_tensors_in_a_file_beside_it_are_taken_along(crops: np.ndarray, tmp_path: Path) -> None:
    tell(TOLD, tmp_path)
    model = onnx.parser.parse_model(USUAL)
    weights = onnx.numpy_helper.from_array(np.array([[1, 2, 3], [4, -5, 6]], np.float32), "weights")
    model.graph.initializer[0].CopyFrom(weights)
    path = tmp_path / "given.onnx"
    onnx.save(model, path, save_as_external_data=True, location="given.data", size_threshold=0)
    original = onnx_original(path)
    both = path.read_bytes() + (tmp_path / "given.data").read_bytes()
    assert original.backbone.weights.sha256 == hashlib.sha256(both).hexdigest()
    original.write_onnx(tmp_path / "adapted.onnx")
    (tmp_path / "given.data").unlink()
    found = run_onnx(tmp_path / "adapted.onnx")(crops)
    np.testing.assert_allclose(found, by_hand("usual", crops), rtol=1e-4, atol=1e-4)
    with pytest.raises(InvalidFile, match=r"given\.data"):
        onnx_original(path)


@pytest.mark.parametrize(
    ("was", "becomes", "saying"),
    [
        ("images) =>", "images, float[N, 1] camera) =>", r"has 2 inputs \(images, camera\)"),
        ("embeddings) <", "embeddings, float[N, 3] flat) <", r"has 2 outputs \(embeddings, flat\)"),
        ("float[N, 3, 16, 8]", "float[N, 3, 32, 8]", r"is float32 \(any, 3, 32, 8\), .* float32 \(any, 3, 16, 8\)"),
        ("float[N, 3, 16, 8]", "float[N, 16, 8, 3]", r"is float32 \(any, 16, 8, 3\)"),
        ("float[N, 3, 16, 8]", "float[N, 384]", r"is float32 \(any, 384\)"),
        ("float[N, 3, 16, 8]", "double[N, 3, 16, 8]", "is double: it has to be float32, or uint8"),
        ("float[N, 3, 16, 8]", "float16[N, 3, 16, 8]", "is float16: it has to be float32, or uint8"),
        ("Gemm <transB = 1> (flat, weights)", "Unsqueeze (flat, axes)", r"output embeddings is float32 \(1, 1, 3\)"),
        ("flat = Flatten (mean)", "zero = Sub (mean, mean) flat = Flatten (zero)", "itself gives nothing but zeros"),
        ("flat = Flatten (mean)", "root = Log (mean) flat = Flatten (root)", "itself gives NaN or infinity for"),
    ],
)
def test_what_is_no_backbone_is_refused(was: str, becomes: str, saying: str, tmp_path: Path) -> None:
    assert was in USUAL
    text = USUAL.replace(was, becomes).replace("6}>", "6}, int64[1] axes = {1}>")
    with pytest.raises((InvalidFile, ExportFailure), match=saying):
        Fidelity.to(given(text, tmp_path), folder=None, max_batch=2)


def test_a_quantized_file_is_refused(tmp_path: Path) -> None:
    rounded = "q, s, z = DynamicQuantizeLinear (mean) d = DequantizeLinear (q, s, z) flat = Flatten (d)"
    with pytest.raises(InvalidFile, match="not compute in float32: it has DequantizeLinear, DynamicQuantizeLinear"):
        given(USUAL.replace("flat = Flatten (mean)", rounded), tmp_path)


def test_a_file_in_half_precision_is_refused(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(USUAL)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(3, np.float16), "halves"))
    onnx.save(model, tmp_path / "given.onnx")
    tell(TOLD, tmp_path)
    with pytest.raises(InvalidFile, match="it has float16"):
        onnx_original(tmp_path / "given.onnx")


UNFREED = """
    <ir_version: 8, opset_import: ["" : 18]>
    unfreed (float[1, 3, 16, 8] images) => (float[1, 4] embeddings) <float[1, 1] token = {2}, int64[2] shape = {1, 1}>
    {
        mean = GlobalAveragePool (images)
        flat = Flatten (mean)
        tokens = Expand (token, shape)
        embeddings = Concat <axis = 1> (tokens, flat)
    }
"""


def test_a_number_of_crops_that_cannot_be_freed_is_refused(tmp_path: Path) -> None:
    original = given(UNFREED, tmp_path)
    with pytest.raises(ExportFailure, match="is made for 1 at a time and cannot be made to take 3 crops"):
        original.write_onnx(tmp_path / "adapted.onnx")
    assert not (tmp_path / "adapted.onnx").exists()


OLD = """
    <ir_version: 4, opset_import: ["" : 8]>
    old (float[N, 3, 16, 8] images) => (float[N, 3] embeddings)
    <float[3, 1, 1] one = {1, 1, 1}, float[3, 1, 1] zero = {0, 0, 0}>
    {
        mean = GlobalAveragePool (images)
        same = BatchNormalization <spatial = 0> (mean, one, zero, zero, one)
        embeddings = Flatten (same)
    }
"""


def test_an_opset_that_cannot_be_converted_is_refused(tmp_path: Path) -> None:
    original = given(OLD, tmp_path)
    with pytest.raises(ExportFailure, match="is in opset 8 and cannot be converted to 18"):
        original.write_onnx(tmp_path / "adapted.onnx")


@pytest.mark.parametrize("content", [b"", b"hello", None], ids=["empty", "text", "missing"])
def test_what_is_no_onnx_file_is_refused(content: bytes | None, tmp_path: Path) -> None:
    tell(TOLD, tmp_path)
    if content is not None:
        (tmp_path / "given.onnx").write_bytes(content)
    with pytest.raises(InvalidFile, match=r"given\.onnx"):
        onnx_original(tmp_path / "given.onnx")


class TestPreprocessingFile:
    def test_it_is_found_beside_the_network_or_named(self, tmp_path: Path) -> None:
        tell(RAW, tmp_path)
        assert told_preprocessing(None, beside=tmp_path / "given.onnx") == RAW
        assert told_preprocessing(str(tmp_path / "given.preprocessing.json")) == RAW
        assert told_preprocessing("rgb-imagenet-16x8", beside=tmp_path / "given.onnx") == TOLD

    def test_none_or_two_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidConfig, match="nothing says what the network's input holds"):
            told_preprocessing(None, beside=tmp_path / "given.onnx")
        tell(RAW, tmp_path)
        (tmp_path / "given.preprocessing.yaml").touch()
        with pytest.raises(InvalidConfig, match=r"given.preprocessing.json and given.preprocessing.yaml"):
            told_preprocessing(None, beside=tmp_path / "given.onnx")

    @pytest.mark.parametrize(
        ("changed", "saying"),
        [
            ({"colour": "rgb"}, "unknown key preprocessing.colour"),
            ({"color": "grey"}, "preprocessing.color must be one of 'rgb', 'bgr', found 'grey'"),
            ({"height": "256"}, "preprocessing.height must be of type int"),
            ({"height": 0}, "height and width are 1 to 4096"),
            ({"resize": {"kernel": "bilinear"}}, "missing key preprocessing.resize.antialias"),
            ({"normalization": {**asdict(TOLD)["normalization"], "std": [1, 0, 1]}}, "no std is 0"),
            ({"normalization": {**asdict(TOLD)["normalization"], "scale": float("nan")}}, "are finite"),
            ({"dtype": "uint8"}, "pixels that the runtime normalises are no integers"),
        ],
    )
    def test_its_keys_are_the_manifests_and_no_other(
        self, changed: dict[str, Any], saying: str, tmp_path: Path
    ) -> None:
        tell(TOLD, tmp_path, **changed)
        with pytest.raises(InvalidConfig, match=re.escape(saying)):
            told_preprocessing(None, beside=tmp_path / "given.onnx")

    @pytest.mark.parametrize("name", ["given.preprocessing.json", "given.preprocessing.yaml"])
    def test_what_is_neither_json_nor_yaml_is_refused(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text("{height: [")
        with pytest.raises(InvalidFile, match=r"is not JSON|is not YAML"):
            told_preprocessing(None, beside=tmp_path / "given.onnx")

    def test_what_is_said_twice_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "given.preprocessing.yaml").write_text(f"{json.dumps(asdict(TOLD))[:-1]}, color: bgr}}")
        with pytest.raises(InvalidFile, match=r"yaml: color is there twice, in line 1: keep one"):
            told_preprocessing(None, beside=tmp_path / "given.onnx")


def test_a_vendors_file_that_gives_nan_is_refused(shared_data: Path) -> None:
    name = "person-reidentification-retail-0267"
    original = onnx_original(
        shared_data / "reid_weights" / "person-reidentification-retail-0287" / f"{name}.onnx",
        preprocessing="bgr-0-255-256x128",
    )
    with pytest.raises(ExportFailure, match=f"{name} itself gives NaN or infinity for 32 of 32 crops"):
        Fidelity.to(original, folder=None, max_batch=8)


@pytest.mark.parametrize("name", ["osnet_x0_25_msmt17", "osnet_x0_5"])  # for any number of crops in opset 12; for one
def test_a_file_says_what_its_checkpoint_says(name: str, shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="reading crops needs OpenCV")
    weights = shared_data / "reid_weights"
    file = onnx_original(weights / f"{name}.onnx", preprocessing="rgb-imagenet-256x128")
    checkpoint = trained_original(None, weights / f"{name}.pt")
    crops = read_crops(find_crops(shared_data / "reid_crops" / "market_eval", limit=3), checkpoint.preprocessing)
    file.write_onnx(tmp_path / "adapted.onnx")
    expected = checkpoint.embed(crops)
    for found in (file.embed(crops), run_onnx(tmp_path / "adapted.onnx")(crops)):
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_preprocessing_names_keep_the_colours_in_order() -> None:
    how = parse_preprocessing("bgr-imagenet-256x128").normalization
    assert how.mean == [0.406, 0.456, 0.485]
    assert parse_preprocessing("rgb-0-1-384x128").height == 384

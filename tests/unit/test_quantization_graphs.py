"""Networks observed, equalised and written with eight bits in them: a small one, made here."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="quantising needs the extra 'export'")
onnxruntime = pytest.importorskip("onnxruntime", reason="quantising needs the extra 'export'")

from reidkit.calibration.gates import compare_embeddings  # noqa: E402
from reidkit.calibration.quantization import CalibrationSet, Layout, Quantizer, Ranges, observe  # noqa: E402
from reidkit.calibration.quantization import ranges as ranges_module  # noqa: E402
from reidkit.calibration.quantization.network import Network, open_session  # noqa: E402
from reidkit.calibration.quantization.observers import OBSERVERS  # noqa: E402
from reidkit.calibration.quantization.steps import correct_biases, equalize  # noqa: E402
from reidkit.calibration.quantization.tensorrt_cache import tensorrt_cache  # noqa: E402
from reidkit.calibration.quantization.writing import EightBits, quantized, quantized_weights  # noqa: E402
from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.runtime.errors import ExportFailure, InvalidFile, InvalidInput  # noqa: E402

CHANNELS = 16


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def crops() -> CalibrationSet:
    images = render_crops(12, seed=1, height=32, width=16).transpose(0, 3, 1, 2)
    return CalibrationSet(np.ascontiguousarray(images), "rendered")


def network(*, spread: float = 30.0, bad: float | None = None) -> Any:
    """Convolution, ReLU, pointwise, depthwise, residual, mean, matrix; channels unlike in size by `spread`."""
    rng = np.random.default_rng(0)
    sizes = np.geomspace(1, spread, CHANNELS)
    weights = {
        "stem": rng.normal(0, 0.02, (CHANNELS, 3, 3, 3)) * sizes[:, None, None, None],
        "stem.bias": rng.normal(0, 0.1, CHANNELS),
        "point": rng.normal(0, 0.3, (CHANNELS, CHANNELS, 1, 1)) / sizes[:, None, None],
        "depth": rng.normal(0, 0.3, (CHANNELS, 1, 3, 3)),
        "depth.bias": rng.normal(0, 0.1, CHANNELS),
        "head": rng.normal(0, 0.3, (CHANNELS, 32)),
        "scale": np.array(1 / 64),
        "axes": np.array([2, 3], np.int64),
    }
    if bad is not None:
        weights["depth.bias"][3] = bad
    node = onnx.helper.make_node
    nodes = [
        node("Cast", ["images"], ["real"], to=onnx.TensorProto.FLOAT),
        node("Mul", ["real", "scale"], ["scaled"]),
        node("Conv", ["scaled", "stem", "stem.bias"], ["c0"], name="net.stem/conv", pads=[1] * 4, strides=[2, 2]),
        node("Relu", ["c0"], ["r0"], name="net.stem/relu"),
        node("Conv", ["r0", "point"], ["c1"], name="net.body/point"),
        node("Conv", ["c1", "depth", "depth.bias"], ["c2"], name="net.body/depth", pads=[1] * 4, group=CHANNELS),
        node("Relu", ["c2"], ["r2"], name="net.body/relu"),
        node("Conv", ["r2", "point"], ["c3"], name="net.tail/point"),
        node("Add", ["c3", "r2"], ["sum"]),
        node("ReduceMean", ["sum", "axes"], ["mean"], keepdims=0),
        node("MatMul", ["mean", "head"], ["embeddings"], name="net.head/matmul"),
    ]
    kinds = onnx.TensorProto
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [onnx.helper.make_tensor_value_info("images", kinds.UINT8, ["batch", 3, 32, 16])],
        [onnx.helper.make_tensor_value_info("embeddings", kinds.FLOAT, ["batch", 32])],
        [
            onnx.numpy_helper.from_array(value if value.dtype == np.int64 else value.astype(np.float32), name)
            for name, value in weights.items()
        ],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)


def embed(model: Any, crops: CalibrationSet) -> np.ndarray:
    answer: np.ndarray = open_session(model.SerializeToString()).run(None, {"images": crops.crops})[0]
    return answer


def worst(model: Any, crops: CalibrationSet, *, like: Any) -> float:
    found = compare_embeddings(embed(like, crops), embed(model, crops)).cosine_min
    assert found is not None
    return found


def nodes_of(model: Any, operator: str) -> list[Any]:
    return [node for node in model.graph.node if node.op_type == operator]


def constants(model: Any) -> dict[str, np.ndarray]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize("layout", Layout)
def test_every_layout_sees_what_the_network_sees(layout: Layout, crops: CalibrationSet, tmp_path: Path) -> None:
    onnx.save_model(network(), tmp_path / "graph.onnx")
    quantizer = Quantizer(tmp_path / "graph.onnx", crops, layout=layout)
    assert worst(quantizer.model(quantizer.products), crops, like=network()) > 0.995


def test_symmetric_graphs_have_no_zero_points_and_float_biases(crops: CalibrationSet, tmp_path: Path) -> None:
    onnx.save_model(network(), tmp_path / "graph.onnx")
    model = Quantizer(tmp_path / "graph.onnx", crops, layout=Layout.SIGNED).model(["c0", "c1", "c2"])
    values = constants(model)
    points = [
        values[node.input[2]] for node in (*nodes_of(model, "QuantizeLinear"), *nodes_of(model, "DequantizeLinear"))
    ]
    assert all(point.dtype == np.int8 and not point.any() for point in points)
    depth = next(node for node in model.graph.node if node.output[0] == "c2")
    assert values[depth.input[2]].dtype == np.float32


def test_weights_have_a_scale_for_each_output_channel(crops: CalibrationSet, tmp_path: Path) -> None:
    onnx.save_model(network(), tmp_path / "graph.onnx")
    values = constants(Quantizer(tmp_path / "graph.onnx", crops, layout=Layout.HALVES).model(["c0", "c2"]))
    assert values["c0/weight/integers"].dtype == np.int8
    assert values["c0/weight/scale"].shape == (CHANNELS,)
    assert (np.abs(values["c0/weight/integers"]).reshape(CHANNELS, -1).max(axis=1) == 127).all()


def test_what_two_products_read_is_rounded_once(crops: CalibrationSet) -> None:
    net = network()
    net.graph.node[7].input[0] = "r0"  # a third reader of r0, beside the body's
    model = quantized(
        Network(net), observe(Network(net), crops), layout=Layout.SIGNED, observer="min-max", products=["c1", "c3"]
    )
    assert [node.input[0] for node in nodes_of(model, "QuantizeLinear")] == ["r0"]


def test_only_unsigned_rounds_what_products_give(crops: CalibrationSet) -> None:
    rounded = {}
    for layout in Layout:
        net = Network(network())
        model = quantized(net, observe(net, crops), layout=layout, observer="min-max", products=["c2"])
        rounded[layout] = {node.input[0] for node in nodes_of(model, "QuantizeLinear")}
    assert rounded == {Layout.SIGNED: {"c1"}, Layout.HALVES: {"c1"}, Layout.UNSIGNED: {"c1", "r2"}}


def test_equalising_changes_nothing_but_ranges(crops: CalibrationSet) -> None:
    net = Network(network())
    before = observe(net, crops)
    assert equalize(net, before) == 2  # r0 and c1; r2 is added to as well, the mean is no product's
    np.testing.assert_allclose(embed(net.model, crops), embed(network(), crops), rtol=1e-3, atol=1e-4)
    after = observe(net, crops)
    uneven = [max(ranges.tensors["c1"].peaks) / min(ranges.tensors["c1"].peaks) for ranges in (before, after)]
    assert uneven[0] > 3
    assert uneven[1] == pytest.approx(1, abs=1e-3)


def test_constants_that_nodes_share_are_not_changed_for_both(crops: CalibrationSet) -> None:
    net = Network(network())
    net.set_constant(net.producers["c1"], 1, np.zeros((CHANNELS, CHANNELS, 1, 1), np.float32))
    assert net.weight(net.products["c3"]).any()
    assert not net.weight(net.products["c1"]).any()


def test_equalising_helps_a_network_of_unlike_channels(crops: CalibrationSet) -> None:
    plain, even = Network(network(spread=300.0)), Network(network(spread=300.0))
    equalize(even, observe(even, crops))
    cosines = [
        worst(
            quantized(net, observe(net, crops), layout=Layout.SIGNED, observer="min-max", products=["c1", "c2", "c3"]),
            crops,
            like=network(spread=300.0),
        )
        for net in (plain, even)
    ]
    assert 1 - cosines[1] < 0.7 * (1 - cosines[0])


def test_corrected_biases_bring_the_mean_back(crops: CalibrationSet) -> None:
    net = Network(network())
    ranges = observe(net, crops)
    coarse = {name: np.round(weight, 1) for name, weight in quantized_weights(net, ["c2"]).items()}
    (truth,) = net.copy().activations(["c2"], crops.crops[:4])
    shifts = []
    for corrected in (False, True):
        rounded = net.copy()
        if corrected:
            assert correct_biases(rounded, ranges, coarse) == 1
        rounded.set_constant(rounded.producers["c2"], 1, coarse["c2"])
        (found,) = rounded.activations(["c2"], crops.crops[:4])
        shifts.append(np.abs((found["c2"] - truth["c2"]).mean(axis=(0, 2, 3))).mean())
    assert shifts[1] < 0.5 * shifts[0]


def test_half_scales_are_those_that_the_weight_was_rounded_by() -> None:
    weight = np.random.default_rng(0).normal(0, 1e-4, (4, 9)).astype(np.float32)
    bits = EightBits.of(weight, 0, np.float16)
    assert bits.scales.dtype == np.float16
    assert np.abs(bits.rounded() - weight).max() <= 0.51 * bits.scales.astype(np.float32).max()


def test_a_bias_beside_which_weights_are_nothing_is_no_too_large_integer(crops: CalibrationSet) -> None:
    """ONNX Runtime makes biases integers as it optimises, and lets them wrap around."""
    net = Network(network())
    weight, product = net.weight(net.products["c2"]).copy(), net.products["c2"]
    weight[3] = 1e-12
    net.set_constant(product.node, 1, weight)
    net.set_constant(product.node, 2, np.full(CHANNELS, 0.7, np.float32))
    model = quantized(net, observe(net, crops), layout=Layout.UNSIGNED, observer="min-max", products=["c1", "c2", "c3"])
    values = constants(model)
    steps = values["c1/scale"] * values["c2/weight/scale"].astype(np.float64)
    assert (0.7 / steps).max() < 2**31
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = compare_embeddings(embed(model, crops), session.run(None, {"images": crops.crops})[0])
    assert found.cosine_min is not None
    assert found.cosine_min > 0.999


def test_cheap_products_stay_in_float(crops: CalibrationSet, tmp_path: Path) -> None:
    onnx.save_model(network(), tmp_path / "graph.onnx")
    quantizer = Quantizer(tmp_path / "graph.onnx", crops, layout=Layout.SIGNED)
    assert quantizer.work["c0"] == 16 * 27 * 16 * 8
    assert quantizer.work["c2"] == 16 * 9 * 16 * 8
    assert quantizer.products == ["c0", "c1", "c2", "c3"]  # not embeddings, a 190th of it


def test_ranges_are_read_as_they_were_written(crops: CalibrationSet) -> None:
    ranges = observe(Network(network()), crops)
    assert Ranges.from_json(ranges.to_json()) == ranges
    assert ranges.crops == 12
    low, high = ranges.tensors["r0"].kept("min-max")
    assert low == 0.0
    assert high == ranges.tensors["r0"].high


@pytest.mark.parametrize("damage", ["", "[]", '{"schema_version": 2}', '{"schema_version": 1, "wings": 2}', "\xff"])
def test_other_files_are_no_ranges(damage: str) -> None:
    with pytest.raises(InvalidFile, match="calibrate again"):
        Ranges.from_json(damage)


def test_what_was_seen_once_is_not_looked_at_again(crops: CalibrationSet, tmp_path: Path) -> None:
    first = observe(Network(network()), crops)
    (cached,) = (tmp_path / "cache" / "reidkit" / "ranges").iterdir()
    record = json.loads(cached.read_bytes())
    record["tensors"]["r0"]["high"] += 1  # tells the file from a second look
    cached.write_text(json.dumps(record))
    assert observe(Network(network()), crops).tensors["r0"].high == first.tensors["r0"].high + 1
    other = CalibrationSet(crops.crops[:6], "fewer")
    assert observe(Network(network()), other).crops == 6


def test_what_was_seen_by_other_observers_is_looked_at_again(
    crops: CalibrationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = observe(Network(network()), crops)
    monkeypatch.setitem(OBSERVERS, "min-max", lambda histogram: 0.5)
    assert observe(Network(network()), crops) == first
    monkeypatch.setattr(ranges_module, "RECIPE", ranges_module.RECIPE + 1)
    assert observe(Network(network()), crops).tensors["r0"].thresholds["min-max"] == 0.5


@pytest.mark.parametrize("damage", ["", "{", "[]", "\xff"])
def test_a_damaged_cache_is_looked_past_and_mended(damage: str, crops: CalibrationSet, tmp_path: Path) -> None:
    first = observe(Network(network()), crops)
    (cached,) = (tmp_path / "cache" / "reidkit" / "ranges").iterdir()
    cached.write_text(damage)
    assert observe(Network(network()), crops) == first
    assert Ranges.from_json(cached.read_bytes()) == first


def test_a_cache_that_cannot_be_written_costs_time_alone(crops: CalibrationSet, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    assert observe(Network(network()), crops).crops == 12


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_channel_that_is_not_finite_is_named(bad: float, crops: CalibrationSet) -> None:
    with pytest.raises(ExportFailure, match=r"net\.body/relu \(Relu\) gives NaN or infinity"):
        observe(Network(network(bad=bad)), crops)


def test_one_layer_scaled_eight_times_too_far_is_seen(crops: CalibrationSet) -> None:
    net = Network(network())
    model = quantized(net, observe(net, crops), layout=Layout.SIGNED, observer="min-max", products=list(net.products))
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == "c2/weight/scale")
    scale.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(scale) * 8, scale.name))
    report = compare_embeddings(embed(network(), crops), embed(model, crops))
    assert report.cosine_p01 is not None
    assert report.norm_ratio_max_deviation is not None
    assert report.cosine_p01 < 0.97 or report.norm_ratio_max_deviation > 0.2


def test_an_unknown_observer_is_refused_with_a_suggestion(crops: CalibrationSet, tmp_path: Path) -> None:
    onnx.save_model(network(), tmp_path / "graph.onnx")
    with pytest.raises(InvalidInput, match="no observer 'entropi': did you mean 'entropy'"):
        Quantizer(tmp_path / "graph.onnx", crops, layout=Layout.SIGNED, observer="entropi")


def test_a_graph_without_products_has_nothing_to_quantise() -> None:
    net = network()
    del net.graph.initializer[:]
    with pytest.raises(ExportFailure, match="nothing to quantise"):
        Network(net)


def test_a_tensorrt_cache_has_scales_as_the_bits_of_floats(crops: CalibrationSet) -> None:
    ranges = observe(Network(network()), crops)
    header, *lines = tensorrt_cache(ranges, observer="min-max", version="10.3.0").splitlines()
    assert header == "TRT-100300-EntropyCalibration2"
    scales = {name: struct.unpack(">f", bytes.fromhex(bits))[0] for name, bits in (line.split(": ") for line in lines)}
    assert scales.keys() == ranges.tensors.keys()
    assert scales["r0"] == pytest.approx(ranges.tensors["r0"].high / 127)


@pytest.mark.parametrize(
    ("version", "why"), [("11.4.0", "reads no calibration cache"), ("ten", "is no version of TensorRT")]
)
def test_only_tensorrt_up_to_10_has_a_cache(version: str, why: str, crops: CalibrationSet) -> None:
    with pytest.raises(InvalidInput, match=why):
        tensorrt_cache(observe(Network(network()), crops), observer="min-max", version=version)

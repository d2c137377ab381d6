"""The parts of the Core ML target: what the package says, what is held to torch, and what a box without it answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks need the extra 'export'")
if find_spec("coremltools") is None:
    pytest.skip("needs the extra 'coreml'", allow_module_level=True)

from tiny_manifest import HEIGHT, WIDTH, Tiny, tiny_manifest  # noqa: E402
from tiny_program import tiny_program  # noqa: E402

from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones.card import IMAGENET_256X128  # noqa: E402
from reidkit.runtime.artifact import record_files  # noqa: E402
from reidkit.runtime.artifact.manifest import BackboneInfo, Batch, Weights  # noqa: E402
from reidkit.runtime.box import read_nvidia  # noqa: E402
from reidkit.runtime.engines import engines  # noqa: E402
from reidkit.runtime.engines.coreml import pictures, taken_by  # noqa: E402
from reidkit.runtime.errors import ExportFailure, InvalidInput, TargetUnavailable  # noqa: E402
from reidkit.targets import BuildJob, BuiltEngine, Precision, find_target  # noqa: E402
from reidkit.targets._diagnosis import examine_engines  # noqa: E402
from reidkit.targets._mil.comparison import expect_same  # noqa: E402
from reidkit.targets._mil.evaluator import Evaluator  # noqa: E402
from reidkit.targets._mil.package import read_package  # noqa: E402
from reidkit.targets.coreml import batch_sizes  # noqa: E402

SIZE = replace(IMAGENET_256X128, height=HEIGHT, width=WIDTH)
CROPS = np.ascontiguousarray(render_crops(5, seed=2, height=HEIGHT, width=WIDTH).transpose(0, 3, 1, 2))
BACKBONE = BackboneInfo(
    name="tiny",
    parameters=1,
    weights=Weights(source="file", file="tiny.pt", sha256="ab" * 32, licence="CC0-1.0", dropped_keys=[]),
)


def traced(network: torch.nn.Module) -> Callable[[int | None], Any]:
    """`BuildJob.program` of a network that takes grey levels."""

    def program(batch: int | None) -> Any:
        sample = torch.zeros(batch or 2, 3, HEIGHT, WIDTH, dtype=torch.uint8)
        open_sizes = None if batch else ({0: torch.export.Dim("batch", min=1)},)
        return torch.export.export(network.eval(), (sample,), dynamic_shapes=open_sizes)

    return program


class OnBytes(torch.nn.Module):
    """A network behind the scaling of grey levels, its answer flat."""

    def __init__(self, *layers: torch.nn.Module) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images.float() / 128 - 1).flatten(1)


def build(folder: Path, program: Any = None, precision: Precision = Precision.FP32, **fields: Any) -> BuiltEngine:
    folder.mkdir(exist_ok=True)
    job = BuildJob(
        onnx_path=folder / "none",
        folder=folder,
        precision=precision,
        batch=Batch(dynamic=True, max=4, buckets=[]),
        program=program or tiny_program(Tiny()),
        backbone=BACKBONE,
        preprocessing=SIZE,
    )
    return find_target("coreml").build(replace(job, **fields))


def read(folder: Path) -> tuple[Any, Any]:
    return read_package(folder / "engine.mlpackage")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuiltEngine]:
    folder = tmp_path_factory.mktemp("coreml")
    return folder, build(folder)


def test_the_package_says_what_it_is(plain: tuple[Path, BuiltEngine]) -> None:
    specification, _ = read(plain[0])
    about = specification.description.metadata
    assert about.author.startswith("reidkit ")
    assert about.license == "CC0-1.0"
    assert about.versionString == "tiny, weights abababababab"
    assert "re-identification" in about.shortDescription
    assert json.loads(about.userDefined["reidkit.preprocessing"])["color"] == SIZE.color
    assert json.loads(about.userDefined["reidkit.backbone"])["weights"]["file"] == "tiny.pt"
    assert f"{WIDTH}x{HEIGHT}" in specification.description.input[0].shortDescription


def test_sizes_of_a_batch_are_enumerated(plain: tuple[Path, BuiltEngine]) -> None:
    assert taken_by(read(plain[0])[0].description) == ("images", [1, 2, 4], [3, HEIGHT, WIDTH])


@pytest.mark.parametrize(
    ("batch", "sizes"),
    [
        (Batch(dynamic=True, max=1, buckets=[]), [1]),
        (Batch(dynamic=True, max=6, buckets=[]), [1, 2, 4, 6]),
        (Batch(dynamic=True, max=8, buckets=[2, 8]), [2, 8]),
        (Batch(dynamic=False, max=8, buckets=[8]), [8]),
    ],
    ids=str,
)
def test_sizes_are_those_asked_for_or_powers_of_two(batch: Batch, sizes: list[int]) -> None:
    assert batch_sizes(batch) == sizes


def test_every_file_of_the_package_is_recorded(plain: tuple[Path, BuiltEngine]) -> None:
    folder, engine = plain
    data = "engine.mlpackage/Data/com.apple.CoreML"
    assert set(record_files(folder)) == {engine.engine_file, f"{data}/model.mlmodel", f"{data}/weights/weight.bin"}


def test_it_says_what_torch_says_at_any_count(plain: tuple[Path, BuiltEngine]) -> None:
    expected = tiny_program(Tiny())(5).module()(torch.from_numpy(CROPS)).numpy()
    for count in (1, 3, 5):
        np.testing.assert_allclose(plain[1].evaluate(CROPS[:count]), expected[:count], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_an_image_is_taken_one_at_a_time_in_its_colours(color: str, tmp_path: Path) -> None:
    engine = build(tmp_path, options={"input": "image"}, preprocessing=replace(SIZE, color=color))
    description = read(tmp_path)[0].description
    assert taken_by(description) == ("images", None, [3, HEIGHT, WIDTH])
    kind = description.input[0].type.imageType
    assert kind.ColorSpace.Name(kind.colorSpace) == color.upper()
    expected = tiny_program(Tiny())(5).module()(torch.from_numpy(CROPS)).numpy()
    np.testing.assert_allclose(engine.evaluate(CROPS), expected, rtol=1e-5, atol=1e-5)


def test_the_order_of_a_pictures_colours_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="colours have an order"):
        build(tmp_path, options={"input": "image"}, preprocessing=None)


def test_pictures_are_rgb_whatever_the_network_takes() -> None:
    (rgb,), (bgr,) = (pictures(CROPS[:1], color=color) for color in ("rgb", "bgr"))
    np.testing.assert_array_equal(np.asarray(rgb), CROPS[0].transpose(1, 2, 0))
    np.testing.assert_array_equal(np.asarray(bgr), np.asarray(rgb)[:, :, ::-1])


def test_one_size_alone_is_a_fixed_shape(tmp_path: Path) -> None:
    engine = build(tmp_path, batch=Batch(dynamic=False, max=3, buckets=[3]))
    assert taken_by(read(tmp_path)[0].description)[1] == [3]
    assert engine.evaluate(CROPS).shape[0] == 5


def test_int8_is_of_weights_and_smaller(tmp_path: Path) -> None:
    network = OnBytes(torch.nn.Conv2d(3, 32, 8, stride=8), torch.nn.ReLU())
    sizes = {}
    for precision in (Precision.FP16, Precision.INT8):
        engine = build(tmp_path / precision, traced(network), precision)
        assert engine.precision_built is precision
        sizes[precision] = next((tmp_path / precision).rglob("weight.bin")).stat().st_size
        expected = network(torch.from_numpy(CROPS)).detach().numpy()
        np.testing.assert_allclose(engine.evaluate(CROPS), expected, atol=0.02)
    assert sizes[Precision.INT8] < 0.6 * sizes[Precision.FP16]


class GeneralisedMean(torch.nn.Module):
    """Of activations whose cubes half precision does not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.power = torch.nn.Parameter(torch.tensor(3.0))

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        return (60 * planes).abs().clamp(min=1e-6).pow(self.power).mean((2, 3)).pow(1 / self.power)


def test_a_generalised_mean_is_kept_out_of_half_precision_and_its_root_exact(tmp_path: Path) -> None:
    network = OnBytes(torch.nn.Conv2d(3, 4, 3), GeneralisedMean())
    expected = network(torch.from_numpy(CROPS)).detach().numpy()
    exact = build(tmp_path / "fp32", traced(network)).evaluate(CROPS)
    np.testing.assert_allclose(exact, expected, rtol=1e-6)  # 1/3.0001 for 1/3 would be 1e-4 off
    halved = build(tmp_path / "fp16", traced(network), Precision.FP16).evaluate(CROPS)
    np.testing.assert_allclose(halved, expected, rtol=5e-3)


def test_lengths_are_taken_in_float32(tmp_path: Path) -> None:
    class Unit(torch.nn.Module):
        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            rows = planes.flatten(1)
            return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)

    network = OnBytes(torch.nn.Conv2d(3, 4, 3), Unit())
    evaluated = build(tmp_path, traced(network), Precision.FP16).evaluate(CROPS)
    np.testing.assert_allclose(evaluated, network(torch.from_numpy(CROPS)).detach().numpy(), atol=1e-4)
    from coremltools.converters.mil.mil import types

    kinds = {each.op_type: types.builtin_to_string(each.outputs[0].dtype) for each in read(tmp_path)[1].operations}
    assert (kinds["conv"], kinds["reduce_l2_norm"]) == ("fp16", "fp32")


def test_what_half_precision_does_not_hold_is_infinite(tmp_path: Path) -> None:
    class Squares(torch.nn.Module):
        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            return (1000 * planes) * (1000 * planes)

    network = OnBytes(torch.nn.Conv2d(3, 4, 3), Squares())
    assert np.isinf(build(tmp_path, traced(network), Precision.FP16).evaluate(CROPS)).any()


LEAF_SPECIFICATIONS = pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")
"""What torch says to itself as it decomposes a program."""


class Rearranged(torch.nn.Module):
    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        first, second = planes.chunk(2, 1)
        return torch.stack([second, first], 2).flatten(1, 2)[:, 1:, ::2]


LAYERS: dict[str, Callable[[], torch.nn.Module]] = {
    "average without padding": lambda: torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average, rounded up": lambda: torch.nn.AvgPool2d(3, 2, ceil_mode=True),
    "largest, rounded up": lambda: torch.nn.MaxPool2d(3, 2, ceil_mode=True),
    "gelu": torch.nn.GELU,
    "gelu by tanh": lambda: torch.nn.GELU("tanh"),
    "leaky relu": lambda: torch.nn.LeakyReLU(0.1),
    "prelu": lambda: torch.nn.PReLU(4),
    "elu": torch.nn.ELU,
    "silu": torch.nn.SiLU,
    "hard sigmoid": torch.nn.Hardsigmoid,
    "hard swish": torch.nn.Hardswish,
    "relu6": torch.nn.ReLU6,
    "instance norm": lambda: torch.nn.InstanceNorm2d(4, affine=True),
    "layer norm": lambda: torch.nn.LayerNorm([WIDTH]),
    "softmax": lambda: torch.nn.Softmax(1),
    "split, stacked and cut": Rearranged,
}


@pytest.mark.parametrize("name", LAYERS)
def test_an_operator_computes_what_torch_computes(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = OnBytes(torch.nn.Conv2d(3, 4, 3, padding=1), LAYERS[name]())
    expected = network(torch.from_numpy(CROPS)).detach().numpy()
    np.testing.assert_allclose(build(tmp_path, traced(network)).evaluate(CROPS), expected, rtol=1e-4, atol=1e-5)


def test_an_operator_that_is_not_known_is_refused_by_name(tmp_path: Path) -> None:
    class Summed(torch.nn.Module):
        def forward(self, planes: torch.Tensor) -> torch.Tensor:
            return planes.cumsum(1)

    with pytest.raises(ExportFailure, match="operator cumsum, whose numbers cannot be checked here"):
        build(tmp_path, traced(OnBytes(torch.nn.Conv2d(3, 4, 3), Summed()))).evaluate(CROPS)


def test_an_original_without_a_program_is_refused(tmp_path: Path) -> None:
    batch = Batch(dynamic=True, max=1, buckets=[])
    with pytest.raises(InvalidInput, match="built from a program of torch"):
        find_target("coreml").build(
            BuildJob(onnx_path=tmp_path, folder=tmp_path, precision=Precision.FP32, batch=batch)
        )


@LEAF_SPECIFICATIONS
def test_a_weight_that_was_changed_is_found_and_changes_the_numbers(tmp_path: Path) -> None:
    network = OnBytes(torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.BatchNorm2d(8), torch.nn.ReLU())
    sound = build(tmp_path, traced(network)).evaluate(CROPS)
    program = traced(network)(None).run_decompositions({})
    specification, function = read(tmp_path)
    expect_same(specification, function, program, precision=Precision.FP32, sizes=[1, 2, 4])
    file = next(tmp_path.rglob("weight.bin"))
    kernel = next(each for each in function.operations if each.op_type == "conv").weight.val
    data = file.read_bytes()
    assert data.count(kernel.tobytes()) == 1
    changed = kernel.copy()
    changed[5, 1, 2, 3] += 0.1
    file.write_bytes(data.replace(kernel.tobytes(), changed.tobytes()))
    specification, function = read(tmp_path)
    with pytest.raises(ExportFailure, match=r"weight 27 of filter 5 .* is off by"):
        expect_same(specification, function, program, precision=Precision.FP32, sizes=[1, 2, 4])
    assert np.abs(Evaluator(function)(CROPS) - sound).max() > 1e-3


@LEAF_SPECIFICATIONS
def test_another_network_is_told_by_its_products(tmp_path: Path) -> None:
    build(tmp_path, traced(OnBytes(torch.nn.Conv2d(3, 8, 4, stride=4))))
    specification, function = read(tmp_path)
    for other, message in {
        torch.nn.Conv2d(3, 8, 2, stride=4): "of shape",
        torch.nn.Sequential(torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.Conv2d(8, 8, 1)): "so many products",
    }.items():
        program = traced(OnBytes(other))(None).run_decompositions({})
        with pytest.raises(ExportFailure, match=message):
            expect_same(specification, function, program, precision=Precision.FP32, sizes=[1, 2, 4])
    program = traced(OnBytes(torch.nn.Conv2d(3, 8, 4, stride=4)))(None).run_decompositions({})
    with pytest.raises(ExportFailure, match=r"computes .* in fp32, not fp16"):
        expect_same(specification, function, program, precision=Precision.FP16, sizes=[1, 2, 4])
    with pytest.raises(ExportFailure, match=r"takes batches of \[1, 2, 4\], not \[1, 8\]"):
        expect_same(specification, function, program, precision=Precision.FP32, sizes=[1, 8])


@pytest.mark.skipif(engines()["coreml"].load().available() is None, reason="here Core ML runs")
def test_without_apples_system_it_says_where_it_runs(plain: tuple[Path, BuiltEngine]) -> None:
    folder, built = plain
    manifest = tiny_manifest(
        Tiny(target="coreml"), engine="coreml", engine_file=built.engine_file, files=record_files(folder)
    )
    with pytest.raises(TargetUnavailable, match="Core ML predicts on macOS alone: open it on a Mac") as caught:
        engines()["coreml"].load()(manifest, folder, device="auto", threads=None)
    assert caught.value.exit_code == 5


@pytest.mark.skipif(engines()["coreml"].load().available() is None, reason="here Core ML runs")
def test_doctor_sends_one_to_a_mac(tmp_path: Path) -> None:
    verdict = examine_engines(read_nvidia(tmp_path))["coreml"].run
    assert (verdict.possible, verdict.reason) == (False, "Core ML predicts on macOS alone")
    assert "Mac" in verdict.remedy

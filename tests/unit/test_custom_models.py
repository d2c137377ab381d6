"""Networks of the user's own: the examples, as their page runs them, and what is refused."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")

from reidkit.export.backbones import _from_files, backbones, card_of_factory, find_backbone, use_backbones_of  # noqa: E402
from reidkit.export.checkpoints import Checkpoint, identify, load_backbone, random_backbone  # noqa: E402
from reidkit.export.commands.export import export  # noqa: E402
from reidkit.export.originals import random_original  # noqa: E402
from reidkit.runtime.artifact.folder import read_artifact  # noqa: E402
from reidkit.runtime.errors import (  # noqa: E402
    ExportFailure,
    InvalidCheckpoint,
    InvalidConfig,
    InvalidFile,
    InvalidInput,
    MissingDependency,
)

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PAGE = (EXAMPLES / "README.md").read_text()
RECIPES = dict(re.findall(r"^## (.+?)\n.*?```sh\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="networks of timm need the extra 'timm'")
IMAGENET = "rgb-imagenet-256x128"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in {"factory", "mine", "striped"} & (set(sys.modules) - before):
        del sys.modules[name]
    _from_files.clear()
    backbones.cache_clear()


@pytest.fixture
def examples(folder: Path) -> Path:
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(line: str) -> Result:
    return CliRunner().invoke(export, line.split())


def test_every_way_has_a_recipe() -> None:
    assert set(RECIPES) == {"A plug-in", "A function that returns it", "An ONNX file", "timm"}


@pytest.mark.parametrize("way", [pytest.param(way, marks=[needs_timm] if way == "timm" else []) for way in RECIPES])
def test_an_example_is_exported_as_its_page_says(way: str, examples: Path) -> None:
    for line in RECIPES[way].splitlines():
        program, _, arguments = line.partition(" ")
        if program == "python":
            runpy.run_path(arguments, run_name="__main__")
        else:
            assert program == "reid-export"
            done = run(arguments)
            assert done.exit_code == 0, done.output
    (artifact,) = (examples / "artifacts").iterdir()
    manifest, _ = read_artifact(artifact)
    name, source, file, reference = {
        "A plug-in": ("striped", "random", None, "torch"),
        "A function that returns it": ("factory.build", "file", "factory.pt", "torch"),
        "An ONNX file": ("ready", "file", "ready.onnx", "ready.onnx itself in ONNX Runtime"),
        "timm": ("timm_test_resnet", "random", None, "torch"),
    }[way]
    assert artifact.name == f"{name}-onnxruntime-fp32"
    assert (manifest.backbone.name, manifest.backbone.weights.source, manifest.backbone.weights.file) == (
        name,
        source,
        file,
    )
    assert manifest.parity["reference"] == reference
    assert manifest.preprocessing.dtype == "uint8"
    assert manifest.preprocessing.normalization.where == "graph"


def test_the_installed_plug_in_is_there_by_name(examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = (examples / "striped" / "pyproject.toml").read_text()
    (entry,) = re.findall(r'^\[project\.entry-points\."reidkit\.backbones"\]\n(.+)$', project, re.MULTILINE)
    info = examples / "striped" / "striped-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: striped\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[reidkit.backbones]\n{entry.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(examples / "striped")
    backbones.cache_clear()
    assert find_backbone("striped").family == "striped"


def test_weights_tell_a_backbone_of_a_file(examples: Path) -> None:
    use_backbones_of(Path("striped/striped.py"))
    state = random_backbone(find_backbone("striped")).state_dict()
    torch.save({**state, "classifier.weight": torch.zeros(7, 32)}, "mine.pt")
    checkpoint = Checkpoint.read(Path("mine.pt"))
    assert identify(checkpoint).name == "striped"
    assert load_backbone(find_backbone("striped"), checkpoint)[1] == ["classifier.weight"]


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        (None, "is no Python file"),
        ("def build(:\n", "mine.py fails with SyntaxError"),
        ("\nimport no_such_library\n", r"ModuleNotFoundError: No module named 'no_such_library' \(.*mine.py, line 2\)"),
        ("CARDS = ('osnet',)\n", "does not assign a tuple of ModelCard to CARDS"),
        ("BACKBONES = ()\n", "does not assign a tuple of ModelCard to CARDS"),
    ],
)
def test_a_file_without_backbones_is_refused(text: str | None, saying: str, folder: Path) -> None:
    if text is not None:
        Path("mine.py").write_text(text)
    with pytest.raises(InvalidFile, match=saying):
        use_backbones_of(Path("mine.py"))
    assert "osnet_x1_0" in backbones()


def test_a_file_cannot_take_the_name_of_a_backbone_there_is(examples: Path) -> None:
    example = Path("striped/striped.py")
    example.write_text(example.read_text().replace('name="striped"', 'name="osnet_x1_0"'))
    use_backbones_of(example)
    with pytest.raises(InvalidConfig, match="two backbones are called osnet_x1_0, one of osnet, one of striped"):
        backbones()


FACTORIES = """
import torch
from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard

def card():
    return ModelCard(name="carded", family="mine", build=flat, preprocessing=IMAGENET_256X128, source="", terms="")

def flat():
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())

def pooled():
    return torch.nn.AdaptiveAvgPool2d(2)

def narrow():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(5, 5))

class Two(torch.nn.Module):
    def forward(self, x):
        return x.mean((2, 3)), x

def number():
    return 7

def broken():
    raise OSError("the disk is on fire")
"""


@pytest.fixture
def factories(folder: Path) -> Path:
    path = folder / "mine.py"
    path.write_text(FACTORIES)
    return path


def test_a_function_may_return_a_card(factories: Path) -> None:
    assert card_of_factory("mine:card", preprocessing=None).name == "carded"
    with pytest.raises(InvalidConfig, match="leave --preprocessing out"):
        card_of_factory("mine:card", preprocessing=IMAGENET)


@pytest.mark.parametrize(
    ("target", "error", "saying"),
    [
        ("mine", InvalidInput, "names no factory: package.module:function"),
        ("nobody:build", InvalidFile, "ModuleNotFoundError: No module named 'nobody'"),
        ("mine:flatt", InvalidFile, "AttributeError: module 'mine' has no attribute 'flatt'"),
        ("mine:broken", InvalidFile, r"OSError: the disk is on fire \(.*mine.py, line 25\)"),
        ("mine:number", InvalidInput, "returns no network but int"),
    ],
)
def test_what_is_no_factory_is_refused(target: str, error: type[Exception], saying: str, factories: Path) -> None:
    with pytest.raises(error, match=saying):
        card_of_factory(target, preprocessing=IMAGENET)


def test_a_function_leaves_its_preprocessing_to_be_told(factories: Path) -> None:
    with pytest.raises(InvalidConfig, match="nothing says what the network's input holds: name it with --preproc"):
        card_of_factory("mine:flat", preprocessing=None)
    shutil.copy(EXAMPLES / "ready.preprocessing.yaml", "other.yaml")
    assert card_of_factory("mine:flat", preprocessing="other.yaml").preprocessing.color == "bgr"
    Path("other.yaml").write_text(Path("other.yaml").read_text().replace("nchw", "nhwc"))
    with pytest.raises(InvalidConfig, match=r"takes nchw float32 crops that are normalised before it, other\.yaml"):
        card_of_factory("mine:flat", preprocessing="other.yaml")


@pytest.mark.parametrize(
    ("target", "saying"),
    [
        ("mine:pooled", r"gives float32 \(2, 3, 2, 2\) for 2 crops of 3x256x128: it has to give \(N, D\)"),
        ("mine:Two", "gives a tuple for 2 crops"),
        ("mine:narrow", "fails on 3x256x128 crops .*mat1 and mat2"),
    ],
)
def test_a_network_that_gives_no_embeddings_is_refused(target: str, saying: str, factories: Path) -> None:
    original = random_original(card_of_factory(target, preprocessing=IMAGENET))
    with pytest.raises(ExportFailure, match=saying):
        original.embed(np.zeros((2, 3, 256, 128), np.uint8))


def test_weights_are_loaded_strictly(examples: Path) -> None:
    runpy.run_path("factory.py", run_name="__main__")
    state = torch.load("factory.pt")
    del state["1.running_mean"]
    torch.save({**state, "head.weight": torch.zeros(2)}, "factory.pt")
    card = card_of_factory("factory:build", preprocessing=IMAGENET)
    with pytest.raises(InvalidCheckpoint, match=r"1 missing \(1.running_mean\), 1 unexpected \(head.weight\)"):
        load_backbone(card, Checkpoint.read(Path("factory.pt")))


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        ("--model osnet_x1_0 --module mine:flat", "one of --model, --module and --onnx"),
        ("--onnx ready.onnx --weights factory.pt", "has its weights inside"),
        ("--random-weights", "--random-weights needs --model or --module"),
        ("--preprocessing rgb-0-1-256x128", "--preprocessing is for --module, --onnx and --model timm:NAME"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(arguments: str, saying: str, folder: Path) -> None:
    done = run(f"{arguments} --target onnxruntime --output artifacts")
    assert done.exit_code == 2
    assert saying in done.output


def test_a_backbone_of_ours_knows_its_preprocessing() -> None:
    with pytest.raises(InvalidConfig, match="osnet_x1_0 knows its own preprocessing"):
        find_backbone("osnet_x1_0", preprocessing=IMAGENET)


@needs_timm
class TestTimm:
    def test_its_size_and_normalisation_are_the_cards(self) -> None:
        card = find_backbone("timm:test_vit")  # which is made for one size
        images = torch.zeros(2, 3, 256, 128)
        with torch.inference_mode():
            assert random_backbone(card)(images).ndim == 2
        assert card.preprocessing.normalization.mean == [0.5, 0.5, 0.5]
        assert card.preprocessing.resize.kernel == "bicubic"
        told = find_backbone("timm:test_vit", preprocessing="bgr-0-1-128x64").preprocessing
        assert (told.height, told.width, told.color) == (128, 64, "bgr")

    def test_a_checkpoint_may_bring_the_classifier(self, tmp_path: Path) -> None:
        card = find_backbone("timm:test_resnet")
        import timm  # not before: here, its torchvision may be one for another torch

        whole = timm.create_model("test_resnet", num_classes=10).state_dict()
        torch.save(whole, tmp_path / "whole.pt")
        module, dropped = load_backbone(card, Checkpoint.read(tmp_path / "whole.pt"))
        assert dropped == ["fc.weight", "fc.bias"]
        assert all(torch.equal(whole[key], tensor) for key, tensor in module.state_dict().items())

    @pytest.mark.parametrize(
        ("name", "saying"),
        [
            ("resnet_18", "did you mean 'timm:resnet18'"),
            ("qqqqqqqq", "timm.list_models"),
            ("resnet18.mars", "Invalid pretrained tag"),
        ],
    )
    def test_what_it_does_not_have_is_refused(self, name: str, saying: str) -> None:
        with pytest.raises(InvalidInput, match=saying):
            find_backbone(f"timm:{name}")


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingDependency, match=re.escape("pip install 'reidkit[timm]'")):
        find_backbone("timm:resnet18")

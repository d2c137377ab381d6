"""A plug-in as anybody's would be: a tiny backbone, an unfaithful one and compilers that go wrong, each in its way.

The gates of an export, and how it ends, are tested on what they are there for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reidkit.export.backbones import backbones
from reidkit.export.commands.export import export

PLUG_IN = '''
import os
import resource
import torch
from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard
from reidkit.targets.onnxruntime import OnnxRuntimeTarget

class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 9, stride=8)
        self.fc = torch.nn.Linear(8, 16)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))

class Unfaithful(Tiny):
    """Computes something else once it is exported, as code that asks how it is run sometimes does."""

    def forward(self, x):
        embeddings = super().forward(x)
        return embeddings.flip(1) if torch.compiler.is_exporting() else embeddings

CARDS = tuple(
    ModelCard(
        name=network.__name__.lower(), family="tiny", build=network, preprocessing=IMAGENET_256X128,
        head_prefixes=("classifier.",), source="", terms="",
    )
    for network in (Tiny, Unfaithful)
)

class ScalingTarget(OnnxRuntimeTarget):
    """A compiler that gets every direction right and every length wrong."""

    def __init__(self, name, factor):
        self.name, self.factor = name, factor

    def build(self, job):
        import onnx
        model = onnx.load(job.onnx_path)
        graph = model.graph
        graph.node[-1].output[0] = "unscaled"
        graph.initializer.append(onnx.helper.make_tensor("factor", onnx.TensorProto.FLOAT, [], [self.factor]))
        graph.node.append(onnx.helper.make_node("Mul", ["unscaled", "factor"], ["embeddings"]))
        onnx.save(model, job.onnx_path)
        return super().build(job)

class FarawayTarget(OnnxRuntimeTarget):
    """A compiler that is only on the box."""

    name, portable = "faraway", True

    def available(self):
        return None if "ON_THE_BOX" in os.environ else "this is not the box"

class GarblingTarget(OnnxRuntimeTarget):
    """A compiler whose fp16 no library opens."""

    name = "garbling"

    def build(self, job):
        built = super().build(job)
        if job.precision == "fp16":
            (job.folder / built.engine_file).write_bytes(b"garbage")
        return built

class DynamicTarget(OnnxRuntimeTarget):
    """A compiler that finds its scales while it runs, and looks at no crops."""

    name, int8_layout = "dynamic", None

class InterruptedTarget(OnnxRuntimeTarget):
    """A compiler that nobody waits for."""

    name = "interrupted"

    def build(self, job):
        super().build(job)
        raise KeyboardInterrupt

class FillingTarget(OnnxRuntimeTarget):
    """A compiler for whose engine the disk has no room."""

    name = "filling"

    def build(self, job):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            (job.folder / "engine.onnx").write_bytes(job.onnx_path.read_bytes())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        return super().build(job)

FARAWAY, GARBLING, INTERRUPTED = FarawayTarget(), GarblingTarget(), InterruptedTarget()
DYNAMIC, FILLING = DynamicTarget(), FillingTarget()
HALVING, EXPLODING = ScalingTarget("halving", 0.5), ScalingTarget("exploding", float("inf"))
'''

ENTRY_POINTS = """
[reidkit.backbones]
tiny = tiny_plug_in:CARDS
[reidkit.targets]
halving = tiny_plug_in:HALVING
exploding = tiny_plug_in:EXPLODING
faraway = tiny_plug_in:FARAWAY
garbling = tiny_plug_in:GARBLING
interrupted = tiny_plug_in:INTERRUPTED
dynamic = tiny_plug_in:DYNAMIC
filling = tiny_plug_in:FILLING
"""


@contextmanager
def installed_plug_in(folder: Path) -> Iterator[Path]:
    """While the block runs, `folder` is one of installed packages, with the plug-in in it."""
    info = folder / "tiny_plug_in-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plug-in\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "tiny_plug_in.py").write_text(PLUG_IN)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        backbones.cache_clear()
        yield folder
    backbones.cache_clear()


def run(output: Path, *arguments: object) -> Result:
    return CliRunner().invoke(export, [*map(str, arguments), "--output", str(output)])


def random(output: Path, *arguments: object, model: str = "tiny", target: str = "onnxruntime") -> Result:
    return run(output, "--model", model, "--random-weights", "--target", target, *arguments)


def assert_refused(done: Result, output: Path, *, code: int, saying: str) -> None:
    assert done.exit_code == code, done.output
    assert saying in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert list(output.iterdir()) == []

"""What every target keeps, over whatever discovery finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from tiny_artifact import tiny_artifact, tiny_job, tiny_onnx
from tiny_manifest import Tiny

from reidkit.runtime.artifact import read_artifact
from reidkit.runtime.artifact.manifest import Batch
from reidkit.runtime.engines import engines, open_artifact
from reidkit.runtime.errors import ExportFailure, InvalidInput, MissingDependency
from reidkit.targets import BuildJob, Precision, Target, find_target, targets
from reidkit.targets.target import read_options

BATCH = Batch(dynamic=True, max=4, buckets=[])
BUILDS_WITH = {"coreml": ("coremltools", "coreml"), "litert": ("litert-torch", "litert-export")}
"""Library and extra of a target that is named otherwise."""


@pytest.fixture(params=targets())
def target(request: pytest.FixtureRequest) -> Target:
    return find_target(request.param)


@pytest.fixture
def available(target: Target) -> Target:
    if reason := target.available():
        pytest.skip(f"target {target.name}: {reason}")
    return target


@pytest.fixture(params=[name for name in targets() if find_target(name).consumes == "onnx"])
def onnx_reader(request: pytest.FixtureRequest) -> Target:
    target = find_target(request.param)
    if reason := target.available():
        pytest.skip(f"target {target.name}: {reason}")
    return target


def job(folder: Path, target: Target, graph: bytes | None = None) -> BuildJob:
    """To build the miniature in ``out``, or `graph` in its place."""
    (folder / "out").mkdir()
    job = tiny_job(Tiny(target=target.name), folder, into=folder / "out")
    if graph is not None:
        job.onnx_path.write_bytes(graph)
    return job


def test_it_says_what_it_is(target: Target) -> None:
    assert targets()[target.name].load() is target
    assert target.engine in engines()
    assert target.consumes in ("onnx", "exported_program")
    assert target.precisions <= set(Precision)
    assert target.precisions


def test_it_builds_what_its_engine_opens(available: Target, tmp_path: Path) -> None:
    if reason := engines()[available.engine].load().available():
        pytest.skip(f"engine {available.engine}: {reason}")
    folder = tiny_artifact(tmp_path, Tiny(target=available.name))
    with open_artifact(folder) as engine:
        assert engine.manifest.engine == available.engine


def test_it_tells_its_toolchain_and_its_files_alone(available: Target, tmp_path: Path) -> None:
    built = available.build(job(tmp_path, available))
    assert (tmp_path / "out" / built.engine_file).is_file()
    assert built.precision_built is Precision.FP32
    assert all(built.toolchain.values())
    assert built.toolchain


def test_the_same_graph_gives_the_same_bytes(available: Target, tmp_path: Path) -> None:
    files = [read_artifact(tiny_artifact(tmp_path, Tiny(target=available.name), name=name))[0].files for name in "ab"]
    assert {**files[0], "golden.npz": None} == {**files[1], "golden.npz": None}


def test_nothing_in_its_files_tells_where_it_was_built(available: Target, tmp_path: Path) -> None:
    asked = job(tmp_path, available)
    available.build(asked)
    files = [path for path in asked.folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if str(tmp_path).encode() in path.read_bytes()] == []


def test_a_precision_that_it_does_not_offer_is_refused(target: Target, tmp_path: Path) -> None:
    for precision in set(Precision) - target.precisions:
        with pytest.raises(ExportFailure, match=f"does not build {precision}: it builds .*fp32"):
            target.build(BuildJob(onnx_path=tmp_path / "none", folder=tmp_path, precision=precision, batch=BATCH))


@pytest.mark.parametrize("graph", [b"", b"no graph at all"], ids=["empty", "text"])
def test_what_its_library_refuses_is_an_export_failure(onnx_reader: Target, tmp_path: Path, graph: bytes) -> None:
    with pytest.raises(ExportFailure, match="refuses the graph"):
        onnx_reader.build(job(tmp_path, onnx_reader, graph))


def test_an_operator_that_its_library_lacks_is_an_export_failure(onnx_reader: Target, tmp_path: Path) -> None:
    model = tiny_onnx(Tiny())
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Telepathy"
    with pytest.raises(ExportFailure, match="refuses the graph"):
        onnx_reader.build(job(tmp_path, onnx_reader, onnx.ModelProto.SerializeToString(model)))


def test_without_its_library_it_says_why_and_which_extra(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, extra = BUILDS_WITH.get(target.name, (target.name, target.name))
    monkeypatch.setitem(sys.modules, library.replace("-", "_"), None)
    assert target.available() == f"{library} is not installed"
    with pytest.raises(MissingDependency, match=rf"pip install 'reidkit\[{extra}\]'"):
        target.build(job(tmp_path, target))


def test_an_option_that_it_does_not_have_is_refused(target: Target) -> None:
    with pytest.raises(InvalidInput, match=f"target {target.name} has no option 'wings'"):
        read_options(target, {"wings": "yes"}, Precision.FP32, BATCH)


def test_each_option_says_what_it_is_about_and_does_something(target: Target) -> None:
    assert all(option.about for option in target.options.values())
    assert all(option.precisions & target.precisions for option in target.options.values())


def test_a_name_almost_right_is_suggested() -> None:
    with pytest.raises(ExportFailure, match="no target 'openvno': did you mean 'openvino'"):
        find_target("openvno")


def test_finding_them_imports_no_vendor_library() -> None:
    script = (
        "import sys; from reidkit.targets import find_target, targets; [find_target(name) for name in targets()];"
        "print(*{'coremltools', 'cuda', 'litert_torch', 'onnx', 'onnxruntime', 'openvino', 'tensorrt', 'tensorrt_rtx',"
        " 'torch'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "\n"

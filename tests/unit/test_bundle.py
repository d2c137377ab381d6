"""Bundles: what they are, how they are built on the box, when they are built again, and whose native code runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result
from tiny_artifact import altered, tiny_artifact, tiny_bundle
from tiny_manifest import Tiny

from reidkit.runtime.artifact import Recipe, built_here, read_artifact, read_recipe, vouch, write_recipe
from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.artifact.recipe import RECIPE_FILE
from reidkit.runtime.engines import engines, open_artifact
from reidkit.runtime.engines.onnxruntime import OnnxRuntimeEngine
from reidkit.runtime.errors import (
    ArtifactInvalid,
    ArtifactUntrusted,
    EngineFailure,
    EngineNotBuilt,
    InvalidFile,
    InvalidInput,
    TargetUnavailable,
)
from reidkit.runtime.pipeline.job import TrackingJob, appearance_of
from reidkit.runtime.tracking import BotSortConfig
from reidkit.targets import BuildJob, BuiltEngine, find_target
from reidkit.targets._bundle import build_bundle
from reidkit.targets.commands.build import build
from reidkit.targets.onnxruntime import OnnxRuntimeTarget

pytest.importorskip("onnxruntime", reason="bundles are built for ONNX Runtime here: install the extra 'onnxruntime'")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path)


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if ONNX Runtime's files were programs, as TensorRT's are."""
    monkeypatch.setattr(OnnxRuntimeEngine, "runs_native_code", True)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build, [str(argument) for argument in arguments])


def test_a_bundle_does_not_open_and_says_what_to_do(bundle: Path) -> None:
    with pytest.raises(EngineNotBuilt, match=f"tiny is a bundle: its onnxruntime engine .* reidkit build {bundle}"):
        open_artifact(bundle)


def test_a_bundle_becomes_an_artifact_in_its_place(bundle: Path) -> None:
    before, _ = read_artifact(bundle)
    result = build_bundle(bundle)
    assert (result.artifact, result.is_new) == (bundle, True)
    with open_artifact(bundle) as engine:
        after = engine.manifest
    assert after == result.manifest
    assert set(after.files) == {"engine.onnx", "graph.onnx", "golden.npz", "recipe.json"}
    assert after.toolchain.keys() == before.toolchain.keys() | {"onnxruntime"}
    assert after.built_on.keys() == {"system", "machine", "processor", "python"}
    for field in ("name", "created", "backbone", "batch", "parity", "gates", "preprocessing"):
        assert getattr(after, field) == getattr(before, field)


def test_it_may_be_built_elsewhere_and_stays_as_it_was(bundle: Path, tmp_path: Path) -> None:
    result = build_bundle(bundle, output=tmp_path / "built")
    assert result.artifact == tmp_path / "built" / "tiny"
    open_artifact(result.artifact).close()
    assert not read_artifact(bundle)[0].is_built


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in its place", "elsewhere"])
def test_what_fits_is_not_built_again_unless_asked(bundle: Path, tmp_path: Path, elsewhere: bool) -> None:
    output = tmp_path / "built" if elsewhere else None
    first = build_bundle(bundle, output=output)
    assert build_bundle(bundle, output=output) == replace(first, is_new=False)
    assert build_bundle(bundle, output=output, again=True).is_new


def test_another_graph_under_the_same_name_is_built(bundle: Path, tmp_path: Path) -> None:
    build_bundle(bundle, output=tmp_path / "built")
    other = tiny_bundle(tmp_path / "other", Tiny(black="zero"))
    result = build_bundle(other, output=tmp_path / "built")
    assert result.is_new
    assert result.manifest.files["graph.onnx"] == read_artifact(other)[0].files["graph.onnx"]


def test_a_damaged_build_is_replaced(bundle: Path, tmp_path: Path) -> None:
    build_bundle(bundle, output=tmp_path / "built")
    (tmp_path / "built" / "tiny" / "engine.onnx").unlink()
    assert build_bundle(bundle, output=tmp_path / "built").is_new
    open_artifact(tmp_path / "built" / "tiny").close()


@pytest.fixture(params=[EngineNotBuilt, EngineFailure])
def stale(request: pytest.FixtureRequest, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose engine was built, and is refused once when it is opened."""
    build_bundle(bundle)
    load = OnnxRuntimeEngine._load
    refusals = [request.param("it was built for onnxruntime 0.1, here it is 9.9", remedy="build it here")]

    def refuse_the_first(self: OnnxRuntimeEngine, folder: Path, *, device: str, threads: int | None) -> None:
        if refusals:
            raise refusals.pop()
        load(self, folder, device=device, threads=threads)

    monkeypatch.setattr(OnnxRuntimeEngine, "_load", refuse_the_first)
    return bundle


def test_an_engine_for_another_version_is_built_again_and_both_are_named(stale: Path) -> None:
    result = build_bundle(stale)
    assert (result.is_new, result.because) == (True, "it was built for onnxruntime 0.1, here it is 9.9")
    again = build_bundle(stale)
    assert (again.is_new, again.because) == (False, None)


def test_the_command_says_why_it_built_again(stale: Path) -> None:
    assert run(stale).stdout.endswith(": built, since it was built for onnxruntime 0.1, here it is 9.9\n")


def test_what_is_built_before_a_run_is_for_its_device_and_says_why(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a box of two GPUs: an engine that fits one is built again for the other."""
    build_bundle(bundle)
    asked: list[str] = []
    build_here, load = OnnxRuntimeTarget.build, OnnxRuntimeEngine._load

    def noted(self: OnnxRuntimeTarget, job: BuildJob) -> BuiltEngine:
        asked.append(job.device)
        return build_here(self, job)

    def of_one_device(self: OnnxRuntimeEngine, folder: Path, *, device: str, threads: int | None) -> None:
        if device == "cpu" and not asked:
            raise EngineNotBuilt("it was built for auto, here it is cpu")
        load(self, folder, device=device, threads=threads)

    monkeypatch.setattr(OnnxRuntimeTarget, "build", noted)
    monkeypatch.setattr(OnnxRuntimeEngine, "_load", of_one_device)
    job = TrackingJob(input="none", output=tmp_path, reid=str(bundle), device="cpu", build=True)
    engine, _, told = appearance_of(job, BotSortConfig())
    assert engine is not None
    engine.close()
    assert asked == ["cpu"]
    assert told == [f"the engine of {bundle} was built anew: it was built for auto, here it is cpu"]
    with pytest.raises(InvalidInput, match="no device 'abacus'"):
        build_bundle(bundle, device="abacus")


def test_an_engine_that_embeds_otherwise_than_it_should_is_not_published(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    graph = onnx.load(bundle / "graph.onnx")
    (kernel,) = (tensor for tensor in graph.graph.initializer if tensor.name == "kernel")
    kernel.raw_data = bytes(len(kernel.raw_data))
    onnx.save_model(graph, bundle / "graph.onnx")
    before, _ = read_artifact(altered(bundle))
    with pytest.raises(EngineFailure, match="gives other embeddings here"):
        build_bundle(bundle)
    assert read_artifact(bundle)[0] == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_an_artifact_without_a_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="tiny carries no recipe to build its engine by"):
        build_bundle(tiny_artifact(tmp_path))


def test_a_target_that_cannot_build_here_says_why(tmp_path: Path) -> None:
    unfit = [name for name in ("tensorrt", "tensorrt_rtx") if engines()[name].load().available()]
    if not unfit:
        pytest.skip("this machine builds and runs whatever there is")
    for name in unfit:
        bundle = tiny_bundle(tmp_path / name, Tiny(target=name))
        reason = find_target(name).available() or engines()[name].load().available()
        with pytest.raises(TargetUnavailable) as caught:
            build_bundle(bundle)
        assert reason in caught.value.message
        assert not read_artifact(bundle)[0].is_built


def test_an_option_that_the_target_does_not_have_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path, options={"wings": "two"})
    with pytest.raises(InvalidInput, match="target onnxruntime has no option 'wings': it has none"):
        build_bundle(bundle)


def test_a_place_that_cannot_be_written_to_is_told(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidFile, match="cannot write"):
        build_bundle(bundle, output=tmp_path / "file")


@pytest.mark.parametrize("text", ["", "[]", '{"graph": "graph.onnx"}', '{"graph": 1, "options": {}}', "[" * 100_000])
def test_a_recipe_that_cannot_be_read_is_refused(bundle: Path, text: str) -> None:
    (bundle / RECIPE_FILE).write_text(text)
    with pytest.raises(ArtifactInvalid, match=r"tiny: recipe\.json: "):
        build_bundle(altered(bundle))


@pytest.mark.parametrize("graph", ["../graph.onnx", "/etc/passwd", "none.onnx"])
def test_a_graph_outside_the_bundle_is_not_read(bundle: Path, graph: str) -> None:
    write_recipe(bundle, Recipe(graph=graph, options={}))
    with pytest.raises(ArtifactInvalid, match=f"names {graph}, which the manifest does not list"):
        build_bundle(altered(bundle))


def test_a_bundle_without_its_recipe_is_refused(bundle: Path) -> None:
    (bundle / RECIPE_FILE).unlink()
    with pytest.raises(ArtifactInvalid, match="a bundle's recipe"):
        read_artifact(altered(bundle))


def test_a_recipe_is_read_as_it_was_written(tmp_path: Path) -> None:
    manifest, folder = read_artifact(tiny_bundle(tmp_path, options={"dla": "0"}))
    assert read_recipe(manifest, folder) == Recipe(graph="graph.onnx", options={"dla": "0"})


def test_native_code_that_was_built_here_runs(bundle: Path, native: None) -> None:
    build_bundle(bundle)
    open_artifact(bundle).close()


def test_native_code_that_was_built_elsewhere_is_built_anew(tmp_path: Path, native: None) -> None:
    bundle = tiny_bundle(tmp_path)
    built = build_bundle(bundle).manifest
    _mark_of(built).unlink()  # as it is on another machine
    with pytest.raises(
        ArtifactUntrusted, match=f"built elsewhere.*: build it here with reidkit build {bundle}, or .*--t"
    ):
        open_artifact(bundle)
    open_artifact(bundle, trusted=True).close()
    assert build_bundle(bundle).is_new
    open_artifact(bundle).close()


def test_a_mark_that_somebody_else_made_is_nobodys_word(
    bundle: Path, native: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build_bundle(bundle).manifest
    os.chown(_mark_of(built), 12345, -1) if os.geteuid() == 0 else monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert not built_here(built)


def test_an_altered_engine_is_invalid_before_anybody_asks_whose_it_is(bundle: Path, native: None) -> None:
    build_bundle(bundle)
    with (bundle / "engine.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ArtifactInvalid, match=r"engine\.onnx was altered"):
        open_artifact(bundle, trusted=True)


def test_a_cache_that_cannot_be_written_to_is_told(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: None
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(Exception, match="XDG_CACHE_HOME names another place"):
        vouch(build_bundle(bundle).manifest)


def test_the_command_builds_once_and_says_so(bundle: Path) -> None:
    first = run(bundle)
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith(f"{bundle}\n  engine  engine.onnx, fp32, ")
    assert first.stdout.endswith(": built\n")
    assert run(bundle).stdout.endswith(": fits this box as it is\n")


def test_the_command_reports_as_json(bundle: Path, tmp_path: Path) -> None:
    report = json.loads(run(bundle, "--output", tmp_path / "built", "--json").stdout)
    assert report.keys() == {"artifact", "built", "because", "engine_file", "precision_built", "toolchain"}
    assert (report["artifact"], report["built"]) == (str(tmp_path / "built" / "tiny"), True)
    again = json.loads(run(bundle, "--output", tmp_path / "built", "--json", "--again").stdout)
    assert again == report


@pytest.mark.parametrize(
    ("spoil", "exit_code"),
    [(lambda bundle: (bundle / "golden.npz").unlink(), 4), (lambda bundle: altered(bundle, target="abacus"), 1)],
    ids=["incomplete", "unknown target"],
)
def test_the_command_ends_with_the_errors_exit_code(
    bundle: Path, spoil: Callable[[Path], object], exit_code: int
) -> None:
    spoil(bundle)
    assert run(bundle).exit_code == exit_code


def _mark_of(manifest: Manifest) -> Path:
    (mark,) = Path(os.environ["XDG_CACHE_HOME"]).rglob(manifest.files[manifest.engine_file].sha256)
    return mark

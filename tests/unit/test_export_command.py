"""`reid-export` from outside: what it publishes and tells, and which command lines it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

torch = pytest.importorskip("torch", reason="exporting needs the extra 'export'")
for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="exporting needs the extra 'export'")

from export_plug_in import assert_refused, installed_plug_in, random, run  # noqa: E402

from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones import find_backbone  # noqa: E402
from reidkit.export.checkpoints import random_backbone  # noqa: E402
from reidkit.export.commands.export import export  # noqa: E402
from reidkit.export.weights import embedded_weights  # noqa: E402
from reidkit.runtime.artifact import Recipe, built_here, read_recipe  # noqa: E402
from reidkit.runtime.artifact.digests import sha256_of  # noqa: E402
from reidkit.runtime.artifact.folder import load_golden, read_artifact  # noqa: E402
from reidkit.runtime.engines import engines, open_artifact  # noqa: E402
from reidkit.targets import find_target, targets  # noqa: E402
from reidkit.targets.commands.build import build  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def plug_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the installed package."""
    with installed_plug_in(tmp_path_factory.mktemp("site-packages")) as folder:
        yield folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A checkpoint of the tiny backbone, with the head it was trained with."""
    state = random_backbone(find_backbone("tiny"), seed=7).state_dict()
    path = tmp_path / "trained.pth"
    torch.save({"state_dict": {**state, "classifier.weight": torch.zeros(9, 16)}}, path)
    return path


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_an_export_opens_and_answers_as_torch_did(target: str, output: Path) -> None:
    pytest.importorskip(target, reason=f"this target needs {target}")
    done = random(output, target=target)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    artifact = output / f"tiny-{target}-fp32"
    assert done.stdout.startswith(f"{artifact}\n")
    assert list(output.iterdir()) == [artifact]
    golden = load_golden(artifact)
    with open_artifact(artifact) as engine:
        embeddings = engine.embed(golden.crops.transpose(0, 3, 1, 2), normalize=False)
    np.testing.assert_allclose(embeddings, golden.embeddings, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_built_here_is_exported_as_a_bundle_and_built_on_the_box(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = random(output, target="faraway")
    assert done.exit_code == 0, done.output
    assert "  bundle  faraway fp32, up to 8 crops at once" in done.stdout
    assert "by reidkit build" in done.stdout
    assert "no engine was run here" in done.stdout
    bundle = output / "tiny-faraway-fp32"
    manifest, _ = read_artifact(bundle)
    assert (manifest.is_built, manifest.parity["judged"]) == (False, "graph")
    assert manifest.gates["embedding"]["status"] == "passed"
    assert set(manifest.files) == {"graph.onnx", "recipe.json", "golden.npz"}
    assert run_build(bundle).exit_code == 5
    monkeypatch.setenv("ON_THE_BOX", "yes")
    assert run_build(bundle).exit_code == 0
    golden = load_golden(bundle)
    with open_artifact(bundle) as engine:
        embeddings = engine.embed(golden.crops.transpose(0, 3, 1, 2), normalize=False)
    np.testing.assert_allclose(embeddings, golden.embeddings, rtol=1e-4, atol=1e-6)


def test_a_portable_target_that_builds_here_keeps_graph_and_recipe(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ON_THE_BOX", "yes")
    report = json.loads(random(output, "--json", target="faraway").stdout)
    manifest, _ = read_artifact(report["artifact"])
    assert (report["is_built"], manifest.is_built, manifest.parity["judged"]) == (True, True, "engine")
    assert set(manifest.files) == {"engine.onnx", "graph.onnx", "recipe.json", "golden.npz"}


def test_a_bundle_that_no_box_could_build_is_refused(output: Path) -> None:
    done = random(output, "--batch", "1,2,3,4", target="tensorrt")
    assert_refused(done, output, code=1, saying="at most 3 batch sizes, found 1, 2, 3, 4")


@pytest.mark.parametrize(
    ("target", "option"), [("tensorrt", "version_compatible=yes"), ("tensorrt_rtx", "compute_capability=8.6")]
)
def test_tensorrt_is_exported_without_a_gpu(target: str, option: str, output: Path) -> None:
    reason = find_target(target).available()
    if not engines()[target].load().available():
        pytest.skip("there is a GPU here")
    done = random(
        output, "--batch", "1,4,16", "--option", option, "--option", "workspace_mib=64", "--json", target=target
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    manifest, folder = read_artifact(report["artifact"])
    name, _, value = option.partition("=")
    assert read_recipe(manifest, folder) == Recipe(graph="graph.onnx", options={name: value, "workspace_mib": "64"})
    assert (manifest.batch.max, manifest.batch.buckets) == (16, [1, 4, 16])
    assert report["is_built"] is (reason is None)
    assert built_here(manifest) is (reason is None)
    assert manifest.parity["judged"] == "graph"


@pytest.mark.parametrize(
    ("arguments", "code", "saying"),
    [
        (["--option", "wings=two"], 1, "target tensorrt has no option 'wings': known: dla,"),
        (["--option", "dla=two"], 1, "option dla of target tensorrt cannot be 'two'"),
        (["--option", "dla=0"], 1, "option dla of target tensorrt does nothing in fp32"),
        (
            ["--option", "dla=0", "--precision", "fp16", "--batch", "1,4,8"],
            1,
            "takes at most 1 batch sizes, found 1, 4",
        ),
        (["--precision", "bf16"], 1, "target tensorrt does not build bf16: it builds fp16, fp32"),
    ],
    ids=str,
)
def test_what_the_target_cannot_do_is_refused_first(arguments: list[str], code: int, saying: str, output: Path) -> None:
    assert_refused(random(output, *arguments, target="tensorrt"), output, code=code, saying=saying)


def test_help_names_every_option_of_every_target() -> None:
    told = " ".join(CliRunner().invoke(export, ["--help"]).stdout.split())
    for name in targets():
        for option in find_target(name).options:
            assert re.search(rf"\b{name}: [^;.]*\b{option}=", told), f"{name} {option}"


def test_crops_that_scaled_nothing_are_not_told_to_have(output: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="reading crops needs OpenCV")
    people = tmp_path / "people"
    people.mkdir()
    for row, crop in enumerate(render_crops(8, seed=1, height=90, width=40)):
        cv2.imwrite(str(people / f"{row}.png"), crop)
    done = random(output, "--precision", "int8", "--calibration", people, "--allow-slower", "--json", target="dynamic")
    assert done.exit_code == 0, done.output
    manifest, _ = read_artifact(json.loads(done.stdout)["artifact"])
    assert (manifest.precision.built, manifest.calibration) == ("int8", None)


def test_crops_that_would_scale_nothing_are_refused(output: Path, tmp_path: Path) -> None:
    done = random(output, "--precision", "int8", "--calibration", tmp_path, target="coreml")
    assert (done.exit_code, list(output.iterdir())) == (2, [])
    assert "--calibration is not for target coreml" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--batch", "0"], ["--batch", "8,1"], ["--batch", "1,8,8"], ["--batch", "x"], ["--option", "dla"]],
    ids=" ".join,
)
def test_arguments_of_another_form_are_usage_errors(arguments: list[str], output: Path) -> None:
    done = random(output, *arguments)
    assert (done.exit_code, list(output.iterdir())) == (2, [])


def run_build(bundle: Path) -> Result:
    return CliRunner().invoke(build, [str(bundle)])


@pytest.fixture(scope="module")
def published(plug_in: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `--json` says of an export with random weights."""
    done = random(tmp_path_factory.mktemp("artifacts"), "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_json_has_the_keys_that_scripts_rely_on(published: dict[str, Any]) -> None:
    report = published
    assert Path(report["artifact"]).name == "tiny-onnxruntime-fp32"
    assert report["precision_built"] == "fp32"
    assert report["passed"] is True
    assert report["parity"].keys() >= {"cosine_min", "cosine_p01", "cosine_median"}
    assert report["gates"]["embedding"].keys() >= {"status", "value", "limit"}


def test_the_manifest_tells_random_weights(published: dict[str, Any]) -> None:
    manifest, _ = read_artifact(published["artifact"])
    assert manifest.backbone.weights.source == "random"
    assert manifest.backbone.weights.sha256 is None
    assert manifest.embedding.dim == 16
    assert manifest.batch.max == 8
    assert manifest.parity["batches"] == [1, 8]
    assert manifest.gates["embedding"]["status"] == "passed"


def test_the_weights_tell_the_backbone_and_are_recorded(output: Path, weights: Path) -> None:
    state = torch.load(weights)["state_dict"]
    only_tiny = {f"module.{key}": tensor for key, tensor in state.items()}
    torch.save(only_tiny, weights)
    done = run(
        output, "--model", "tiny", "--weights", weights, "--target", "onnxruntime", "--name", "mine", "--batch", 3
    )
    assert done.exit_code == 0, done.output
    assert "tiny from trained.pth, without its classifier.weight" in done.stdout
    manifest, _ = read_artifact(output / "mine")
    assert manifest.name == "mine"
    assert manifest.backbone.weights.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert manifest.backbone.weights.dropped_keys == ["classifier.weight"]
    assert manifest.batch.max == 3
    assert manifest.parity["batches"] == [1, 3]


def test_a_backbone_that_two_cards_fit_has_to_be_named(output: Path, weights: Path) -> None:
    done = run(output, "--weights", weights, "--target", "onnxruntime")
    assert_refused(done, output, code=1, saying="fits tiny and unfaithful alike: say which with --model")


def test_the_same_weights_give_the_same_files(published: dict[str, Any], output: Path) -> None:
    random(output, "--name", "again")
    assert read_artifact(output / "again")[0].files == read_artifact(published["artifact"])[0].files


def test_real_crops_are_checked_where_there_are_some(output: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="reading crops needs OpenCV")
    (tmp_path / "people").mkdir()
    for row, crop in enumerate(render_crops(5, seed=3, height=90, width=40)):
        cv2.imwrite(str(tmp_path / "people" / f"{row}.png"), crop)
    done = random(output, "--crops", tmp_path / "people")
    assert "5 crops (folder people), 1 and 8 at a time" in done.stdout


def test_bad_weights_are_refused_in_one_line(output: Path, tmp_path: Path) -> None:
    text = tmp_path / "weights.pt"
    text.write_text("not weights")
    done = run(output, "--model", "tiny", "--weights", text, "--target", "onnxruntime")
    assert_refused(done, output, code=1, saying="is not a PyTorch checkpoint")


def test_what_there_is_not_is_answered_with_what_there_is(output: Path) -> None:
    assert_refused(random(output, model="osnet_x025"), output, code=1, saying="did you mean 'osnet_x0_25'?")
    assert_refused(random(output, target="onnxruntim"), output, code=1, saying="did you mean 'onnxruntime'?")
    done = random(output, "--precision", "bf16", target="halving")
    assert_refused(done, output, code=1, saying="target halving does not build bf16: it builds fp16, fp32")


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", ".."])
def test_a_name_is_a_plain_folder_name(name: str, output: Path) -> None:
    assert_refused(random(output, "--name", name), output, code=1, saying="cannot name an artifact")


def test_without_weights_the_embedded_ones_are_used(output: Path) -> None:
    embedded = embedded_weights("osnet_x0_25")
    done = run(output, "--target", "onnxruntime", "--json")
    assert done.exit_code == 0, done.output
    manifest, _ = read_artifact(Path(json.loads(done.stdout)["artifact"]))
    assert manifest.backbone.name == "osnet_x0_25"
    weights = manifest.backbone.weights
    assert (weights.source, weights.file, weights.sha256) == ("embedded", embedded.name, sha256_of(embedded))
    assert "academic" in (weights.licence or "")


def test_a_backbone_without_embedded_weights_wants_some(output: Path) -> None:
    done = run(output, "--model", "tiny", "--target", "onnxruntime")
    assert_refused(done, output, code=1, saying="no weights of tiny come with reidkit")


def test_a_model_of_the_catalogue_is_exported_from_what_was_downloaded(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    export_it = ("--model", "osnet_x0_25_msmt17.pt", "--target", "onnxruntime", "--json")
    refusal = "the weights of osnet_x0_25_msmt17 are not here: reid-models --download osnet_x0_25_msmt17, or give"
    assert_refused(run(output, *export_it[:-1]), output, code=1, saying=refusal)
    path = tmp_path / "cache" / "reidkit" / "weights" / "osnet_x0_25_msmt17.pt"
    path.parent.mkdir(parents=True)
    torch.save(random_backbone(find_backbone("osnet_x0_25")).state_dict(), path)
    done = run(output, *export_it)
    assert done.exit_code == 0, done.output
    artifact = Path(json.loads(done.stdout)["artifact"])
    assert artifact.name == "osnet_x0_25_msmt17-onnxruntime-fp32"
    manifest, _ = read_artifact(artifact)
    weights = manifest.backbone.weights
    assert manifest.backbone.name == "osnet_x0_25"
    assert (weights.source, weights.file, weights.sha256) == ("downloaded", path.name, sha256_of(path))
    assert "academic research only" in (weights.licence or "")
    path.write_bytes(path.read_bytes() + b"\0")
    assert "--force downloads it again" in run(output, *export_it, "--name", "altered").stdout


def test_a_backbone_does_not_take_what_was_downloaded_but_says_where_it_is(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    export_it = ("--model", "osnet_x0_5", "--target", "onnxruntime")
    assert_refused(run(output, *export_it), output, code=1, saying="reid-models --download osnet_x0_5, or give")
    path = tmp_path / "cache" / "reidkit" / "weights" / "osnet_x0_5_msmt17_all.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    assert_refused(run(output, *export_it), output, code=1, saying=f"downloaded are {path}; give --weights FILE")


def test_a_listed_model_without_public_weights_is_exported_by_its_name(output: Path) -> None:
    export_it = ("--model", "resnest101_msmt17", "--target", "onnxruntime")
    assert_refused(run(output, *export_it), output, code=1, saying="no public weights: bring your own with --weights")


def test_weights_are_given_or_random_and_not_both(output: Path, weights: Path) -> None:
    assert random(output, "--weights", weights).exit_code == 2
    assert run(output, "--random-weights", "--target", "onnxruntime").exit_code == 2
    assert random(output, "--batch", 0).exit_code == 2


@pytest.mark.parametrize(
    ("library", "target", "saying"),
    [
        ("torch", "onnxruntime", "pip install 'reidkit[export]'"),
        ("onnxscript", "onnxruntime", "pip install 'reidkit[export]'"),
        ("openvino", "openvino", "openvino is not installed: pip install 'reidkit[openvino]'"),
    ],
)
def test_a_missing_library_exits_5_and_says_what_to_install(
    library: str, target: str, saying: str, output: Path, plug_in: Path
) -> None:
    model = "osnet_x0_25" if library == "torch" else "tiny"
    program = (
        f"import sys; sys.modules[{library!r}] = None; from reidkit.export.commands.export import export; export()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--model", model, "--random-weights", "--target", target, "--output", output],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(plug_in), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert saying in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(output.iterdir()) == []


def test_the_command_itself_needs_no_torch_nor_any_compiler() -> None:
    program = "import sys, reidkit.export.commands.export; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for library in ("torch", "onnx", "onnxruntime", "openvino", "cv2"):
        assert f"'{library}'" not in done.stdout

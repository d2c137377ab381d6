"""`reidkit verify` from outside: sound artifacts pass, planted faults are caught, and the right gate says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from small_gallery import write_gallery
from tiny_artifact import altered, tiny_artifact, tiny_bundle, tiny_onnx
from tiny_manifest import HEIGHT, MEAN, STD, WIDTH, Tiny

from reidkit.calibration.commands.verify import verify_command
from reidkit.runtime.artifact.manifest import Batch, Manifest, PrecisionInfo

onnx = pytest.importorskip("onnx", reason="small artifacts are built from ONNX: install the extra 'export'")
cv2 = pytest.importorskip("cv2", reason="crops are read by OpenCV: install the extra 'video'")
pytest.importorskip("onnxruntime", reason="what is verified here runs with it: install the extra 'onnxruntime'")

PEOPLE = 20
PREPROCESSING = f"rgb-imagenet-{HEIGHT}x{WIDTH}"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(verify_command, [*map(str, arguments), "--seconds", "0"])


def report_of(*arguments: object, code: int = 0) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def manifest_of(folder: Path) -> Manifest:
    return Manifest.from_json((folder / "manifest.json").read_bytes())


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return tiny_artifact(tmp_path, name="sound")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gallery(tmp_path_factory.mktemp("gallery"), people=PEOPLE)


def test_a_sound_artifact_passes_by_its_golden_embeddings_and_says_what_was_not_run(sound: Path) -> None:
    report = report_of(sound)
    assert (report["artifact"], report["passed"]) == (str(sound), True)
    statuses = {name: gate["status"] for name, gate in report["gates"].items()}
    assert statuses == {"embedding": "passed", "retrieval": "not_run", "tracking": "not_run", "worth_it": "not_run"}
    assert "its golden embeddings" in report["gates"]["embedding"]["note"]
    assert report["parity"]["cosine_min"] == pytest.approx(1)
    done = run(sound)
    assert done.exit_code == 0
    assert "retrieval not run: no gallery was given" in done.stdout


def test_with_a_reference_and_a_gallery_retrieval_is_judged_and_thresholds_follow(
    sound: Path, gallery: Path, tmp_path: Path
) -> None:
    reference = tiny_artifact(tmp_path, Tiny(layout="nhwc"), name="reference")
    report = report_of(sound, "--reference", reference, "--gallery", gallery, "--crops", gallery)
    retrieval = report["gates"]["retrieval"]
    assert (retrieval["status"], retrieval["measure"]) == ("passed", "map_drop")
    assert retrieval["figures"]["map"] == pytest.approx(retrieval["figures"]["reference"]["map"], abs=0.01)
    assert report["parity"]["crops"] == 4 * PEOPLE
    assert "held to reference" in report["gates"]["embedding"]["note"]
    assert -1 < report["thresholds"]["min_cosine"] <= report["thresholds"]["long_term_min_cosine"] <= 1


def test_on_the_gallery_of_the_export_the_manifest_knows_what_the_original_reached(sound: Path, gallery: Path) -> None:
    figures = report_of(sound, "--gallery", gallery)["gates"]["retrieval"]["figures"]
    remembered = {"by": "torch", "map": figures["map"] + 30, "rank1": figures["rank1"]}
    altered(sound, gates={"retrieval": {"figures": {**figures, "reference": remembered}}})
    gate = report_of(sound, "--gallery", gallery, code=3)["gates"]["retrieval"]
    assert (gate["status"], gate["value"]) == ("failed", pytest.approx(30))
    assert "torch at the export" in gate["note"]
    altered(sound, gates={"retrieval": {"figures": {**figures, "gallery": "another", "reference": remembered}}})
    assert report_of(sound, "--gallery", gallery)["gates"]["retrieval"]["status"] == "not_run"


def test_limits_of_ones_own_are_held_to(sound: Path, tmp_path: Path) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text("embedding: {fp32: {cosine_min: 1.1}}\n")
    done = run(sound, "--thresholds", limits)
    assert done.exit_code == 3
    assert "embedding failed: cosine_min 1 (limit 1.1)" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def called_int8(sound: Path) -> Path:
    """The sound artifact again beside it, as one in int8."""
    folder = tiny_artifact(sound.parent, name="called_int8")
    return altered(folder, precision=PrecisionInfo(requested="int8", built="int8"))


@pytest.mark.parametrize(("ratio", "code", "status"), [(0, 3, "failed"), (1e9, 0, "passed")])
def test_int8_has_to_beat_the_float_artifact_beside_it(
    ratio: float, code: int, status: str, called_int8: Path, sound: Path, tmp_path: Path
) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text(f"worth_it: {{time_ratio: {ratio}}}\n")
    report = report_of(called_int8, "--thresholds", limits, code=code)
    gate = report["gates"]["worth_it"]
    assert (gate["status"], gate["measure"], gate["limit"]) == (status, "time_ratio", ratio)
    assert gate["figures"]["best_float"]["name"] == "sound"
    assert gate["value"] == pytest.approx(gate["figures"]["frame_ms"] / gate["figures"]["best_float"]["frame_ms"])
    assert ("no win here" in gate["note"]) is (status == "failed")


def test_int8_without_a_float_artifact_of_its_network_has_nothing_to_beat(called_int8: Path, sound: Path) -> None:
    weights = replace(manifest_of(sound).backbone.weights, sha256="0" * 64)
    altered(sound, backbone=replace(manifest_of(sound).backbone, weights=weights))
    gate = report_of(called_int8)["gates"]["worth_it"]
    assert (gate["status"], "no float artifact" in gate["note"]) == ("not_run", True)


# Planted faults. Each is a mistake somebody made, in an artifact whose digests are right.


def wrong_colors(folder: Path) -> None:
    altered(folder, preprocessing=replace(manifest_of(folder).preprocessing, color="bgr"))


def no_mean_and_std(folder: Path) -> None:
    how = manifest_of(folder).preprocessing
    plain = replace(how.normalization, mean=[0.0] * 3, std=[1.0] * 3)
    altered(folder, preprocessing=replace(how, normalization=plain))


def half_of_the_weights(folder: Path) -> None:
    def cut_off(model: Any) -> None:
        linear = next(tensor for tensor in model.graph.initializer if tensor.name == "linear")
        values = onnx.numpy_helper.to_array(linear).copy()
        values[len(values) // 2 :] = 0
        linear.CopyFrom(onnx.numpy_helper.from_array(values, "linear"))

    rewrite(folder, cut_off)


def normalised_twice(folder: Path) -> None:
    rewrite(folder, lambda model: append(model, onnx.helper.make_node("LpNormalization", ["all"], ["embeddings"])))


def nan_in_one_channel(folder: Path) -> None:
    def break_one(model: Any) -> None:
        kernel = next(tensor for tensor in model.graph.initializer if tensor.name == "kernel")
        values = onnx.numpy_helper.to_array(kernel).copy()
        values[3] = np.nan
        kernel.CopyFrom(onnx.numpy_helper.from_array(values, "kernel"))
        next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Elu"  # which lets a NaN through

    rewrite(folder, break_one)


def turned_pictures(folder: Path) -> None:
    """The network takes rows for columns."""

    def turn(model: Any) -> None:
        nodes = model.graph.node
        conv = next(index for index, node in enumerate(nodes) if node.op_type == "Conv")
        turned = onnx.helper.make_node("Transpose", [nodes[conv].input[0]], ["turned"], perm=[0, 1, 3, 2])
        nodes[conv].input[0] = "turned"
        nodes.insert(conv, turned)

    rewrite(folder, turn)


def rewrite(folder: Path, change: Callable[[Any], None]) -> None:
    """Change the graph of an artifact."""
    model = onnx.load(folder / "engine.onnx")
    change(model)
    onnx.save(model, folder / "engine.onnx")
    altered(folder)


def append(model: Any, node: Any) -> None:
    """Put a node behind the last one; its input is called ``all``."""
    model.graph.node[-1].output[0] = "all"
    model.graph.node.append(node)


@pytest.mark.parametrize(
    ("fault", "measure"),
    [
        (wrong_colors, "cosine_min"),
        (no_mean_and_std, "cosine_min"),
        (turned_pictures, "cosine_min"),
        (half_of_the_weights, "cosine_min"),
        (normalised_twice, "norm_ratio_max_deviation"),
        (nan_in_one_channel, "cosine_min"),
    ],
)
def test_a_planted_fault_fails_the_embedding_gate(
    fault: Callable[[Path], None], measure: str, gallery: Path, tmp_path: Path
) -> None:
    tiny = Tiny(dtype="float32", where="runtime")
    reference, faulty = (tiny_artifact(tmp_path, tiny, name=name) for name in ("reference", "faulty"))
    assert report_of(faulty, "--reference", reference, "--crops", gallery)["passed"] is True
    fault(faulty)
    report = report_of(faulty, "--reference", reference, "--crops", gallery, code=3)
    gate = report["gates"]["embedding"]
    assert (report["passed"], gate["status"], gate["measure"]) == (False, "failed", measure)
    assert (gate["value"] is None) is (fault is nan_in_one_channel)
    assert report["error"]["type"] == "GateFailure"


@pytest.mark.parametrize("fault", [half_of_the_weights, normalised_twice, nan_in_one_channel, turned_pictures])
def test_without_a_reference_the_golden_embeddings_catch_it(fault: Callable[[Path], None], sound: Path) -> None:
    fault(sound)
    done = run(sound)
    assert done.exit_code == 3
    assert "embedding failed" in done.stderr


def test_a_reference_of_other_weights_holds_no_embedding_and_that_is_said(
    sound: Path, gallery: Path, tmp_path: Path
) -> None:
    other = tiny_artifact(tmp_path, name="other")
    altered(other, backbone=replace(manifest_of(other).backbone, name="bigger"))
    note = report_of(sound, "--reference", other, "--crops", gallery)["gates"]["embedding"]["note"]
    assert "held to its golden embeddings; other is another network, or of other weights" in note
    assert f"crops in {gallery} are finite, with nothing to hold them to" in note


@pytest.mark.parametrize(
    "options",
    [
        ["--precision", "int8"],
        ["--preprocessing", PREPROCESSING],
        ["--reference-preprocessing", PREPROCESSING],
        ["--reference", "SOUND", "--reference-preprocessing", PREPROCESSING],
    ],
)
def test_what_only_a_model_file_has_to_be_told_is_refused_of_an_artifact(sound: Path, options: list[str]) -> None:
    done = run(sound, *(str(sound) if option == "SOUND" else option for option in options))
    assert done.exit_code == 2
    assert "of a bare model file" in done.stderr


def test_a_report_that_could_not_be_written_is_refused_first(sound: Path, tmp_path: Path) -> None:
    done = run(sound, "--report", tmp_path / "nowhere" / "report.html")
    assert done.exit_code == 1
    assert f"--report {tmp_path / 'nowhere' / 'report.html'}: there is no folder" in done.stderr
    assert "--report" in run(sound, "--report", tmp_path).stderr


def test_a_broken_reference_is_no_fault_of_the_artifact(sound: Path, tmp_path: Path) -> None:
    broken = tiny_artifact(tmp_path, name="broken")
    nan_in_one_channel(broken)
    done = run(sound, "--reference", broken)
    assert done.exit_code == 1
    assert "broken cannot be the reference" in done.stderr


def test_width_and_height_swapped_in_the_manifest_are_refused(sound: Path) -> None:
    altered(sound, preprocessing=replace(manifest_of(sound).preprocessing, height=WIDTH, width=HEIGHT))
    done = run(sound)
    assert done.exit_code == 4
    assert "its manifest says" in done.stderr


def test_weights_cut_off_on_the_way_are_refused(sound: Path) -> None:
    file = sound / "engine.onnx"
    file.write_bytes(file.read_bytes()[:-100])
    assert run(sound).exit_code == 4


def test_a_bundle_has_nothing_to_run(tmp_path: Path) -> None:
    assert run(tiny_bundle(tmp_path)).exit_code == 4


# Bare model files.


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The miniature's graph alone, which takes what its owner normalises."""
    path = tmp_path / "vendor.onnx"
    onnx.save(tiny_onnx(Tiny(dtype="float32", where="runtime", batch=Batch(dynamic=False, max=1, buckets=[1]))), path)
    return path


def test_a_bare_model_file_is_judged_like_an_artifact(bare: Path, sound: Path, gallery: Path) -> None:
    report = report_of(
        bare, "--preprocessing", PREPROCESSING, "--reference", sound, "--gallery", gallery, "--allow-slower"
    )
    assert report["gates"]["embedding"]["status"] == "not_run"
    assert report["gates"]["retrieval"]["value"] == pytest.approx(0, abs=0.1)  # its crops are not rounded
    assert (report["gates"]["worth_it"]["status"], report["gates"]["worth_it"]["limit"]) == ("passed", None)
    assert report["gates"]["worth_it"]["figures"]["best_float"]["name"] == "sound"


def test_a_bare_file_that_finds_fewer_people_is_refused(bare: Path, sound: Path, gallery: Path) -> None:
    blind = onnx.load(bare)
    linear = next(tensor for tensor in blind.graph.initializer if tensor.name == "linear")
    values = np.random.default_rng(3).normal(size=(8, 12)).astype(np.float32)
    values[1:] = 0
    linear.CopyFrom(onnx.numpy_helper.from_array(values, "linear"))
    onnx.save(blind, bare)
    arguments = (bare, "--preprocessing", PREPROCESSING, "--reference", sound, "--gallery", gallery)
    report = report_of(*arguments, "--allow-slower", code=3)
    assert (report["gates"]["retrieval"]["status"], report["gates"]["embedding"]["status"]) == ("failed", "not_run")
    assert "retrieval failed: map_drop" in report["error"]["message"]


def test_a_bare_file_whose_answers_are_not_finite_is_refused(bare: Path) -> None:
    model = onnx.load(bare)
    append(model, onnx.helper.make_node("Div", ["all", "nought"], ["embeddings"]))
    model.graph.initializer.append(onnx.helper.make_tensor("nought", onnx.TensorProto.FLOAT, [1], [0.0]))
    onnx.save(model, bare)
    report = report_of(bare, "--preprocessing", PREPROCESSING, code=3)
    assert (report["gates"]["embedding"]["status"], report["gates"]["embedding"]["value"]) == ("failed", None)
    assert "non-finite" in report["error"]["message"]


def test_a_bare_file_has_to_be_told_its_preprocessing(bare: Path) -> None:
    done = run(bare)
    assert done.exit_code == 1
    assert "--preprocessing" in done.stderr
    bare.with_name("vendor.preprocessing.yaml").write_text(
        f"height: {HEIGHT}\nwidth: {WIDTH}\ncolor: rgb\nlayout: nchw\ndtype: float32\n"
        "resize: {kernel: bilinear, antialias: false}\n"
        f"normalization: {{where: runtime, scale: {1 / 255}, mean: {MEAN}, std: {STD}}}\n"
    )
    assert run(bare).exit_code == 0


@pytest.mark.parametrize(
    ("preprocessing", "code", "saying"),
    [(f"rgb-imagenet-{WIDTH}x{HEIGHT}", 4, "its manifest says"), ("rgb", 1, "names no preprocessing")],
)
def test_a_bare_file_with_another_preprocessing_is_refused(
    preprocessing: str, code: int, saying: str, bare: Path
) -> None:
    done = run(bare, "--preprocessing", preprocessing)
    assert (done.exit_code, saying in done.stderr) == (code, True)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    done = run(tmp_path / "text.onnx", "--preprocessing", PREPROCESSING)
    assert (done.exit_code, "does not open" in done.stderr) == (1, True)
    assert run(tmp_path / "none.xml", "--preprocessing", PREPROCESSING).exit_code == 1
    assert run(tmp_path / "none").exit_code == 4

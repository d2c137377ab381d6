"""What a model estimates of people, smoothed over their tracks."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="small models are written with ONNX: install the extra 'export'")
pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from reidkit.runtime.attributes import TrackAttributes, open_attributes  # noqa: E402
from reidkit.runtime.errors import EngineFailure, InvalidConfig, InvalidFile  # noqa: E402
from reidkit.runtime.tracking import Tracks  # noqa: E402

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "attributes"
DESCRIPTION = """
preprocessing: rgb-0-255-4x2
outputs:
  helmet: {classes: ["no", "yes"]}
  age: {unit: years, scale: 100, confidence: sure}
"""


def write_model(
    folder: Path,
    *,
    description: str = DESCRIPTION,
    nan: bool = False,
    crops: tuple[int | str, ...] | None = ("n", 3, 4, 2),
    kind: int = TensorProto.FLOAT,
) -> Path:
    """Of a crop's mean in [0, 1]: helmet (1 - mean, mean), age 100 * mean, and that mean as its confidence."""
    constants = {
        "over": np.array([1, 2, 3], np.int64),
        "scale": np.array(np.nan if nan else 1 / 255, np.float32),
        "one": np.array(1, np.float32),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["crops"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["levels", "over"], ["level"], keepdims=0),
        helper.make_node("Mul", ["level", "scale"], ["sure"]),
        helper.make_node("Unsqueeze", ["sure", "axis"], ["age"]),
        helper.make_node("Sub", ["one", "age"], ["other"]),
        helper.make_node("Concat", ["other", "age"], ["helmet"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "helmet",
        [helper.make_tensor_value_info("crops", kind, crops)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("helmet", "age", "sure")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = folder / "helmet.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    path.with_suffix(".yaml").write_text(description)
    return path


def frame_of(*levels: int) -> np.ndarray:
    """Columns of 10 pixels of these grey levels."""
    return np.repeat(np.repeat(np.array(levels, np.uint8), 10)[None, :, None], 20, axis=0).repeat(3, axis=2)


def tracks_of(*scores: float) -> Tracks:
    """Track k + 1 over the k-th column."""
    count = len(scores)
    return Tracks(
        ids=np.arange(1, count + 1),
        boxes_xyxy=np.array([[10 * k + 1, 1, 10 * k + 9, 19] for k in range(count)], np.float64),
        scores=np.array(scores),
        classes=np.zeros(count, np.int64),
        detection_index=np.arange(count),
        confirmed=np.ones(count, np.bool_),
    )


def test_estimates_are_the_models(tmp_path: Path) -> None:
    model = open_attributes(write_model(tmp_path))
    found = model.estimate(frame_of(51, 204), [[1, 1, 9, 19], [11, 1, 19, 19]])
    np.testing.assert_allclose(found["helmet"].values, [[0.8, 0.2], [0.2, 0.8]], atol=1e-6)
    np.testing.assert_allclose(found["helmet"].confidences, [0.8, 0.8], atol=1e-6)
    np.testing.assert_allclose(found["age"].values, [[20], [80]], atol=1e-4)
    np.testing.assert_allclose(found["age"].confidences, [0.2, 0.8], atol=1e-6)
    nobody = model.estimate(frame_of(51), np.zeros((0, 4)))
    assert {name: (each.values.shape, each.confidences.shape) for name, each in nobody.items()} == {
        "helmet": ((0, 2), (0,)),
        "age": ((0, 1), (0,)),
    }


@pytest.mark.parametrize("batch", [1, 2, 4, "n", None])
def test_a_model_of_any_batch_estimates_any_number_of_people(batch: int | str | None, tmp_path: Path) -> None:
    model = open_attributes(write_model(tmp_path, crops=batch and (batch, 3, 4, 2)))
    levels = (51, 204, 102, 0, 255)
    for count in range(len(levels) + 1):
        boxes = np.array([[10 * k + 1, 1, 10 * k + 9, 19] for k in range(count)], np.float64).reshape(-1, 4)
        found = model.estimate(frame_of(*levels), boxes)
        np.testing.assert_allclose(found["age"].values[:, 0], np.array(levels[:count]) / 2.55, atol=1e-4)
        assert found["helmet"].values.shape == (count, 2)
        assert found["age"].confidences.shape == (count,)


@pytest.mark.parametrize(
    ("description", "crops"),
    [
        (DESCRIPTION.replace("4x2", "4x3"), ("n", 3, 4, 2)),
        (DESCRIPTION.replace("4x2", "5x2"), (1, 3, 4, 2)),
        (DESCRIPTION, ("n", 1, 4, 2)),
        (DESCRIPTION, ("n", 3, 4, 2, 1)),
    ],
)
def test_a_model_of_other_crops_than_told_is_refused(
    description: str, crops: tuple[int | str, ...], tmp_path: Path
) -> None:
    with pytest.raises(InvalidConfig, match=r"takes float32 \[.*, its description says float32 of \(N, 3, "):
        open_attributes(write_model(tmp_path, description=description, crops=crops))


def test_a_model_of_another_type_than_told_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="takes float16"):
        open_attributes(write_model(tmp_path, kind=TensorProto.FLOAT16))


def test_looks_are_averaged(tmp_path: Path) -> None:
    seen = TrackAttributes(open_attributes(write_model(tmp_path)), interval=1)
    for level in (51, 204, 204):
        seen.look(frame_of(level), tracks_of(0.9))
    known = seen.of(1)
    assert (known["helmet"].value, known["helmet"].looks) == ("yes", 3)
    assert known["helmet"].confidence == pytest.approx(0.6)
    assert known["age"].value == pytest.approx(60, abs=1e-4)
    assert known["age"].deviation == pytest.approx(np.std([20, 80, 80]), abs=1e-4)


def test_a_sure_look_counts_more(tmp_path: Path) -> None:
    seen = TrackAttributes(open_attributes(write_model(tmp_path)), interval=1, by_confidence=True)
    for level, score in ((51, 1.0), (204, 0.5)):
        seen.look(frame_of(level), tracks_of(score))
    # Weights: confidence 0.2 times score 1, and 0.8 times 0.5.
    assert seen.of(1)["age"].value == pytest.approx((0.2 * 20 + 0.4 * 80) / 0.6, abs=1e-4)


def test_nobody_is_looked_at_too_often(tmp_path: Path) -> None:
    seen = TrackAttributes(open_attributes(write_model(tmp_path)), interval=3, max_looks=2, min_score=0.5)
    for _ in range(20):
        seen.look(frame_of(51, 51), tracks_of(0.9, 0.4))
    assert seen.of(1)["age"].looks == 2
    assert seen.of(2) == {}


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("outputs: {}", "keys preprocessing and outputs"),
        (DESCRIPTION.replace("sure", "certain"), "no output 'certain'"),
        (DESCRIPTION.replace("unit", "units"), "units"),
        (DESCRIPTION.replace('["no", "yes"]', '["no"]'), "two classes"),
        (DESCRIPTION.replace("rgb-0-255-4x2", "rgb-0-255"), "names no preprocessing"),
        ("preprocessing: rgb-0-255-4x2\noutputs: {}", "name an output"),
    ],
)
def test_a_description_is_read_strictly(description: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=message):
        open_attributes(write_model(tmp_path, description=description))


def test_a_description_that_says_something_twice_is_refused(tmp_path: Path) -> None:
    twice = DESCRIPTION + '  helmet: {classes: ["yes", "no"]}\n'
    with pytest.raises(InvalidFile, match=r"helmet\.yaml: helmet is there twice, in lines 4 and 6"):
        open_attributes(write_model(tmp_path, description=twice))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    path.write_bytes(b"no model")
    with pytest.raises(InvalidFile, match="no model"):
        open_attributes(path)
    path.with_suffix(".yaml").unlink()
    with pytest.raises(InvalidFile, match=r"helmet\.yaml"):
        open_attributes(path)


def test_a_model_that_gives_nan_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineFailure, match="not finite"):
        open_attributes(write_model(tmp_path, nan=True)).estimate(frame_of(51), [[1, 1, 9, 19]])


def test_a_model_of_other_classes_than_told_is_an_error(tmp_path: Path) -> None:
    model = open_attributes(write_model(tmp_path, description=DESCRIPTION.replace('"yes"', '"yes", "hat"')))
    with pytest.raises(EngineFailure, match="shape"):
        model.estimate(frame_of(51), [[1, 1, 9, 19]])


def test_the_example_runs_word_for_word(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra 'video'")
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    (recipe,) = re.findall(r"```sh\n(.*?)```", (EXAMPLES / "README.md").read_text(), re.DOTALL)
    for line in recipe.replace("\\\n", " ").strip().splitlines():
        words = shlex.split(line)
        program = [sys.executable] if words[0] == "python" else [str(Path(sys.executable).parent / words[0])]
        subprocess.run([*program, *words[1:]], cwd=tmp_path / "examples", check=True, capture_output=True)
    known = json.loads((tmp_path / "examples" / "tracked" / "attributes.json").read_text())
    assert known
    for of in known.values():
        assert of["clothes"]["value"] == ("light" if of["brightness"]["value"] > 110 else "dark")

"""Two real files that nobody should track with: `reidkit verify` refuses both, and says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from proofs import trials

from reidkit.calibration.commands.verify import verify_command

pytest.importorskip("onnxruntime", reason="both files run with it: install the extra 'onnxruntime'")
pytest.importorskip("cv2", reason="crops are read by OpenCV: install the extra 'video'")


def refused(*arguments: object) -> dict[str, Any]:
    """The report of what exits with 3."""
    done = CliRunner().invoke(verify_command, [*map(str, arguments), "--json"])
    assert done.exit_code == 3, done.output
    return json.loads(done.stdout)


def test_a_network_that_gives_nan_is_refused(shared_data: Path) -> None:
    folder = shared_data / "reid_weights" / "person-reidentification-retail-0287"
    report = refused(folder / "person-reidentification-retail-0267.onnx", "--preprocessing", "bgr-0-255-256x128")
    assert (report["gates"]["embedding"]["status"], report["gates"]["embedding"]["value"]) == ("failed", None)
    assert "non-finite embeddings" in report["error"]["message"]


@pytest.mark.slow
@pytest.mark.skipif(not trials(0, 1), reason="ten minutes: make proof-networks")
def test_a_careless_int8_that_finds_fewer_than_a_smaller_float_network_is_refused(
    shared_data: Path, tmp_path: Path
) -> None:
    weights, gallery = shared_data / "reid_weights", tmp_path / "gallery"
    gallery.mkdir()
    crops = sorted((shared_data / "reid_crops" / "market_eval").glob("[0-9]*.jpg"))
    people = sorted({path.name.split("_")[0] for path in crops if not path.name.startswith("0000")})[:50]
    for path in crops:
        if path.name.split("_")[0] in people:
            (gallery / path.name).symlink_to(path.resolve())
    report = refused(
        weights / "bad_osnet_x1_0_dynamic_int8.onnx",
        "--preprocessing",
        "rgb-imagenet-256x128",
        "--precision",
        "int8",
        "--reference",
        weights / "osnet_x0_25_msmt17.onnx",
        "--reference-preprocessing",
        "rgb-imagenet-256x128",
        "--gallery",
        gallery,
        "--seconds",
        "0.1",
    )
    retrieval = report["gates"]["retrieval"]
    assert retrieval["status"] == "failed"
    assert retrieval["measure"] in ("map_drop", "rank1_drop")
    assert retrieval["value"] > retrieval["limit"]
    assert report["gates"]["worth_it"]["status"] in ("passed", "failed")  # it was measured; how fast is the machine's

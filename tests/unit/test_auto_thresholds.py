"""``min_cosine: auto``: what an artifact recommends, and nothing else in its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_videos import picture, write_detections, write_video
from tiny_manifest import Tiny, tiny_manifest

from reidkit.runtime import BotSort, BotSortConfig
from reidkit.runtime.commands.explain import explain_settings
from reidkit.runtime.commands.track import track
from reidkit.runtime.errors import InvalidConfig
from reidkit.runtime.tracking.explanation import explain
from reidkit.runtime.tracking.translation import translate

MANIFEST = replace(
    tiny_manifest(Tiny(), engine="onnxruntime", engine_file="model.onnx", files={}),
    thresholds={"min_cosine": 0.62, "long_term_min_cosine": 0.71},
)


@pytest.mark.parametrize(
    ("schema", "settings", "fields"),
    [
        ("reidkit", {"min_cosine": "auto", "camera_motion": "auto"}, {"min_cosine"}),
        ("reidkit", {"min_cosine": "auto", "long_term_min_cosine": "auto"}, {"min_cosine", "long_term_min_cosine"}),
        ("official", {"appearance_thresh": "auto"}, {"min_cosine"}),
        ("ultralytics", {"appearance_thresh": "auto", "model": "auto"}, {"min_cosine"}),
        ("boxmot", {"appearance_thresh": "auto"}, {"min_cosine"}),
        ("mivolo", {"appearance_thresh": "auto", "reid_thresh": "auto"}, {"min_cosine", "long_term_min_cosine"}),
    ],
)
def test_auto_is_what_the_manifest_says(schema: str, settings: dict[str, str], fields: set[str]) -> None:
    config = BotSortConfig.from_schema(schema, settings)
    assert set(config.auto) == fields
    resolved = config.resolved(MANIFEST)
    assert resolved.auto == ()
    assert {name: getattr(resolved, name) for name in fields} == {name: MANIFEST.thresholds[name] for name in fields}
    assert resolved.unconfirmed_min_cosine is None
    BotSort(resolved)


def test_without_an_artifact_there_is_no_auto() -> None:
    config = BotSortConfig.from_schema("reidkit", {"min_cosine": "auto"})
    with pytest.raises(InvalidConfig, match="resolved"):
        BotSort(config)
    BotSort(replace(config, with_reid=False))
    assert translate(config, "reidkit").settings == {"max_lost_s": 1.0, "min_cosine": "auto"}
    assert translate(config, "reidkit").lost == {}
    assert any("--artifact" in warning for warning in explain(config).warnings)


def test_an_artifact_without_a_recommendation_says_how_to_have_one() -> None:
    for thresholds in (None, {"long_term_min_cosine": 0.7}):
        with pytest.raises(InvalidConfig, match=r"min_cosine: auto .*--gate"):
            BotSortConfig(auto=("min_cosine",)).resolved(replace(MANIFEST, thresholds=thresholds))


@pytest.mark.parametrize(
    ("schema", "settings"),
    [("reidkit", {"high_score": "auto"}), ("official", {"match_thresh": "auto"}), ("reidkit", {"frame_rate": "auto"})],
)
def test_only_cosines_are_an_artifacts_to_say(schema: str, settings: dict[str, str]) -> None:
    with pytest.raises(InvalidConfig, match="auto is not offered"):
        BotSortConfig.from_schema(schema, settings)


def test_the_commands_ask_the_artifact(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from tiny_artifact import altered, tiny_artifact

    artifact = tiny_artifact(tmp_path)
    settings = tmp_path / "site.yaml"
    settings.write_text("min_cosine: auto\n")
    video = write_video(tmp_path / "v.mp4", [picture(index) for index in range(1, 6)])
    boxes = write_detections(tmp_path / "det.txt", 5)
    arguments = ["--input", video, "--detections", boxes, "--tracker", settings, "--output", tmp_path / "out"]

    def exit_code(reid: object) -> int:
        return CliRunner().invoke(track, [*map(str, arguments), "--reid", str(reid)]).exit_code

    assert exit_code(artifact) == 1
    altered(artifact, thresholds={"min_cosine": 0.62})
    assert (exit_code(artifact), exit_code("none")) == (0, 0)
    told = CliRunner().invoke(explain_settings, [str(settings), "--artifact", str(artifact)]).output
    assert "cos >= 0.62" in told
    assert "recommends min_cosine" in told

"""`reidkit explain`: what it says is what the tracker does, and every schema is gone back from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from tiny_manifest import DIM, Tiny, tiny_manifest

from reidkit.runtime import BotSort, BotSortConfig
from reidkit.runtime.commands.explain import explain_settings
from reidkit.runtime.tracking.explanation import effective_min_cosine, explain
from reidkit.runtime.tracking.translation import SCHEMAS, translate

TOOLS = [schema for schema in SCHEMAS if schema != "reidkit"]
EXTREMES: dict[str, Any] = {"proximity_thresh": 0.3, "appearance_thresh": 0.35, "track_high_thresh": 0.55}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(explain_settings, [str(argument) for argument in arguments])


def warnings_of(**settings: Any) -> str:
    return "\n".join(explain(BotSortConfig(**settings)).warnings)


def test_what_the_native_core_refuses_is_told_before_it_does() -> None:
    assert "temperature: the native core does not do that" in warnings_of(core="native", temperature=2.0)
    assert "native" not in warnings_of(core="numpy", temperature=2.0) + warnings_of(core="native")


@pytest.mark.parametrize("frame_rate", [7.0, 30.0, 60.0])
@pytest.mark.parametrize("schema", TOOLS)
def test_a_tools_own_settings_come_back_as_they_were(schema: str, frame_rate: float) -> None:
    for given in ({}, EXTREMES):
        config = BotSortConfig.from_schema(schema, given, frame_rate=frame_rate)
        translation = translate(config, schema)
        assert translation.lost == {}
        assert given.items() <= translation.settings.items()


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_is_not_said_to_be_lost_is_kept(schema: str) -> None:
    config = BotSortConfig(
        high_score=0.5, min_cosine=0.7, min_iou_for_appearance=0.1, max_lost_frames=31, frame_rate=60, fuse_score=False,
        long_term_min_cosine=0.6, camera_motion="auto", clock="timestamps", second_match_cost=0.4, temperature=0.1,
    )  # fmt: skip
    translation = translate(config, schema)
    back = BotSortConfig.from_schema(schema, translation.settings, frame_rate=60)
    for field, (meant, found) in translation.lost.items():
        assert (getattr(config, field), getattr(back, field)) == (meant, found) or field.startswith("unconfirmed_")
    kept = {name: getattr(config, name) for name in ("high_score", "min_cosine", "min_iou_for_appearance")}
    assert {name: pytest.approx(getattr(back, name)) for name in kept} == kept
    if schema == "reidkit":
        assert translation.lost == {}
    else:
        assert {"clock", "second_match_cost"} - ({"second_match_cost"} if schema == "boxmot" else set()) <= set(
            translation.lost
        )


@pytest.mark.parametrize("written_at", [10.0, 20.0, 30.0])
@pytest.mark.parametrize("preset", ["tuned.yaml", "long_term.yaml"])
def test_what_lasts_seconds_lasts_as_long_at_another_frame_rate(preset: str, written_at: float) -> None:
    given = BotSortConfig.load(preset, frame_rate=written_at)
    settings = translate(replace(given, economy_refresh_frames=int(0.5 * written_at)), "reidkit").settings
    for frame_rate in (10.0, 25.0, 60.0):
        back = BotSortConfig.from_schema("reidkit", settings, frame_rate=frame_rate)
        preset_there = BotSortConfig.load(preset, frame_rate=frame_rate)
        assert back == replace(preset_there, economy_refresh_frames=round(0.5 * frame_rate))


def test_no_time_at_all_is_kept_as_such() -> None:
    config = BotSortConfig(max_lost_frames=0, frame_rate=10)
    assert translate(config, "reidkit").settings == {"max_lost_s": 0.0}


def test_a_buffer_that_another_tool_cannot_count_is_told() -> None:
    config = BotSortConfig(max_lost_frames=31, frame_rate=60)
    assert translate(config, "official").lost == {"max_lost_frames": (31, 32)}


@pytest.mark.parametrize("min_cosine", [-0.9, 0.2, 0.7])
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_the_cosine_it_names_is_the_one_from_which_appearance_matches(min_cosine: float, scale: float) -> None:
    config = BotSortConfig(min_cosine=min_cosine, appearance_cost_scale=scale, min_iou_for_appearance=0.0)
    named = effective_min_cosine(config)

    def matched(cosine: float) -> bool:
        tracker, first = BotSort(config), [[0.0, 0.0, 40.0, 100.0]]
        tracker.update(first, [0.9], embeddings=np.array([[1.0, 0.0]]))
        there = np.array([[cosine, np.sqrt(1 - cosine**2)]])
        tracks = tracker.update([[35.0, 0.0, 75.0, 100.0]], [0.9], embeddings=there)
        return tracks.ids.tolist() == [1]

    assert matched(named + 0.01)
    assert not matched(named - 0.01)


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"with_reid": False}, "ReID is off"),
        ({"with_reid": False, "long_term_min_cosine": 0.7}, "long-term stage is off"),
        ({"min_cosine": 0.99}, "in effect off: cos >= 0.99"),
        ({"min_iou_for_appearance": 1.0}, "in effect off: it may only match boxes that overlap"),
        ({"min_embedding_score": 1.0}, "in effect off: only scores"),
        ({"min_cosine": 0.4}, "the ReID gate is in effect open"),
        ({"unconfirmed_min_cosine": 0.0}, "tracks seen once is in effect open"),
        ({"long_term_min_cosine": 0.1}, "the long-term gate is in effect open"),
    ],
)
def test_reid_that_is_off_or_open_is_warned_of(settings: dict[str, Any], warning: str) -> None:
    assert warning in warnings_of(**settings)
    assert warnings_of() == warnings_of(min_cosine=0.41) == ""


def test_a_strict_cost_closes_a_gate_that_looks_open() -> None:
    assert warnings_of(min_cosine=0.0, match_cost=0.2, unconfirmed_match_cost=0.2) == ""
    assert effective_min_cosine(BotSortConfig(min_cosine=0.0, match_cost=0.2)) == pytest.approx(0.6)


def test_an_artifact_is_heard() -> None:
    tiny = tiny_manifest(Tiny(), engine="onnxruntime", engine_file="model.onnx", files={})
    manifest = replace(tiny, thresholds={"min_cosine": 0.7})
    assert explain(BotSortConfig(embedding_dim=DIM + 1, normalize_embeddings=False), manifest).warnings == [
        f"embedding_dim is {DIM + 1}, tiny gives {DIM}: tracking will be refused",
        "normalize_embeddings is false, but tiny does not normalise in its graph",
        "min_cosine is 0.5, tiny recommends 0.7",
    ]
    assert explain(BotSortConfig(embedding_dim=DIM, min_cosine=0.7), manifest).warnings == []


@pytest.mark.parametrize(
    ("preset", "schema"), [("botsort.yaml", "official"), ("tuned.yaml", "reidkit"), ("long_term.yaml", "reidkit")]
)
def test_the_presets_are_explained(preset: str, schema: str) -> None:
    result = run(preset, "--fps", 7)
    assert result.exit_code == 0, result.output
    assert f"{preset}, in the words of {schema}" in result.stdout
    assert "warning" not in result.stdout
    report = json.loads(run(preset, "--fps", 7, "--json").stdout)
    assert report["schema"] == schema
    assert set(report["schemas"]) == set(SCHEMAS) - {schema}
    for block in result.stdout.split("\n\n")[1:]:
        settings = yaml.safe_load(block)
        assert settings.pop("schema") in report["schemas"]
        assert settings in [other["settings"] for other in report["schemas"].values()]


def test_a_file_of_another_tool_is_explained_in_its_words(tmp_path: Path) -> None:
    path = tmp_path / "botsort.yaml"
    path.write_text("proximity_thresh: 0.2\nappearance_thresh: 0.25\n")
    assert "add a line 'schema: " in run(path).stderr
    result = run(path, "--schema", "mivolo")
    assert "IoU >= 0.2 and cos >= 0.25" in result.stdout
    assert "the ReID gate is in effect open" in result.stdout
    assert "proximity_thresh: 0.8\nappearance_thresh: 0.375\n" in result.stdout
    wrong = run(path, "--artifact", tmp_path, "--schema", "mivolo", "--json")
    assert (wrong.exit_code, json.loads(wrong.stdout)["error"]["type"]) == (4, "ArtifactInvalid")

"""Tracker settings: every tool's keys mean what that tool means, and nothing is guessed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from reidkit.runtime import BotSortConfig
from reidkit.runtime.errors import InvalidConfig, InvalidFile
from reidkit.runtime.tracking.translation import translate

ORIGIN = """
with_reid: true
proximity_thresh: 0.2
appearance_thresh: 0.25
model: osnet_x1_0_msmt17.pt
alpha: 0.9
nn_budget: 30
max_age: 50
embedding_dim: 512
normalize_embeddings: true
temperature: 0.07
min_confidence: 0.3
reid_thresh: 0.6
"""


def load(tmp_path: Path, text: str, **options: Any) -> BotSortConfig:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    return BotSortConfig.load(path, **options)


def test_a_file_with_the_origin_documents_keys_needs_no_schema(tmp_path: Path) -> None:
    config = load(tmp_path, ORIGIN, frame_rate=10)
    assert config == BotSortConfig(
        min_iou_for_appearance=0.2,
        min_cosine=0.25,
        reid_model="osnet_x1_0_msmt17.pt",
        ema_weight=0.9,
        long_term_history=30,
        max_lost_frames=50,
        embedding_dim=512,
        temperature=0.07,
        min_embedding_score=0.3,
        long_term_min_cosine=0.6,
        frame_rate=10.0,
    )


@pytest.mark.parametrize("key", [line.split(":")[0] for line in ORIGIN.split("\n") if line])
def test_each_key_of_the_origin_document_is_understood_alone(tmp_path: Path, key: str) -> None:
    line = next(line for line in ORIGIN.split("\n") if line.startswith(f"{key}:"))
    assert load(tmp_path, line, schema="mivolo") != BotSortConfig(high_score=0.61)


def test_official_defaults_are_the_defaults() -> None:
    assert BotSortConfig.from_schema("official", {}) == BotSortConfig()
    assert BotSortConfig.load("botsort.yaml") == BotSortConfig()


def test_the_same_numbers_mean_four_things() -> None:
    same = {"proximity_thresh": 0.4, "appearance_thresh": 0.3}
    meant = {
        schema: (round(config.min_iou_for_appearance, 9), round(config.min_cosine, 9))
        for schema in ("official", "ultralytics", "boxmot", "mivolo")
        for config in [BotSortConfig.from_schema(schema, same)]
    }
    assert meant == {
        "official": (0.6, 0.4),
        "ultralytics": (0.4, -0.4),
        "boxmot": (0.6, 0.7),
        "mivolo": (0.4, 0.3),
    }


def test_boxmots_published_search_space_is_read_by_its_defaults(tmp_path: Path) -> None:
    text = """
schema: boxmot
track_high_thresh: {type: uniform, default: 0.63, range: [0.3, 0.7]}
appearance_thresh: {type: uniform, default: 0.62, range: [0.1, 0.8]}
use_cmc: {type: choice, default: false, options: [false, true]}
"""
    config = load(tmp_path, text)
    assert (config.high_score, config.camera_motion) == (0.63, "none")
    assert config.min_cosine == pytest.approx(0.38)
    assert config.appearance_cost_scale == 1.0


def test_boxmots_unconfirmed_tracks_have_a_gate_of_their_own() -> None:
    given = {"appearance_thresh": 0.3, "unconfirmed_emb_scale": 2.0}
    config = BotSortConfig.from_schema("boxmot", given)
    assert config.unconfirmed_min_cosine == pytest.approx(1 - 0.3 * 2)
    assert config.unconfirmed_appearance_cost_scale == 0.5


def test_a_track_buffer_takes_the_place_of_max_age() -> None:
    assert BotSortConfig.from_schema("mivolo", {"track_buffer": 60}, frame_rate=15).max_lost_frames == 30


@pytest.mark.parametrize(("frame_rate", "frames"), [(None, 30), (30, 30), (7, 7), (14, 14), (60, 60)])
def test_official_buffer_is_scaled_by_the_frame_rate(frame_rate: float | None, frames: int) -> None:
    assert BotSortConfig.load("botsort.yaml", frame_rate=frame_rate).max_lost_frames == frames


@pytest.mark.parametrize(("frame_rate", "frames"), [(None, 45), (10, 15), (7, 10)])
def test_a_native_file_may_count_in_seconds(tmp_path: Path, frame_rate: float | None, frames: int) -> None:
    config = load(tmp_path, "max_lost_s: 1.5\nlong_term_lost_s: 1.5\n", frame_rate=frame_rate)
    assert (config.max_lost_frames, config.long_term_lost_frames) == (frames, frames)


def test_max_age_is_not_scaled() -> None:
    assert BotSortConfig.from_schema("mivolo", {"max_age": 50}, frame_rate=7).max_lost_frames == 50


def test_native_keys_need_no_schema(tmp_path: Path) -> None:
    assert load(tmp_path, "high_score: 0.5\nmin_cosine: 0.7\n") == BotSortConfig(high_score=0.5, min_cosine=0.7)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing\n") == BotSortConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema: mivolo\nreid_tresh: 0.6\n", "unknown key 'reid_tresh'.*did you mean 'reid_thresh'"),
        ("high_scor: 0.6\nlow_score: 0.1\n", "unknown key 'high_scor'.*did you mean 'high_score'"),
        ("schema: ultralytic\n", "unknown schema.*did you mean 'ultralytics'"),
        ("track_high_thresh: 0.6\n", "different things in different tools.*schema"),
        ("high_score: high\n", "high_score must be of type float, found 'high'"),
        ("high_score: true\n", "high_score must be of type float"),
        ("high_score: .nan\n", "high_score must be of type float"),
        ("high_score: 1.5\n", "high_score must lie within 0 and 1"),
        ("low_score: 0.8\n", "low_score 0.8 is above high_score 0.6"),
        ("camera_motion: sift\n", "camera_motion is"),
        ("camera_motion: file\n", "camera_motion_file"),
        ("schema: mivolo\nmax_age: 50\ntrack_buffer: 30\n", "max_age and track_buffer"),
        ("schema: reidkit\nmax_lost_s: 2\nmax_lost_frames: 30\n", "max_lost_s and max_lost_frames"),
        ("schema: boxmot\nunconfirmed_emb_scale: 0\n", "unconfirmed_emb_scale must be above 0"),
        ("schema: boxmot\nframe_rate: fast\n", "frame_rate must be of type float"),
        ("schema: official\nframe_rate: 0\n", "frame_rate must lie within"),
        ("schema: boxmot\ncmc_method:\n", "cmc_method must be of type str, found None"),
        ("max_lost_s: .nan\nhigh_score: 0.6\n", "max_lost_s must be of type float"),
        ("frame_rate: fast\nmax_lost_s: 2\n", "frame_rate must be of type float"),
        ("schema: reidkit\nmax_lost_s: long\n", "max_lost_s must be of type float"),
        ("schema: official\ncmc_method: sift\n", "'sift' is not offered"),
        ("schema: mivolo\nnn_budget: 0\n", "nn_budget: 0: long_term_history must lie within"),
        ("schema: ultralytics\nappearance_thresh: 1.5\n", "appearance_thresh: 1.5: min_cosine must .* found 2.0"),
        ("schema: official\nproximity_thresh: 2\n", "proximity_thresh: 2: min_iou_for_appearance must lie"),
        (
            "schema: official\ntrack_low_thresh: 0.8\n",
            "track_high_thresh: 0.6, track_low_thresh: 0.8: low_score 0.8 is",
        ),
        ("schema: official\ntrack_buffer: -5\n", "track_buffer: -5: max_lost_frames must lie"),
        ("schema: boxmot\nunconfirmed_emb_scale: 0.5\n", "unconfirmed_emb_scale: 0.5: unconfirmed_appearance_cost"),
        ("schema: boxmot\nasso_func: giou\n", "asso_func: 'giou' is not offered"),
        ("max_lost_s: -1\n", "max_lost_s: -1: max_lost_frames must lie within"),
        ("max_lost_s: 1e308\nframe_rate: 10000\n", "max_lost_s must be of type float|max_lost_s: "),
        (f"schema: official\ntrack_buffer: {'9' * 400}\n", "track_buffer: 999"),
        (f"high_score: {'9' * 400}\n", "high_score must be of type float"),
        ("schema: [official]\n", r"schema is \['official'\], no name: give one of reidkit, official"),
        ("schema: 5\n", "schema is 5, no name"),
        ("alpha: 0.9\nhigh_score: 0.5\n", "alpha: MiVOLO's words, and high_score: reidkit's own"),
        ("model: a.pt\nhigh_score: 0.5\n", "unknown key 'model' in schema reidkit: did you mean 'reid_model'"),
        ("gmc_method: none\n", "different things in different tools.*schema"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "key", ["temperature: 0.1", "normalize_embeddings: true", "with_reid: true", "embedding_dim: 512"]
)
def test_a_key_of_ours_is_not_taken_for_another_tools(tmp_path: Path, key: str) -> None:
    config = load(tmp_path, f"{key}\n")
    assert (config.min_iou_for_appearance, config.min_cosine, config.max_lost_frames) == (0.5, 0.5, 30)
    assert load(tmp_path, f"{key}\nhigh_score: 0.5\n").high_score == 0.5


@pytest.mark.parametrize("key", ["alpha", "nn_budget", "max_age", "min_confidence", "reid_thresh", "model"])
def test_a_key_that_only_the_origin_document_has_tells_its_schema(tmp_path: Path, key: str) -> None:
    line = next(line for line in ORIGIN.split("\n") if line.startswith(f"{key}:"))
    assert load(tmp_path, line).min_iou_for_appearance == 0.2


@pytest.mark.parametrize(
    ("schema", "mapping"), [(5, {}), (["official"], {}), (None, {}), ("official", [1]), ("reidkit", 5)]
)
def test_a_schema_or_a_mapping_that_is_none_is_refused(schema: Any, mapping: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"unknown schema|settings are a mapping"):
        BotSortConfig.from_schema(schema, mapping)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("high_score: 0.9\nlow_score: 0.2\nhigh_score: 0.3\n", "high_score is there twice, in lines 1 and 3"),
        ("{low_score: 0.2, low_score: 0.2}\n", "low_score is there twice, in line 1"),
        ("class_scores:\n  2: {high_score: 0.9}\n  2: {high_score: 0.3}\n", "2 is there twice, in lines 2 and 3"),
        ("ignored_regions:\n- &a [{x: 1, x: 2}, *a]\n", "x is there twice, in line 2"),
        ('schema: official\n"schema": boxmot\n', "schema is there twice, in lines 1 and 2"),
    ],
)
def test_what_is_said_twice_is_refused_with_both_lines(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidFile, match=f"settings.yaml: {message}"):
        load(tmp_path, text)


def test_what_is_taken_over_by_a_merge_may_be_said_again(tmp_path: Path) -> None:
    text = "class_scores:\n  1: &one {high_score: 0.5, low_score: 0.2}\n  2: {<<: *one, high_score: 0.7}\n"
    assert load(tmp_path, text).class_scores == {
        1: {"high_score": 0.5, "low_score": 0.2},
        2: {"high_score": 0.7, "low_score": 0.2},
    }


def test_a_path_counts_from_the_folder_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    text = "camera_motion: file\ncamera_motion_file: motion.txt\n"
    (tmp_path / "site" / "settings.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    config = BotSortConfig.load("site/settings.yaml")
    assert config.camera_motion_file == str(tmp_path / "site" / "motion.txt")
    written = yaml.safe_dump(translate(config, "reidkit").settings)
    assert load(tmp_path, written) == config
    assert (
        load(tmp_path, text.replace("motion.txt", "/elsewhere/motion.txt")).camera_motion_file
        == "/elsewhere/motion.txt"
    )
    assert BotSortConfig(camera_motion="file", camera_motion_file="motion.txt").camera_motion_file == "motion.txt"


@pytest.mark.parametrize(
    "text", ["- a\n- list\n", "{unclosed", "1: 2\n", "\x00", "[" * 5000, "day: 2026-13-01\n", "high_score: !!int x\n"]
)
def test_what_is_no_yaml_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidFile):
        load(tmp_path, text)


def test_a_missing_file_names_the_presets() -> None:
    with pytest.raises(InvalidFile, match=re.escape("botsort.yaml")):
        BotSortConfig.load("nowhere.yaml")


def test_a_file_here_goes_before_the_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("botsort.yaml").write_text("high_score: 0.5\n")
    assert BotSortConfig.load("botsort.yaml").high_score == 0.5


def test_a_schema_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="says schema: official"):
        load(tmp_path, "schema: official\n", schema="boxmot")


def test_what_cannot_be_saved_is_no_setting() -> None:
    with pytest.raises(InvalidConfig, match="with_reid must be of type bool"):
        BotSortConfig(with_reid=np.bool_(True))

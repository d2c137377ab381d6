"""Naming a model in a settings file changes just what is meant, in the file's own words, and not a byte besides."""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path

import pytest

from reidkit.export.catalogue.settings_file import edit_settings
from reidkit.export.catalogue.using import use
from reidkit.runtime.errors import ArtifactInvalid, InvalidConfig, InvalidFile, InvalidInput
from reidkit.runtime.tracking import BotSortConfig

ORIGIN = """\
# Core ReID settings
with_reid: true
proximity_thresh: 0.2     # IoU threshold for ReID matching
appearance_thresh:   0.25 # Appearance similarity threshold

# Model selection (choose one)
model: osnet_x1_0_msmt17.pt  # Your chosen model

alpha: 0.9                # EMA update rate (0.9 = more stable)
embedding_dim: 512        # Feature dimension (model-dependent)
reid_thresh: 0.6          # ReID similarity threshold
"""

OURS = """\
schema: reidkit  # reidkit's own keys
# about appearance
min_cosine: 0.5
ema_weight: 0.9
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "botsort.yaml"


def changed_lines(before: str, after: str) -> list[str]:
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


def test_a_file_with_the_origins_keys_keeps_its_comments(config: Path) -> None:
    config.write_text(ORIGIN)
    result = use("mobilenetv2_x1_4_msmt17.pt", config)
    assert changed_lines(ORIGIN, config.read_text()) == [
        "- model: osnet_x1_0_msmt17.pt  # Your chosen model",
        "+ model: mobilenetv2_x1_4_msmt17.pt  # Your chosen model",
        "- embedding_dim: 512        # Feature dimension (model-dependent)",
        "+ embedding_dim: 1792        # Feature dimension (model-dependent)",
    ]
    assert "+model: mobilenetv2_x1_4_msmt17.pt" in result.edit.diff
    assert "the thresholds are left as they are" in result.notes[0]


def test_thresholds_found_with_a_model_go_with_it(config: Path) -> None:
    config.write_text(ORIGIN)
    result = use("osnet_x0_25_msmt17", config)
    assert result.edit.changed == {
        "model": "osnet_x0_25_msmt17.pt",
        "embedding_dim": 512,
        "proximity_thresh": 0.05,
        "appearance_thresh": 0.75,
    }
    assert "appearance_thresh:   0.75 # Appearance" in config.read_text()
    assert "docs/decisions/003" in result.notes[0]


def test_missing_keys_are_added_at_the_end(config: Path) -> None:
    config.write_text(OURS.rstrip("\n"))
    use("resnest50_sbs_mot17", config)
    added = "reid_model: resnest50_sbs_mot17.pt\nembedding_dim: 2048\nmin_iou_for_appearance: 0.5\n"
    assert config.read_text() == OURS + added
    loaded = BotSortConfig.load(config)
    assert (loaded.reid_model, loaded.embedding_dim, loaded.ema_weight) == ("resnest50_sbs_mot17.pt", 2048, 0.9)


@pytest.mark.parametrize("before", ["", "# nothing said yet\n", "---\n"])
def test_a_file_that_says_nothing_yet_is_one_of_reidkits_own(before: str, config: Path) -> None:
    config.write_text(before)
    use("osnet_x1_0", config)
    assert config.read_text() == before + "reid_model: osnet_x1_0_msmt17.pt\nembedding_dim: 512\n"


def test_another_tools_scale_is_kept(config: Path) -> None:
    config.write_text("schema: ultralytics\nappearance_thresh: 0.8 # similarity\nmodel: auto\nwith_reid: True\n")
    result = use("osnet_x0_25_msmt17", config)
    text = "schema: ultralytics\nappearance_thresh: 0.875 # similarity\nmodel: osnet_x0_25_msmt17.pt\nwith_reid: True\n"
    assert config.read_text() == text + "proximity_thresh: 0.05\n"
    assert result.edit.not_said == ("embedding_dim",)
    assert BotSortConfig.load(config).min_cosine == pytest.approx(0.75)


def test_line_ends_quotes_mode_and_links_are_kept(config: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_bytes(b'schema: mivolo\r\nmodel: "old.pt"   # quoted\r\nembedding_dim: 1\r\nalpha: 0.9')
    real.chmod(0o640)
    config.symlink_to(real)
    use("osnet_x1_0", config)
    expected = b"schema: mivolo\r\nmodel: osnet_x1_0_msmt17.pt   # quoted\r\nembedding_dim: 512\r\nalpha: 0.9"
    assert real.read_bytes() == expected
    assert config.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_key_without_a_value_gets_one(config: Path) -> None:
    config.write_text("schema: reidkit\nreid_model:   # none yet\nembedding_dim:\n")
    use("osnet_x1_0", config)
    assert config.read_text() == "schema: reidkit\nreid_model: osnet_x1_0_msmt17.pt   # none yet\nembedding_dim: 512\n"


def test_a_file_that_says_it_already_is_not_touched(config: Path) -> None:
    config.write_text(ORIGIN)
    os.utime(config, (1, 1))
    result = use("osnet_x1_0_msmt17", config)
    assert result.edit.diff == ""
    assert config.stat().st_mtime == 1


def test_names_that_yaml_would_misread_are_quoted(config: Path) -> None:
    config.write_text(OURS)
    for name in ("a: b", "no", "007", "x # y", "größe/osnet", "1e3"):
        edit_settings(config, {"reid_model": name})
        assert BotSortConfig.load(config).reid_model == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{schema: reidkit, min_cosine: 0.5}\n", "all in braces"),
        ("schema: mivolo\nmodel: |\n  osnet.pt\nembedding_dim: 512\n", "model is no plain value"),
        (
            "schema: reidkit\nreid_model: &name a.pt\ncamera_motion_file: *name\ncamera_motion: file\n",
            "no YAML any more",
        ),
        ("schema: reidkit\nmin_cosine: 0.5\n...\n", "no YAML any more"),
    ],
)
def test_what_cannot_be_edited_safely_is_left_alone(text: str, reason: str, config: Path) -> None:
    config.write_text(text)
    with pytest.raises(InvalidFile, match=f"cannot be edited safely: .*{reason}"):
        use("osnet_x1_0", config)
    assert config.read_text() == text
    assert list(config.parent.iterdir()) == [config]


@pytest.mark.parametrize("text", ["schema: official\ntrack_buffer: 30\n", "schema: boxmot\nmatch_thresh: 0.8\n"])
def test_a_schema_that_names_no_model_is_told(text: str, config: Path) -> None:
    config.write_text(text)
    with pytest.raises(InvalidConfig, match="has no key for a model"):
        use("osnet_x1_0", config)
    assert config.read_text() == text


def test_what_is_no_settings_file_is_told(config: Path) -> None:
    with pytest.raises(InvalidFile, match="there is no settings file"):
        use("osnet_x1_0", config)
    for text in (
        "- a list\n",
        "model: [\n",
        "schema: mivolo\nmodel: a.pt\nmodel: b.pt\n",
        "schema: mivolo\nmodle: x\n",
        "appearance_thresh: 0.2\n",
    ):
        config.write_text(text)
        with pytest.raises((InvalidFile, InvalidConfig)):
            use("osnet_x1_0", config)
        assert config.read_text() == text


def test_appearance_that_is_off_is_pointed_out(config: Path) -> None:
    config.write_text("schema: mivolo\nwith_reid: false\n")
    assert "this file has appearance switched off (with_reid: false)" in use("osnet_x1_0", config).notes


def test_an_unknown_name_changes_nothing(config: Path) -> None:
    config.write_text(ORIGIN)
    with pytest.raises(InvalidInput, match="did you mean 'osnet_x1_0'"):
        use("osnet_x1_O", config)
    assert config.read_text() == ORIGIN


def test_an_artifact_is_named_by_its_folder_in_full(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiny_artifact import altered, tiny_artifact

    folder = tiny_artifact(tmp_path)
    config.write_text(OURS)
    assert "recommends none" in use(str(folder), config).notes[0]
    assert config.read_text() == f"{OURS}reid_model: {folder}\nembedding_dim: 12\n"
    monkeypatch.chdir(tmp_path)
    assert use(folder.name, config).edit.changed["reid_model"] == str(folder)
    altered(folder, thresholds={"min_cosine": 0.61, "something_else": 1.0})
    use(str(folder), config)
    assert BotSortConfig.load(config).min_cosine == 0.61
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactInvalid):
        use(str(folder), config)

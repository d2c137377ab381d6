"""The limits of the gates: packaged, partly replaced by a file, and read strictly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reidkit.calibration.gates import DEFAULT_LIMITS, read_limits
from reidkit.runtime.errors import InvalidConfig, InvalidFile


def test_the_packaged_limits_are_those_that_were_agreed() -> None:
    assert DEFAULT_LIMITS.retrieval.map_drop == 1
    assert DEFAULT_LIMITS.retrieval.rank1_drop == 1
    assert DEFAULT_LIMITS.tracking.changed_decisions == 2
    assert DEFAULT_LIMITS.embedding["int8"].cosine_p01 == 0.97
    assert DEFAULT_LIMITS.worth_it.time_ratio == 1


def test_a_file_replaces_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"embedding": {"int8": {"cosine_p01": 0.5}}, "retrieval": {"map_drop": 3}}))
    limits = read_limits(path)
    assert limits.embedding["int8"].cosine_p01 == 0.5
    assert limits.embedding["int8"].cosine_min == DEFAULT_LIMITS.embedding["int8"].cosine_min
    assert limits.embedding["fp32"] == DEFAULT_LIMITS.embedding["fp32"]
    assert (limits.retrieval.map_drop, limits.retrieval.rank1_drop) == (3, 1)


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("retrieval: {mapdrop: 1}", "unknown key thresholds.retrieval.mapdrop"),
        ("speed: 1", "unknown key thresholds.speed"),
        ("retrieval: {map_drop: much}", "thresholds.retrieval.map_drop must be a number"),
        ("embedding: {int4: {cosine_min: 1}}", "missing key thresholds.embedding.int4"),
        ("retrieval: 1", "thresholds.retrieval must be an object"),
        ("", "holds no limits"),
    ],
)
def test_what_is_no_limit_is_refused(text: str, saying: str, tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    with pytest.raises(InvalidConfig, match=saying):
        read_limits(path)


def test_what_is_no_file_or_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot read"):
        read_limits(tmp_path / "none.yaml")
    (tmp_path / "limits.yaml").write_text("a: [")
    with pytest.raises(InvalidFile, match="is not YAML"):
        read_limits(tmp_path / "limits.yaml")
    (tmp_path / "limits.yaml").write_text("retrieval: {map_drop: 1}\nretrieval: {map_drop: 90}\n")
    with pytest.raises(InvalidFile, match="retrieval is there twice, in lines 1 and 2: keep one"):
        read_limits(tmp_path / "limits.yaml")

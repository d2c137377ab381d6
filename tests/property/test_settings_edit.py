"""Whatever a settings file looks like, naming a model in it changes the model's keys and no other byte."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reidkit.export.catalogue.settings_file import edit_settings
from reidkit.runtime.tracking import BotSortConfig

FIELDS = {"reid_model": "artifacts/new one", "embedding_dim": 768, "min_cosine": 0.625}

values = {
    "reid_model": st.sampled_from(["old.pt", "'it''s: old'", '"old # one"', "artifacts/größe", "null", "", "&a old"]),
    "embedding_dim": st.sampled_from(["512", "0x200", "null", "~", ""]),
    "min_cosine": st.sampled_from(["0.5", ".5", "5.0e-1", "0.50 "]),
    "ema_weight": st.sampled_from(["0.9", "0.25", ".5"]),
    "camera_motion": st.sampled_from(["none", '"none"', "'none'"]),
    "schema": st.just("reidkit"),
}
comments = st.sampled_from(["", " # why", "   # model: commented out", " #"])
lines_between = st.sampled_from(["", "# a comment", "  # reid_model: not this one", "#embedding_dim: 1"])


@st.composite
def settings_files(draw: st.DrawFn) -> str:
    keys = draw(st.permutations(sorted(values)))[: draw(st.integers(0, len(values)))]
    lines = []
    for key in keys:
        lines.append(draw(lines_between))
        gap = draw(st.sampled_from([" ", "   "]))
        lines.append(f"{key}:{gap}{draw(values[key])}{draw(comments)}")
    lines.append(draw(lines_between))
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    return line_end.join(lines) + draw(st.sampled_from(["", line_end]))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=settings_files())
def test_only_the_meant_values_change(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "botsort.yaml")
        path.write_bytes(text.encode())
        before = yaml.safe_load(text) or {}
        edit_settings(path, FIELDS)
        after = path.read_bytes().decode()
        assert yaml.safe_load(after) == {**before, **FIELDS}
        assert BotSortConfig.load(path).min_cosine == 0.625
        kept, edited = text.splitlines(), after.splitlines()
        for old, new in zip(kept, edited, strict=False):
            if old != new:
                key = old.partition(":")[0]
                assert key in FIELDS
                assert new.startswith(f"{key}:")
                assert new.endswith(old[old.index(" #") :] if " #" in old and '"old # one"' not in old else "")
        assert {line.partition(":")[0] for line in edited[len(kept) :]} <= FIELDS.keys()
        assert ("\r\n" in after) == ("\r\n" in text)

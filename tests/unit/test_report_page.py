"""The report's page: whole, self-contained, with a picture of whatever was measured."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tiny_manifest import Tiny, tiny_manifest

from reidkit.calibration.gates import DEFAULT_LIMITS, compare_embeddings, embedding_gate
from reidkit.calibration.gates.judging import Verdict
from reidkit.calibration.gates.report import not_run
from reidkit.calibration.gates.retrieval import RetrievalFigures, retrieval_gate
from reidkit.calibration.gates.separation import separate
from reidkit.calibration.metrics.retrieval import Gallery
from reidkit.calibration.report import Point, write_report
from reidkit.calibration.report.pareto import front
from reidkit.calibration.report.svg import Axis

SEARCH = {
    "outcome": "some in float",
    "work": {"stem": 0.2, "<head>": 0.8},
    "damage": {"stem": 0.04, "<head>": 0.001},
    "trials": [
        {"in_float": [], "cosine_min": None, "cosine_p01": None, "cosine_median": None, "passed": False, "seconds": 1},
        {"in_float": ["stem"], "cosine_min": 0.9, "cosine_p01": 0.98, "cosine_median": 1, "passed": True, "seconds": 2},
    ],
    "in_float": ["stem"],
    "seconds": 3.0,
}


class Tags(HTMLParser):
    """Opens and closes every element, or raises."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href", "srcset")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def verdict() -> Verdict:
    """Of 30 people before two cameras."""
    identities, cameras = np.repeat(np.arange(1, 31), 4), np.tile([1, 1, 2, 2], 30)
    gallery = Gallery(tuple(Path(f"{row}.jpg") for row in range(120)), identities, cameras)
    rng = np.random.default_rng(0)
    reference = (rng.normal(size=(31, 16))[identities] + 0.5 * rng.normal(size=(120, 16))).astype(np.float32)
    own = reference + rng.normal(0, 0.05, reference.shape).astype(np.float32)
    parity = compare_embeddings(reference, own)
    figures, theirs = RetrievalFigures.of(gallery, own), RetrievalFigures.of(gallery, reference)
    return Verdict(
        gates=(
            embedding_gate(parity, DEFAULT_LIMITS.embedding["int8"]),
            retrieval_gate(figures, theirs.to_dict(), DEFAULT_LIMITS.retrieval, gallery="", by="torch"),
            not_run("tracking", measure="changed_decisions", why="no <sequence> was given"),
        ),
        parity=parity,
        retrieval=figures,
        reference=theirs,
        separation=separate(gallery, own),
    )


def page_of(path: Path) -> tuple[str, Tags]:
    text, tags = path.read_text(), Tags()
    tags.feed(text)
    assert tags.open == []
    return text, tags


def test_the_page_shows_all_that_was_measured_and_needs_nothing_else(verdict: Verdict, tmp_path: Path) -> None:
    manifest = replace(
        tiny_manifest(Tiny(), engine="", engine_file="", files={}), calibration={"crops": 256, "search": SEARCH}
    )
    points = [
        Point(name=name, frame_ms=ms, mean_average_precision=found) for name, ms, found in (("a", 9, 70), ("b", 5, 60))
    ]
    write_report(
        tmp_path / "report.html", name="<tiny>", verdict=verdict, manifest=manifest, points=points, missing=["c is not"]
    )
    text, tags = page_of(tmp_path / "report.html")
    assert tags.seen.count("svg") == 6
    assert not {"script", "img", "link", "iframe"} & set(tags.seen)
    assert tags.sources == []
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text
    for told in ("&lt;tiny&gt;", "&lt;head&gt;", "&lt;sequence&gt;", "long_term_min_cosine", "256 crops", "c is not"):
        assert told in text
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_a_bare_file_that_ran_no_gate_still_has_a_page(tmp_path: Path) -> None:
    nothing = Verdict(gates=(not_run("embedding", measure="cosine_min", why="no original"),))
    write_report(tmp_path / "report.html", name="vendor.onnx", verdict=nothing)
    text, tags = page_of(tmp_path / "report.html")
    assert "svg" not in tags.seen
    assert "no original" in text


@pytest.mark.parametrize(("low", "high"), [(0, 100), (0.9871, 0.99999), (-1, 1), (3, 3.004), (120, 90_000)])
def test_an_axis_has_a_few_round_ticks_within_itself(low: float, high: float) -> None:
    ticks = Axis(label="", low=low, high=high).ticks()
    assert 3 <= len(ticks) <= 8
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    assert len(set(np.round(np.diff(ticks), 9))) == 1


def test_the_front_is_what_no_other_beats_in_both() -> None:
    given = {"slow and good": (9, 70), "quick": (5, 60), "slow and bad": (9, 50), "slower than good": (10, 70)}
    points = [Point(name=name, frame_ms=ms, mean_average_precision=found) for name, (ms, found) in given.items()]
    assert [point.name for point in front(points)] == ["quick", "slow and good"]

"""The retrieval gate, and the distance between people from which the tracker's thresholds follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reidkit.calibration.gates import DEFAULT_LIMITS
from reidkit.calibration.gates.retrieval import RetrievalFigures, digest_of, retrieval_gate
from reidkit.calibration.gates.separation import EDGES, separate
from reidkit.calibration.metrics.retrieval import Gallery, score_retrieval
from reidkit.runtime.tracking import BotSortConfig

LIMITS = DEFAULT_LIMITS.retrieval
PEOPLE, VIEWS = 30, 4


@pytest.fixture
def gallery() -> Gallery:
    """30 people, each seen twice by each of two cameras, and a few crops of nobody."""
    identities = np.repeat(np.arange(1, PEOPLE + 1), VIEWS)
    cameras = np.tile([1, 1, 2, 2], PEOPLE)
    return Gallery(
        paths=tuple(Path(f"{row}.jpg") for row in range(len(identities) + 5)),
        identities=np.concatenate([identities, [0, 0, 0, -1, -1]]),
        cameras=np.concatenate([cameras, [1, 2, 1, 2, 1]]),
    )


def embeddings_of(gallery: Gallery, *, noise: float) -> NDArray[np.float64]:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(PEOPLE + 2, 16))
    return centres[gallery.identities] + noise * rng.normal(size=(len(gallery.paths), 16))


def judged(gallery: Gallery, *, reference: float, candidate: float):
    own, theirs = (
        RetrievalFigures.of(gallery, embeddings_of(gallery, noise=noise)) for noise in (candidate, reference)
    )
    return retrieval_gate(own, theirs.to_dict(), LIMITS, gallery="digest", by="torch")


def test_what_loses_nothing_passes_with_all_figures(gallery: Gallery) -> None:
    gate = judged(gallery, reference=0.5, candidate=0.5)
    assert (gate.name, gate.status, gate.measure, gate.value, gate.limit) == ("retrieval", "passed", "map_drop", 0, 1)
    assert gate.figures["map"] == gate.figures["reference"]["map"]
    assert gate.figures["queries"] == 2 * PEOPLE


def test_what_loses_more_points_than_allowed_fails(gallery: Gallery) -> None:
    gate = judged(gallery, reference=0.5, candidate=1.5)
    expected = [100 * score_retrieval(gallery, embeddings_of(gallery, noise=noise)).mean_average_precision
                for noise in (0.5, 1.5)]  # fmt: skip
    assert (gate.status, gate.measure) == ("failed", "map_drop")
    assert gate.value == pytest.approx(expected[0] - expected[1])
    assert "torch" in gate.note


def test_what_finds_more_than_its_reference_passes(gallery: Gallery) -> None:
    gate = judged(gallery, reference=1.5, candidate=0.5)
    assert gate.status == "passed"
    assert gate.value is not None
    assert gate.value < 0


def test_without_a_reference_it_does_not_run_but_tells_what_was_reached(gallery: Gallery) -> None:
    own = RetrievalFigures.of(gallery, embeddings_of(gallery, noise=0.5))
    gate = retrieval_gate(own, None, LIMITS, gallery="digest", by="")
    assert (gate.status, gate.value, gate.limit) == ("not_run", None, None)
    assert gate.figures["map"] == own.mean_average_precision
    assert "--reference" in gate.note


def test_a_gallery_is_known_by_names_and_contents(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    labels = np.ones(2, np.int64)
    gallery = Gallery((tmp_path / "a.jpg", tmp_path / "b.jpg"), labels, labels)
    before = digest_of(gallery)
    assert digest_of(gallery) == before
    (tmp_path / "b.jpg").write_bytes(b"c")
    assert digest_of(gallery) != before


def test_pairs_are_counted_as_one_would_by_hand(gallery: Gallery) -> None:
    embeddings = embeddings_of(gallery, noise=0.5)
    found = separate(gallery, embeddings)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    by_hand: dict[tuple[bool, bool], list[float]] = {(a, b): [] for a in (True, False) for b in (True, False)}
    people = np.flatnonzero(gallery.identities > 0)
    for place, one in enumerate(people):
        for other in people[place + 1 :]:
            key = gallery.cameras[one] == gallery.cameras[other], gallery.identities[one] == gallery.identities[other]
            by_hand[bool(key[0]), bool(key[1])].append(float(unit[one] @ unit[other]))
    for pairs, camera in ((found.one_camera, True), (found.two_cameras, False)):
        np.testing.assert_array_equal(pairs.same, np.histogram(by_hand[camera, True], EDGES)[0])
        np.testing.assert_array_equal(pairs.different, np.histogram(by_hand[camera, False], EDGES)[0])


def test_the_thresholds_let_the_stated_share_of_strangers_through_and_are_the_trackers(gallery: Gallery) -> None:
    embeddings = embeddings_of(gallery, noise=0.5)
    thresholds = separate(gallery, embeddings).thresholds()
    assert thresholds is not None
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    strangers = [
        unit[one] @ unit[other]
        for one in range(PEOPLE * VIEWS)
        for other in range(one)
        if gallery.identities[one] != gallery.identities[other] and gallery.cameras[one] == gallery.cameras[other]
    ]
    for name, share in (("min_cosine", 0.01), ("long_term_min_cosine", 0.001)):
        assert np.mean(np.array(strangers) >= thresholds[name]) <= share
        assert np.mean(np.array(strangers) >= thresholds[name] - 0.05) > share
    assert BotSortConfig(**thresholds).min_cosine == thresholds["min_cosine"]


def test_a_handful_of_people_tells_no_thresholds(gallery: Gallery) -> None:
    few = Gallery(gallery.paths[:12], gallery.identities[:12], gallery.cameras[:12])
    assert separate(few, embeddings_of(few, noise=0.5)).thresholds() is None

"""The embedding gate sees wrong directions, wrong lengths, and what is no number."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reidkit.calibration.gates import EMBEDDING_LIMITS, compare_embeddings, embedding_gate
from reidkit.runtime.errors import InvalidInput

FP32 = EMBEDDING_LIMITS["fp32"]


@pytest.fixture
def reference() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(200, 64)).astype(np.float32)


def test_the_figures_are_those_of_the_definition(reference: np.ndarray) -> None:
    candidate = reference + np.random.default_rng(1).normal(0, 0.1, reference.shape)
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(reference, candidate, strict=True)]
    ratios = [np.linalg.norm(b) / np.linalg.norm(a) for a, b in zip(reference, candidate, strict=True)]
    report = compare_embeddings(reference, candidate)
    assert (report.crops, report.finite) == (200, True)
    assert report.cosine_min == pytest.approx(min(cosines), rel=1e-6)
    assert report.cosine_p01 == pytest.approx(np.quantile(cosines, 0.01), rel=1e-6)
    assert report.cosine_median == pytest.approx(np.median(cosines), rel=1e-6)
    assert report.norm_ratio_max_deviation == pytest.approx(max(abs(ratio - 1) for ratio in ratios), rel=1e-5)


def test_the_same_embeddings_pass(reference: np.ndarray) -> None:
    parity = compare_embeddings(reference, reference)
    gate = embedding_gate(parity, FP32, note="torch")
    assert gate.name == "embedding"
    assert gate.to_dict() == {
        "status": "passed",
        "measure": "cosine_min",
        "value": pytest.approx(1),
        "limit": 0.99999,
        "note": "torch",
        "figures": parity.to_dict(),
    }


def test_one_wrong_direction_among_many_fails(reference: np.ndarray) -> None:
    candidate = reference.copy()
    candidate[17] = candidate[18]
    gate = embedding_gate(compare_embeddings(reference, candidate), FP32)
    assert (gate.status, gate.measure) == ("failed", "cosine_min")
    assert gate.value is not None
    assert gate.value < 0.9


def test_a_wrong_length_behind_a_cosine_of_one_fails(reference: np.ndarray) -> None:
    candidate = reference.copy()
    candidate[17] *= 0.999
    gate = embedding_gate(compare_embeddings(reference, candidate), FP32)
    assert (gate.status, gate.measure, gate.limit) == ("failed", "norm_ratio_max_deviation", 1e-4)
    assert gate.value == pytest.approx(1e-3, rel=1e-3)


def test_the_first_limit_that_is_missed_is_told(reference: np.ndarray) -> None:
    candidate = reference + 0.06 * np.random.default_rng(1).normal(size=reference.shape)
    gate = embedding_gate(compare_embeddings(reference, candidate), EMBEDDING_LIMITS["fp16"])
    assert (gate.status, gate.measure, gate.limit) == ("failed", "cosine_median", 0.999)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_fails_without_figures(reference: np.ndarray, bad: float) -> None:
    candidate = reference.copy()
    candidate[3, 5] = bad
    report = compare_embeddings(reference, candidate)
    gate = embedding_gate(report, FP32)
    assert (report.finite, gate.status, gate.value) == (False, "failed", None)
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["cosine_min"] is None


def test_a_row_of_zeros_fails(reference: np.ndarray) -> None:
    candidate = reference.copy()
    candidate[3] = 0
    report = compare_embeddings(reference, candidate)
    assert (report.cosine_min, report.norm_ratio_max_deviation) == (0, 1)


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        (np.ones((2, 3)), np.ones((3, 2))),
        (np.ones(3), np.ones(3)),
        (np.ones((0, 3)), np.ones((0, 3))),
        (np.array([[1.0, np.nan]]), np.ones((1, 2))),
        (np.zeros((1, 2)), np.ones((1, 2))),
    ],
    ids=["shapes", "vectors", "no crops", "NaN in the reference", "zeros in the reference"],
)
def test_what_cannot_be_compared_is_refused(reference: np.ndarray, candidate: np.ndarray) -> None:
    with pytest.raises(InvalidInput):
        compare_embeddings(reference, candidate)


def test_limits_with_headroom_allow_that_much_less() -> None:
    limits = EMBEDDING_LIMITS["int8"]
    stricter = limits.with_headroom(0.25)
    for measure in ("cosine_min", "cosine_p01", "cosine_median"):
        assert 1 - getattr(stricter, measure) == pytest.approx(0.75 * (1 - getattr(limits, measure)))
    assert stricter.norm_ratio_max_deviation == pytest.approx(0.75 * limits.norm_ratio_max_deviation)

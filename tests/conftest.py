"""Shared fixtures: where the real test data is, and how its absence is told."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real weights, sequences and crops; tests that need it skip loudly without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the project's test data in ../shared/data, which is not here")
    return SHARED_DATA

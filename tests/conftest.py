"""Shared fixtures: where the real test data is, and how its absence is told."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from reidkit.runtime.inference_libraries import import_openvino

if find_spec("openvino"):
    import_openvino("tests")  # before `importorskip` does it, which would have it report to its vendor

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _pythons_ctrl_c() -> None:
    """Ctrl-C is Python's, whatever a library has made of it and however the tests were started."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither see nor change what reidkit keeps for the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real weights, sequences and crops; tests that need it skip loudly without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the project's test data in ../shared/data, which is not here")
    return SHARED_DATA

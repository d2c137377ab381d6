"""``core: native`` beside ``core: numpy``: the same tracks, counts and state, to the last bit."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parity.test_botsort_reference import config_of
from proofs import trials
from real_sequences import EVERYTHING_GIVEN, NAMES, Given, real_frames
from reference.sequences import Frame, generate

from reidkit.runtime import BotSort, BotSortConfig, Tracks
from reidkit.runtime.errors import InvalidConfig

SEQUENCES = trials(100, 4800)
FRAMES = trials(60, 10_000)
CORES = ("numpy", "native")
BEYOND = {
    "the authors'": {},
    "long-term": {"long_term_min_cosine": 0.6, "long_term_lost_frames": 60, "long_term_history": 5},
    "economy": {"economy_refresh_frames": 4},
    "its own limits": {
        "min_embedding_score": 0.75,
        "unconfirmed_min_cosine": 0.1,
        "unconfirmed_appearance_cost_scale": 0.3,
        "duplicate_iou": 0.6,
        "ema_weight": 0.5,
    },
}


def state_of(tracker: BotSort) -> dict[str, bytes]:
    return {name: column.tobytes() for name, column in tracker._state.table.to_arrays().items()}


def arguments(frame: Frame) -> dict[str, Any]:
    return frame._asdict()


def assert_equal_cores(config: BotSortConfig, frames: Iterable[dict[str, Any]], what: str) -> None:
    numpy_one, native_one = (BotSort(dataclasses.replace(config, core=core)) for core in CORES)
    for number, frame in enumerate(frames, start=1):
        where = f"{what}, frame {number}"
        expected, found = numpy_one.update(**frame), native_one.update(**frame)
        for field in dataclasses.fields(Tracks):
            first, second = getattr(expected, field.name), getattr(found, field.name)
            assert (first.dtype, first.shape) == (second.dtype, second.shape), (field.name, where)
            assert first.tobytes() == second.tobytes(), (field.name, where)
        assert numpy_one.appearance == native_one.appearance, where
        assert state_of(numpy_one) == state_of(native_one), where


@pytest.mark.parametrize("first_seed", range(0, SEQUENCES, 100))
def test_generated_sequences(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 100):
        sequence = generate(seed)
        what = f"seed {seed}, {sorted(sequence.traits)}"
        assert_equal_cores(config_of(sequence.parameters), map(arguments, sequence.frames), what)


@pytest.mark.parametrize("given", EVERYTHING_GIVEN, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_real_sequences(shared_data: Path, name: str, given: Given) -> None:
    frames = real_frames(shared_data, name, given, most=FRAMES)
    assert_equal_cores(BotSortConfig(), map(arguments, frames), f"{name}, {given}")


@pytest.mark.parametrize("settings", BEYOND.values(), ids=BEYOND)
def test_settings_beyond_the_classic(settings: dict[str, Any]) -> None:
    for seed in range(trials(10, 400)):
        sequence = generate(seed)
        config = dataclasses.replace(config_of(sequence.parameters), **settings)
        assert_equal_cores(config, map(arguments, sequence.frames), f"seed {seed}")


def test_time_that_jumps() -> None:
    for seed in range(trials(10, 400)):
        sequence, random = generate(seed), np.random.default_rng(seed)
        steps = random.choice([1.0, 1.0, 1.0, 0.4, 2.0, 3.7, 30.0, 90.0], len(sequence.frames))
        config = dataclasses.replace(config_of(sequence.parameters), clock="timestamps", long_term_min_cosine=0.5)
        times = np.cumsum(steps) / config.frame_rate
        frames = [
            arguments(frame) | {"timestamp_s": float(time)} for frame, time in zip(sequence.frames, times, strict=True)
        ]
        assert_equal_cores(config, frames, f"seed {seed}")


def test_a_tracker_goes_on_from_a_file_of_the_other_core(tmp_path: Path) -> None:
    sequence = generate(2)
    config = config_of(sequence.parameters)
    whole, begun = BotSort(config), BotSort(dataclasses.replace(config, core="native"))
    for number, frame in enumerate(sequence.frames):
        if number == len(sequence.frames) // 2:
            begun.save(tmp_path / "state")
            begun = BotSort.restore(tmp_path / "state")
            assert begun.config.core == "native"
        assert (
            whole.update(*frame[:2], **rest(frame)).ids.tolist() == begun.update(*frame[:2], **rest(frame)).ids.tolist()
        )


def rest(frame: Frame) -> dict[str, Any]:
    return {name: value for name, value in arguments(frame).items() if name not in ("boxes_xyxy", "scores")}


def test_a_reset_tracker_begins_anew() -> None:
    sequence = generate(3)
    tracker = BotSort(dataclasses.replace(config_of(sequence.parameters), core="native"))
    first = digest_of(tracker, sequence.frames)
    tracker.reset()
    assert digest_of(tracker, sequence.frames) == first


def test_what_the_native_core_does_not_do_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"temperature is 0\.07, which the native core does not do"):
        BotSort(BotSortConfig(core="native", temperature=0.07))
    with pytest.raises(InvalidConfig, match=r"core is 'numpy' or 'native', not 'rust'"):
        BotSortConfig(core="rust")


def digest_of(tracker: BotSort, frames: Iterable[Frame]) -> str:
    digest = hashlib.sha256()
    for frame in frames:
        tracks = tracker.update(**arguments(frame))
        for field in dataclasses.fields(Tracks):
            digest.update(getattr(tracks, field.name).tobytes())
    return digest.hexdigest()


def digest() -> str:
    """Of all that both cores say of some sequences."""
    parts = []
    for seed in range(0, 16, 2):
        sequence = generate(seed)
        config = config_of(sequence.parameters)
        parts += [digest_of(BotSort(dataclasses.replace(config, core=core)), sequence.frames) for core in CORES]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


@pytest.mark.parametrize(
    "environment",
    [
        {"OMP_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"},
        {"REIDKIT_CPU": "scalar"},
        {"REIDKIT_CPU": "avx2"},
        {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX2 FMA3"},
    ],
    ids=str,
)
def test_bits_depend_on_neither_threads_nor_processor(environment: dict[str, str]) -> None:
    tests = Path(__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(tests)!r}); sys.modules.pop('parity', None)\n"
        "from parity.test_botsort_cores import digest\n"
        "print(digest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if "this processor can use" in done.stderr:
        pytest.skip(f"not on this processor: {done.stderr.splitlines()[-1]}")
    assert done.stdout.strip() == digest(), done.stderr

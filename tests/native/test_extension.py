"""The extension as a whole: its stub, its instruction sets, the GIL, and what is said when it is not there."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from reidkit.runtime import native
from reidkit.runtime.native import _native, assign, cut_crops, instruction_set

STUB = Path(native.__file__).with_name("_native.pyi")


def signatures(body: list[ast.stmt], prefix: str = "") -> dict[str, str]:
    """The functions and methods of a stub, by dotted name."""
    found: dict[str, str] = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found |= signatures(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            found[prefix + node.name] = ast.dump(node)
    return found


def bound(owner: object, prefix: str = "") -> dict[str, str]:
    """The same of what is bound."""
    found: dict[str, str] = {}
    for name in dir(owner):
        value = getattr(owner, name)
        if isinstance(value, type) and not name.startswith("_"):
            found |= bound(value, f"{name}.")
        elif hasattr(value, "__nb_signature__") and (not name.startswith("_") or name == "__init__"):
            [(signature, *_)] = value.__nb_signature__
            plain = signature.replace(f"{_native.__name__}.", "")
            found[prefix + name] = ast.dump(ast.parse(f"{plain}: ...").body[0])
    return found


def test_the_stub_tells_what_the_module_holds():
    assert bound(_native) == signatures(ast.parse(STUB.read_text()).body)


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("None", "reidkit's compiled extension cannot be loaded ("),
        ("types.ModuleType('_native')", "reidkit's compiled extension is older than this reidkit ("),
    ],
    ids=["missing", "older"],
)
def test_an_extension_that_does_not_fit_says_what_to_do(there: str, message: str):
    done = run(
        "import sys, types\n"
        f"sys.modules['reidkit.runtime.native._native'] = {there}\n"
        "from reidkit.runtime.errors import ReidkitError\n"
        "try:\n"
        "    import reidkit.runtime.native\n"
        "except ReidkitError as error:\n"
        "    print(error.exit_code, error)\n"
    )
    assert done.stdout.startswith(f"5 {message}"), done.stderr
    assert "pip install ." in done.stdout


def test_an_unknown_instruction_set_is_refused_and_the_known_are_listed():
    code = (
        "import numpy as np\n"
        "from reidkit.runtime.errors import InvalidInput\n"
        "from reidkit.runtime.native import assign, instruction_set\n"
        "for call in (instruction_set, lambda: assign(np.ones((1, 1)), 0.5)):\n"
        "    try:\n"
        "        call()\n"
        "    except InvalidInput as error:\n"
        "        print(error)\n"
    )
    done = run(code, REIDKIT_CPU="mmx")
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    assert all("REIDKIT_CPU is mmx, this processor can use: scalar" in line for line in lines)


def results() -> str:
    """A digest of crops and assignments from all kernels."""
    random = np.random.default_rng(5)
    frame = random.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    low = random.uniform(0, 200, (12, 2))
    boxes = np.hstack([low, low + random.uniform(2, 200, (12, 2))])
    digest = hashlib.sha256()
    layouts = {"nchw": (12, 3, 91, 37), "nhwc": (12, 91, 37, 3)}
    for dtype, layout, kernel, antialias in product(
        (np.uint8, np.float16, np.float32), layouts, ("bilinear", "bicubic"), (False, True)
    ):
        out = np.empty(layouts[layout], dtype)
        cut_crops(frame, boxes, out, swap_colors=antialias, kernel=kernel, antialias=antialias, layout=layout)
        digest.update(out)
    for columns in assign(np.round(random.random((70, 80)) * 50) / 50, 0.1):
        digest.update(columns)
    return digest.hexdigest()


@pytest.mark.parametrize("chosen", ["scalar", "neon", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same_bits(chosen):
    code = f"import runpy; here = runpy.run_path({__file__!r}); print(here['instruction_set'](), here['results']())"
    done = run(code, REIDKIT_CPU=chosen)
    if "this processor can use" in done.stderr:
        pytest.skip(f"not on this processor: {done.stderr.splitlines()[-1]}")
    assert done.stdout.split() == [chosen, results()], done.stderr


def test_the_same_call_gives_the_same_bits():
    assert len({results() for _ in range(5)}) == 1
    assert instruction_set() in ("scalar", "neon", "avx2", "avx512")


def long_cut() -> None:
    frame = np.zeros((1500, 1500, 3), np.uint8)
    boxes = np.full((60, 4), [0, 0, 1500, 1500], np.float64)
    cut_crops(frame, boxes, np.empty((60, 3, 256, 128), np.uint8), swap_colors=False, antialias=True)


def long_assignment() -> None:
    assign(np.random.default_rng(0).random((1500, 1500)), 2.0)


@pytest.mark.parametrize("work", [long_cut, long_assignment])
def test_other_threads_run_meanwhile(work: Callable[[], None]):
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.001):
            ticks.append(time.perf_counter())

    ticker = threading.Thread(target=tick)
    ticker.start()
    begin = time.perf_counter()
    work()
    end = time.perf_counter()
    stop.set()
    ticker.join()
    # With the GIL held the ticker would be heard at the edges only.
    middle = [tick for tick in ticks if begin + (end - begin) / 4 < tick < end - (end - begin) / 4]
    assert middle, f"no other thread ran in the middle of {end - begin:.3f} s"


def test_threads_cut_from_one_frame_at_once():
    frame = np.random.default_rng(1).integers(0, 256, (400, 300, 3), dtype=np.uint8)
    boxes = np.float64([[0, 0, 200, 390], [10, 10, 60, 200]])
    outs = [np.zeros((2, 3, 256, 128), np.uint8) for _ in range(5)]

    def work(out) -> None:
        for _ in range(30):
            cut_crops(frame, boxes, out, swap_colors=True, antialias=False)

    threads = [threading.Thread(target=work, args=(out,)) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for out in outs[1:]:
        np.testing.assert_array_equal(out, outs[0])

"""Each target's library put to the proof: a tiny network built, opened and held to NumPy's answer.

Every target has a process of its own (see `__main__`): a library that was built for another processor ends in an
illegal instruction, and that should be a line of the report.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.gates import EMBEDDING_LIMITS, compare_embeddings, embedding_gate
from reidkit.runtime.artifact import record_files
from reidkit.runtime.engines import EngineBase, engines, self_check
from reidkit.targets.self_test import tiny
from reidkit.targets.target import BuildJob, Precision, Target

_PATIENCE_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        status: ``"built"`` is one that was built and cannot run here, ``"evaluated"`` one of which besides what the
            file says was computed without its engine.
        detail: in words.
    """

    status: Literal["passed", "evaluated", "built", "failed", "not_run"]
    detail: str


def prove_apart(name: str) -> Outcome:
    """`prove` for the target of that name, in a process of its own."""
    command = [sys.executable, "-m", __name__, name]
    with tempfile.TemporaryDirectory() as cache:  # what an engine compiles and keeps is of no use later
        surroundings = {**os.environ, "XDG_CACHE_HOME": cache}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False, env=surroundings
            )
        except subprocess.TimeoutExpired:
            return Outcome(status="failed", detail=f"not done after {_PATIENCE_S} s")
    if done.returncode == 0:
        return Outcome(**json.loads(done.stdout.splitlines()[-1]))  # before it, whatever a library has to say
    if done.returncode < 0:
        return Outcome(status="failed", detail=f"its process died of {signal.Signals(-done.returncode).name}")
    return Outcome(status="failed", detail=(done.stderr.splitlines() or ["no reason given"])[-1])


def prove(target: Target) -> Outcome:
    """Build the network in fp32, open it and embed with it.

    Raises:
        ReidkitError: one of these failed; or what else a broken library raises.
    """
    if Precision.FP32 not in target.precisions:
        return Outcome(status="not_run", detail="builds no fp32: export a model with it to see")
    if reason := target.available():
        return Outcome(status="not_run", detail=reason)
    engine: type[EngineBase] = engines()[target.engine].load()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        graph = folder / "graph.onnx"
        shutil.copyfile(tiny.ONNX_FILE, graph)
        program = tiny.program if target.consumes == "exported_program" else None
        built = target.build(
            BuildJob(onnx_path=graph, folder=folder, precision=Precision.FP32, batch=tiny.BATCH, program=program)
        )
        if reason := engine.available():
            if built.evaluate is None:
                return Outcome(status="built", detail=f"cannot run: {reason}")
            return _evaluated(built.evaluate, why=reason)
        manifest = tiny.manifest(target, built, record_files(folder))
        with engine(manifest, folder, device="auto", threads=None) as opened:
            self_check(opened, tiny.golden())
    return Outcome(status="passed", detail="built, opened, embeds as NumPy does")


def _evaluated(evaluate: Callable[[NDArray[np.uint8]], NDArray[np.float32]], *, why: str) -> Outcome:
    """What the engine's file says, computed without its engine, which cannot run: see `BuiltEngine.evaluate`."""
    golden = tiny.golden()
    parity = compare_embeddings(golden.embeddings, evaluate(np.ascontiguousarray(golden.crops.transpose(0, 3, 1, 2))))
    gate = embedding_gate(parity, EMBEDDING_LIMITS[Precision.FP32])
    if gate.status != "passed":
        return Outcome(
            status="failed", detail=f"the program, evaluated, does not embed as NumPy does: {gate.measure} {gate.value}"
        )
    return Outcome(status="evaluated", detail=f"the program, evaluated, embeds as NumPy does; cannot run: {why}")

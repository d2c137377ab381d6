"""An artifact with a thread count, in a process of its own: the side that asks."""

from __future__ import annotations

import signal
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

from reidkit.calibration.benchmark.worker import Ready, Times, Turn
from reidkit.runtime.errors import EngineFailure, ReidkitError

_WORKER = "reidkit.calibration.benchmark"


class Contender:
    """A running worker; a context manager, at whose end its process is gone.

    Attributes:
        ready: what its worker said first; `open_ms` of it includes the artifact's digests and its self-check.
        start_ms: from the start of its process to its first embedding.

    Raises:
        ReidkitError: the artifact cannot be opened; as `open_artifact` raises it.
        EngineFailure: here and in every method: its process died.
    """

    def __init__(self, artifact: Path, *, threads: int, device: str = "auto", trusted: bool) -> None:
        self._name = artifact.name
        self._pipe, theirs = Pipe()
        trust = "trusted" if trusted else "untrusted"
        command = [sys.executable, "-m", _WORKER, str(theirs.fileno()), str(artifact), str(threads), device, trust]
        begun = perf_counter()
        # What a library prints is nobody's JSON, and Ctrl-C is for the process that has this one end.
        self._process = subprocess.Popen(
            command, pass_fds=(theirs.fileno(),), stdout=subprocess.DEVNULL, start_new_session=True
        )
        theirs.close()
        try:
            self.ready: Ready = self._answer()
        except BaseException:
            self.close()
            raise
        self.start_ms = 1e3 * (perf_counter() - begun)

    def take_turn(self, turn: Turn) -> Times:
        """What its batches took."""
        times: Times = self._ask(turn)
        return times

    def peak_mib(self) -> float | None:
        """The most memory its process had so far."""
        peak: float | None = self._ask(None)
        return peak

    def close(self) -> None:
        """End its process."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Contender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: Turn | None) -> Any:
        try:
            self._pipe.send(request)
        except BrokenPipeError:
            raise self._dead() from None
        return self._answer()

    def _answer(self) -> Any:
        """What the worker sends; an error is raised."""
        try:
            answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise self._dead() from None
        if isinstance(answer, ReidkitError):
            raise answer
        return answer

    def _dead(self) -> EngineFailure:
        code = self._process.wait()
        died = f"died of {signal.Signals(-code).name}" if code < 0 else f"left with exit code {code}"
        return EngineFailure(f"the process that ran {self._name} {died}", remedy="measure smaller batches, or it alone")

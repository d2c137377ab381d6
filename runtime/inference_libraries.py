"""The vendors' inference libraries, imported when they are needed, and so that they report to nobody.

As it is imported, OpenVINO starts a process that tells its vendor of it, and ONNX Runtime's official builds (for Linux
from 1.29 on) keep a number for the machine in the user's cache and send events to theirs. A box that watches people
sends nothing anywhere that it was not asked to.
"""

from __future__ import annotations

import os
import sys
from threading import Lock
from typing import Any

from reidkit.runtime.errors import MissingDependency

_REPORTER = "openvino_telemetry"

_core: Any = None
_core_lock = Lock()


def import_onnxruntime(purpose: str, *, extra: str = "onnxruntime") -> Any:
    """The module ``onnxruntime``, its events switched off for this process and those it starts.

    A program that imported it before has to set ``ORT_DISABLE_TELEMETRY`` itself; who wants the events sets it to 0.

    Raises:
        MissingDependency: it is not installed; the message says what `purpose` needs it and which `extra` has it.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read as the library is loaded; the call below comes too late
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingDependency("onnxruntime", extra=extra, purpose=purpose) from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def import_openvino(purpose: str) -> Any:
    """The module ``openvino``, with its vendor's own stub in the place of what reports.

    Where the program has imported OpenVINO before, it stays as it is.

    Raises:
        MissingDependency: it is not installed; the message says what `purpose` needs it.
    """
    hidden = "openvino" not in sys.modules and _REPORTER not in sys.modules
    if hidden:
        sys.modules[_REPORTER] = None  # type: ignore[assignment]  # how Python marks what cannot be imported
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingDependency("openvino", extra="openvino", purpose=purpose) from error
    finally:
        if hidden:
            del sys.modules[_REPORTER]
    return openvino


def shared_core(openvino: Any) -> Any:
    """The ``openvino.Core`` of this process, which everybody here shares and nobody closes.

    The CPU plug-in of a Core lays the thread that loads it a stack for its signals, and puts back the one it found when
    the Core is closed, even where that one has gone meanwhile. After two that are closed in the order in which they
    were opened, the next Ctrl-C or SIGTERM is a segmentation fault (OpenVINO 2026.4, Linux).

    Args:
        openvino: the module, as `import_openvino` gives it.
    """
    global _core
    with _core_lock:
        if _core is None:
            _core = openvino.Core()
        return _core

"""The little of CUDA that an engine needs, through cuda-bindings: a device, its stream, memory, copies.

Written to the interface that cuda-bindings 12.6 to 13.5 offers; **not run on a device**.
"""

from __future__ import annotations

import ctypes
import weakref
from contextlib import ExitStack
from math import prod
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from reidkit.runtime.errors import EngineFailure, InvalidInput, MissingDependency


def cuda_runtime(*, extra: str, purpose: str) -> ModuleType:
    """CUDA's runtime interface. Raises `MissingDependency` where cuda-bindings is not installed."""
    try:
        from cuda.bindings import runtime
    except ModuleNotFoundError as error:
        raise MissingDependency("cuda-bindings", extra=extra, purpose=purpose) from error
    module: ModuleType = runtime
    return module


def no_device() -> str | None:
    """Why there is no CUDA device to run on here, None if there is one."""
    try:
        from cuda.bindings import runtime
    except ModuleNotFoundError:
        return "cuda-bindings is not installed"
    try:
        (count,) = _checked(runtime, runtime.cudaGetDeviceCount())
    except EngineFailure as error:
        return error.message
    return None if count else "CUDA finds no device"


def compute_capability(runtime: ModuleType, device: int) -> str:
    """Such as ``"8.7"``. Raises `EngineFailure` where CUDA has no such device."""
    attributes = runtime.cudaDeviceAttr
    major, minor = (
        _checked(runtime, runtime.cudaDeviceGetAttribute(attribute, device))[0]
        for attribute in (attributes.cudaDevAttrComputeCapabilityMajor, attributes.cudaDevAttrComputeCapabilityMinor)
    )
    return f"{major}.{minor}"


def device_name(runtime: ModuleType, device: int) -> str:
    """Such as ``"Orin"``. Raises `EngineFailure` where CUDA has no such device."""
    (properties,) = _checked(runtime, runtime.cudaGetDeviceProperties(device))
    name: str = properties.name.partition(b"\0")[0].decode()
    return name


def make_current(runtime: ModuleType, device: int) -> None:
    """Make it this thread's device. Raises `EngineFailure` where CUDA has no such device."""
    _checked(runtime, runtime.cudaSetDevice(device))


def device_index(name: str, *, engine: str) -> int:
    """Which device ``auto``, ``cuda`` or ``cuda:1`` is. Raises `InvalidInput` for any other name."""
    kind, _, index = name.partition(":")
    if name in ("auto", "cuda") or (kind == "cuda" and index.isdecimal()):
        return int(index or 0)
    raise InvalidInput(f"the {engine} engine has no device '{name}'", remedy="use auto, cuda or cuda:INDEX")


class CudaDevice:
    """A device with a stream of its own. Copies are put on that stream and done when `synchronize` returns.

    Attributes:
        stream: handle of the stream.

    Raises:
        EngineFailure: here and in every method: CUDA says no, in its own words.
    """

    def __init__(self, runtime: ModuleType, index: int) -> None:
        self._runtime, self._index = runtime, index
        with ExitStack() as resources:
            self.use()
            stream = self._call("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking)
            resources.callback(self._call, "cudaStreamDestroy", stream)
            self.stream = int(stream)
            self._resources = resources.pop_all()

    def use(self) -> None:
        """Make it this thread's device."""
        make_current(self._runtime, self._index)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in host memory that the device reads and writes by itself; it lives as long as anybody has it."""
        kind = np.dtype(dtype)
        size = prod(shape) * kind.itemsize
        self.use()
        pointer = int(self._call("cudaMallocHost", size))
        memory = (ctypes.c_byte * size).from_address(pointer)
        weakref.finalize(memory, self._runtime.cudaFreeHost, pointer).atexit = False
        array: NDArray[Any] = np.ndarray(shape, kind, memoryview(memory))
        return array

    def memory(self, size: int) -> int:
        """Address of so many bytes on the device, all zero; they end with `close`."""
        pointer = int(self._call("cudaMalloc", size))
        self._resources.callback(self._call, "cudaFree", pointer)
        self._call("cudaMemsetAsync", pointer, 0, size, self.stream)
        return pointer

    def upload(self, array: NDArray[Any], address: int) -> None:
        """Copy a C-contiguous array to device memory; without a detour if it is pinned."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, self.stream)

    def download(self, address: int, array: NDArray[Any]) -> None:
        """Copy device memory to a C-contiguous array; without a detour if it is pinned."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, self.stream)

    def synchronize(self) -> None:
        """Wait for everything on the stream."""
        self._call("cudaStreamSynchronize", self.stream)

    def close(self) -> None:
        """Give memory and stream back, after what still runs on it."""
        self.use()
        self.synchronize()
        self._resources.close()

    def _call(self, name: str, *arguments: Any) -> Any:
        values = _checked(self._runtime, getattr(self._runtime, name)(*arguments))
        return values[0] if values else None


def _checked(runtime: ModuleType, result: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a CUDA call returned besides its success."""
    error, *values = result
    if error != runtime.cudaError_t.cudaSuccess:
        text = runtime.cudaGetErrorString(error)[1].decode()
        raise EngineFailure(f"CUDA says: {text} ({error.name})")
    return tuple(values)

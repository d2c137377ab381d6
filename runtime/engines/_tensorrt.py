"""What the engines ``tensorrt`` and ``tensorrt_rtx`` share: a serialized engine, run on a stream of its own.

    batch ─ upload ─► device ─ execute ─► device ─ download ─► pinned rows
           └────────── one stream, waited for at the end ──────────┘

Both libraries have one interface, here called `trt`: the module `tensorrt` (10.3 or later) or `tensorrt_rtx`. What
needs no device (which profile, whether an engine fits the box, what the library said) stands in functions of its own,
and is tested. **What speaks to a device was not run on one**; its names are held to the real modules by a test.
"""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.artifact.manifest import Batch, Manifest
from reidkit.runtime.engines._cuda import CudaDevice, compute_capability, cuda_runtime, device_index, no_device
from reidkit.runtime.engines.engine import EngineBase
from reidkit.runtime.errors import EngineFailure, EngineNotBuilt, InvalidInput, MissingDependency, TargetUnavailable

DLA_CORE = "dla_core"
"""Key of a manifest's toolchain: the deep learning accelerator that the engine was built for. It takes one batch size,
to which others are filled up."""


class Profile(NamedTuple):
    """Batch sizes that one optimization profile takes, and the one it is fastest at."""

    least: int
    best: int
    most: int


def profiles(batch: Batch, *, fixed: bool = False) -> list[Profile]:
    """The optimization profiles of an engine that takes these batch sizes, or of a `fixed` one their maximum alone.

    A dynamic batch is one profile: its buckets are the least and the best size, by default 1 and the maximum, then the
    maximum. Otherwise each bucket is a profile of its own.

    Raises:
        InvalidInput: a dynamic batch has more than three buckets, or some beyond its maximum.
    """
    if fixed:
        return [Profile(batch.max, batch.max, batch.max)]
    if not batch.dynamic:
        return [Profile(bucket, bucket, bucket) for bucket in batch.buckets]
    sizes = batch.buckets or [1, batch.max]
    if len(sizes) > 3 or sizes[-1] > batch.max:
        raise InvalidInput(
            f"batch sizes {sizes} up to {batch.max} are no optimization profile", remedy="give MIN,OPT,MAX, ascending"
        )
    return [Profile(sizes[0], sizes[min(1, len(sizes) - 1)], batch.max)]


def choose(among: Sequence[Profile], count: int) -> tuple[int, int]:
    """The profile to run `count` crops with, and to how many they are filled up: as few as can be.

    At least one profile takes as many.
    """
    return min(
        ((index, max(count, profile.least)) for index, profile in enumerate(among) if count <= profile.most),
        key=lambda choice: choice[1],
    )


def this_box(library: str, trt: ModuleType, capability: str) -> dict[str, str]:
    """What a serialized engine is bound to, as the manifest's toolchain records it."""
    system = f"{platform.system()}-{platform.machine()}".lower()
    return {library: trt.__version__, "compute_capability": capability, "system": system}


def expect_fit(manifest: Manifest, here: Mapping[str, str], folder: Path, *, device: str = "auto") -> None:
    """Hold the engine in `folder` to this box. A + in the manifest's toolchain stands for any later version too.

    Args:
        manifest: what it was built for.
        here: `this_box`.
        folder: for the message.
        device: likewise.

    Raises:
        EngineNotBuilt: the library or the device is another; the message names both.
    """
    built = manifest.toolchain
    changed = [
        f"{what.replace('_', ' ')} {built.get(what, 'unknown')}, here it is {found}"
        for what, found in here.items()
        if not any(_takes(version, found) for version in built.get(what, "").split())
    ]
    if changed:
        where = "" if device == "auto" else f" --device {device}"
        raise EngineNotBuilt(
            f"the engine of {manifest.name} was built for {' and for '.join(changed)}",
            remedy=f"build it here with reidkit build {folder}{where}, or export it again on this box",
        )


def _takes(version: str, found: str) -> bool:
    if not version.endswith("+"):
        return version == found
    return _numbers(found) >= _numbers(version[:-1])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


class VendorLog:
    """What the library said went wrong, the last of it. A library has one log a process, that of its first object."""

    def __init__(self, trt: ModuleType) -> None:
        said: deque[str] = deque(maxlen=20)
        errors = (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR)

        class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
            def log(self, severity: Any, message: str) -> None:
                if severity in errors:
                    said.append(" ".join(message.split()))

        self.logger = Logger()
        self._said = said

    def take(self) -> str:
        """The errors since the last time, on one line."""
        said = "; ".join(dict.fromkeys(self._said))
        self._said.clear()
        return said or "it gave no reason"


@cache
def vendor_log(trt: ModuleType) -> VendorLog:
    """The process's log of one library."""
    return VendorLog(trt)


class TensorRtBase(EngineBase):
    """A serialized engine of TensorRT or TensorRT-RTX. **Not run on a device**.

    Devices are ``auto`` and ``cuda``, the first, and ``cuda:1`` and so on. `threads` means nothing here.

    Attributes:
        library: name of the vendor's module, and of the extra that brings it.
    """

    runs_native_code = True
    library: ClassVar[str]

    @classmethod
    def available(cls) -> str | None:
        """Why it can run nothing here, None where nothing is known against it."""
        return no_device() if find_spec(cls.library) else f"{cls.library} is not installed"

    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        index = device_index(device, engine=self.library)
        self.device = f"cuda:{index}"
        purpose = f"Opening {self.manifest.name}"
        try:
            trt = import_module(self.library)
        except ModuleNotFoundError as error:
            raise MissingDependency(self.library, extra=self.library, purpose=purpose) from error
        cuda = cuda_runtime(extra=self.library, purpose=purpose)
        if reason := no_device():
            raise TargetUnavailable(
                f"{self.manifest.name} cannot run here: {reason}", remedy="open it on the box it is for"
            )
        expect_fit(self.manifest, this_box(self.library, trt, compute_capability(cuda, index)), folder, device=device)
        plan = read_checked(folder, self.manifest, self.manifest.engine_file)
        self._cuda = CudaDevice(cuda, index)
        try:
            self._prepare(trt, deserialized(trt, plan, self.manifest.toolchain, name=self.manifest.name))
        except BaseException:
            self._cuda.close()
            raise

    def _prepare(self, trt: ModuleType, engine: Any) -> None:
        """Device memory for the largest batch, and one execution context a profile."""
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        tensors = {
            mode: [
                (name, np.dtype(trt.nptype(engine.get_tensor_dtype(name))), _sizes(engine.get_tensor_shape(name)))
                for name in names
                if engine.get_tensor_mode(name) == mode
            ]
            for mode in (trt.TensorIOMode.INPUT, trt.TensorIOMode.OUTPUT)
        }
        inputs, outputs = tensors.values()
        self._expect_tensors([(str(dtype), sizes) for _, dtype, sizes in inputs], [sizes for *_, sizes in outputs])
        (self._input, dtype, _), (output, rows_dtype, _) = inputs[0], outputs[0]
        self._crops_address = self._cuda.memory(self.max_batch * prod(self._crop_shape) * dtype.itemsize)
        self._rows = self._cuda.pinned((self.max_batch, self.embedding_dim), rows_dtype)
        self._rows_address = self._cuda.memory(self._rows.nbytes)
        self._engine = engine
        self._profiles = profiles(self.manifest.batch, fixed=DLA_CORE in self.manifest.toolchain)
        self._contexts = [self._context(trt, index, output) for index in range(len(self._profiles))]
        self._cuda.synchronize()  # a profile is in force once the stream has come past it

    def _context(self, trt: ModuleType, profile: int, output: str) -> Any:
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineFailure(f"no memory to run {self.manifest.name}: {vendor_log(trt).take()}")
        if not (
            context.set_optimization_profile_async(profile, self._cuda.stream)
            and context.set_tensor_address(self._input, self._crops_address)
            and context.set_tensor_address(output, self._rows_address)
        ):
            raise EngineFailure(f"{self.library} refuses {self.manifest.name}: {vendor_log(trt).take()}")
        return context

    def batch_memory(self, count: int) -> NDArray[Any]:
        """Pinned memory for `count` crops, which the device reads by itself; it may outlive the engine."""
        return self._cuda.pinned((count, *self._crop_shape), self._dtype)

    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        count = len(batch)
        profile, size = choose(self._profiles, count)
        context = self._contexts[profile]
        self._cuda.use()
        self._cuda.upload(batch, self._crops_address)  # beyond its rows lies what was there before, and is not read
        if not (
            context.set_input_shape(self._input, (size, *self._crop_shape))
            and context.execute_async_v3(self._cuda.stream)
        ):
            said = vendor_log(import_module(self.library)).take()
            raise EngineFailure(f"{self.library} failed on {size} crops of {self.manifest.name}: {said}")
        self._cuda.download(self._rows_address, self._rows[:count])
        self._cuda.synchronize()
        return self._rows[:count]

    def _release(self) -> None:
        del self._contexts, self._engine, self._rows
        self._cuda.close()


def deserialized(trt: ModuleType, plan: bytes, toolchain: Mapping[str, str], *, name: str) -> Any:
    """The engine in the bytes `plan`, which must be trusted.

    Raises:
        EngineFailure: the library does not take them; with its reason and both versions.
    """
    library = trt.__name__
    log = vendor_log(trt)
    runtime = trt.Runtime(log.logger)
    if DLA_CORE in toolchain:
        runtime.DLA_core = int(toolchain[DLA_CORE])
    # An engine for later versions brings a small runtime of its own.
    runtime.engine_host_code_allowed = toolchain.get(library, "").endswith("+")
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineFailure(
            f"{library} {trt.__version__} refuses {name}, built with {toolchain.get(library, 'an unknown version')}: "
            f"{log.take()}",
            remedy="build it here with reidkit build, or export it again on this box",
        )
    return engine


def _sizes(shape: Sequence[int]) -> list[int | None]:
    """A shape whose open sizes, -1, are None."""
    return [None if size < 0 else size for size in shape]

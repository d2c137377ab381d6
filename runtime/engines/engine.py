"""What an engine is, and all that engines share: crops in, embeddings out, nothing wrong in between.

A library's file says how it loads a model and how it runs one batch; `EngineBase` holds the input to the manifest,
cuts what is larger than a batch, normalises in float32, and refuses to hand out what is not finite.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, ClassVar, Literal, NoReturn, Protocol, TypeGuard, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.engines._cropping import Picture, crop_shape, cut
from reidkit.runtime.errors import ArtifactInvalid, EngineFailure, InvalidInput, NonFiniteEmbedding
from reidkit.runtime.native import make_unit
from reidkit.runtime.native.memory import aligned_empty

Color = Literal["bgr", "rgb"]
Embeddings = NDArray[np.float32]
_Self = TypeVar("_Self", bound="EngineBase")
MOST_THREADS = 1024


class Engine(Protocol):
    """An open artifact: a context manager that turns crops into embeddings."""

    @property
    def manifest(self) -> Manifest:
        """What the artifact says about itself."""

    @property
    def embedding_dim(self) -> int:
        """Width D of an embedding."""

    @property
    def max_batch(self) -> int:
        """Crops the library sees at once; longer batches are cut."""

    @property
    def device(self) -> str:
        """What it really runs on."""

    @property
    def execution(self) -> Mapping[str, Any]:
        """What else is known of how it runs; see `EngineBase.execution`."""

    def embed(self, batch: NDArray[Any], *, normalize: bool = True, out: Embeddings | None = None) -> Embeddings:
        """Embeddings of ready input tensors; see `EngineBase.embed`."""

    def embed_crops(self, frame: Picture, boxes_xyxy: ArrayLike, *, color: Color = "bgr") -> Embeddings:
        """Unit embeddings of boxes in a frame; see `EngineBase.embed_crops`."""

    def cut(self, frame: Picture, boxes_xyxy: ArrayLike, *, color: Color = "bgr") -> NDArray[Any]:
        """The input tensor of boxes in a frame; see `EngineBase.cut`."""

    def batch_memory(self, count: int) -> NDArray[Any]:
        """Memory for an input tensor; see `EngineBase.batch_memory`."""

    def close(self) -> None:
        """Give the library's memory back."""

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def is_count(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, Python's or NumPy's."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


class EngineBase(ABC):
    """An `Engine` but for the library: a subclass loads the model and implements `_run` and `_release`.

    Threads may share an engine: calls are served one after another.

    Attributes:
        device: what it really runs on, ``"cpu"`` unless `_load` says otherwise.
        execution: what else a library tells of how it runs, for summaries in JSON; empty unless `_load` fills it.
        sizes_to_prove: batch sizes at which the golden crops have to pass on this box, where a library has other code
            for each and is known to get it wrong; otherwise they pass all at once.
        runs_native_code: whether opening an artifact executes code from it, as a serialized TensorRT engine does;
            such artifacts open only when trusted.
    """

    runs_native_code: ClassVar[bool] = False

    @classmethod
    def available(cls) -> str | None:
        """Why it can run nothing here, None where nothing is known against it."""
        return None

    def __init__(self, manifest: Manifest, folder: Path, *, device: str, threads: int | None) -> None:
        if threads is not None and not (is_count(threads) and 1 <= threads <= MOST_THREADS):
            raise InvalidInput(
                f"threads={threads!r}", remedy=f"give 1 to {MOST_THREADS}, or None for the library's choice"
            )
        self.manifest = manifest
        self.embedding_dim = manifest.embedding.dim
        self.max_batch = manifest.batch.max
        self._crop_shape = crop_shape(manifest.preprocessing)
        self._dtype = np.dtype(manifest.preprocessing.dtype)
        self.device = "cpu"
        self.execution: dict[str, Any] = {}
        self.sizes_to_prove: Sequence[int] = ()
        self._closed = False
        self._lock = Lock()
        self._load(folder, device=device, threads=threads)

    @abstractmethod
    def _load(self, folder: Path, *, device: str, threads: int | None) -> None:
        """Open the engine file, by the bytes that `read_checked` returns; call `_expect_tensors` on what it holds."""

    @abstractmethod
    def _run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """The library's answer, (n, D), to a C-contiguous `batch`; may be its memory, valid until the next call."""

    @abstractmethod
    def _release(self) -> None:
        """Give the library's memory back."""

    def embed(self, batch: NDArray[Any], *, normalize: bool = True, out: Embeddings | None = None) -> Embeddings:
        """Embeddings of ready input tensors, (N, D) float32.

        Args:
            batch: (N, 3, H, W) or (N, H, W, 3) as the manifest's layout says, in its size, dtype and colour order;
                N may be 0 or larger than `max_batch`.
            normalize: divide each row by its L2 norm; without it the network's answer comes as it is (of unit length
                already where the manifest says that the graph normalises).
            out: (N, D) float32, C-contiguous, to write into and return. After an error its content is undefined.

        Raises:
            InvalidInput: `batch` or `out` has another shape or dtype.
            NonFiniteEmbedding: the library returned NaN or infinity.
            EngineFailure: the library failed, a row has no direction to normalise, or the engine is closed.
        """
        try:
            batch = np.asarray(batch)
        except (TypeError, ValueError, RuntimeError, BufferError) as error:
            raise InvalidInput(f"a {type(batch).__name__} is no batch: {error}", remedy="give an array") from error
        if batch.ndim != 4 or batch.shape[1:] != self._crop_shape or batch.dtype != self._dtype:
            raise InvalidInput(
                f"{self.manifest.name} embeds batches of {self._dtype} (N, {', '.join(map(str, self._crop_shape))}), "
                f"found {batch.dtype} {batch.shape}"
            )
        embeddings = self._room_for(len(batch), out)
        with self._lock:
            self._expect_open()
            for start in range(0, len(batch), self.max_batch):
                rows = slice(start, start + self.max_batch)
                embeddings[rows] = self._answer(batch[rows])
        return self._finished(embeddings, normalize=normalize)

    def embed_crops(self, frame: Picture, boxes_xyxy: ArrayLike, *, color: Color = "bgr") -> Embeddings:
        """Embeddings of unit length of boxes in a frame, (N, D) float32; arguments and errors of `cut` and `embed`."""
        return self.embed(self.cut(frame, boxes_xyxy, color=color))

    def cut(self, frame: Picture, boxes_xyxy: ArrayLike, *, color: Color = "bgr") -> NDArray[Any]:
        """The input tensor of boxes in a frame, ready for `embed`.

        Boxes are clipped to the frame and cut to whole pixels as BoT-SORT does.

        Args:
            frame: (H, W, 3) uint8, or (H, W) grey; any strides. Or a `YuvFrame`, which knows its colours.
            boxes_xyxy: (N, 4) corners in pixels.
            color: order of the frame's channels; the engine's own is the manifest's affair.

        Raises:
            InvalidInput: `frame` or `boxes_xyxy` has another shape or dtype, a box has no pixel in the frame, or there
                is no such `color`.
        """
        self._expect_open()
        return cut(self.manifest.preprocessing, frame, boxes_xyxy, color=color)

    def batch_memory(self, count: int) -> NDArray[Any]:
        """Room for `count` crops, which `embed` reads where it lies; it may outlive the engine.

        Uninitialised, beginning at a cache line. An engine that moves batches to a device overrides this with memory
        that the device reads. Raises `InvalidInput` if `count` is no whole number from 0.
        """
        if not (is_count(count) and count >= 0):
            raise InvalidInput(f"batch_memory({count!r})", remedy="give a whole number of crops, from 0")
        return aligned_empty((count, *self._crop_shape), self._dtype)

    def close(self) -> None:
        """Give the library's memory back; to be called twice does no harm."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._release()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _expect_open(self) -> None:
        if self._closed:
            raise EngineFailure(f"{self.manifest.name} is closed", remedy="open it again with open_artifact")

    def _expect_tensors(
        self, inputs: Sequence[tuple[str, Sequence[int | None]]], outputs: Sequence[Sequence[int | None]]
    ) -> None:
        """Hold the model's own tensors to the manifest.

        Args:
            inputs: dtype and shape of each; None stands for a size that the model leaves open.
            outputs: shape of each.
        """
        batch = self.manifest.batch
        sizes = [None] if batch.dynamic else [*batch.buckets, None]
        crops = [(str(self._dtype), [size, *self._crop_shape]) for size in sizes]
        embeddings = [[size, dim] for size in sizes for dim in (self.embedding_dim, None)]
        if len(inputs) != 1 or (inputs[0][0], list(inputs[0][1])) not in crops:
            self._refuse_tensors(
                "takes", [f"{dtype} {list(shape)}" for dtype, shape in inputs], "{} {}".format(*crops[0])
            )
        if len(outputs) != 1 or list(outputs[0]) not in embeddings:
            self._refuse_tensors("gives", [f"{list(shape)}" for shape in outputs], f"{embeddings[0]}")

    def _refuse_tensors(self, verb: str, found: list[str], expected: str) -> NoReturn:
        raise ArtifactInvalid(
            f"the model in {self.manifest.name} {verb} {' and '.join(found)}, its manifest says {expected}",
            remedy="export the artifact again",
        )

    def _answer(self, batch: NDArray[Any]) -> NDArray[Any]:
        """The library's rows for at most `max_batch` crops, padded on the way where it takes fixed sizes only."""
        count = len(batch)
        if not self.manifest.batch.dynamic:
            size = min(size for size in self.manifest.batch.buckets if size >= count)
            batch = np.concatenate([batch, np.zeros((size - count, *self._crop_shape), self._dtype)])
        answer = self._run(np.ascontiguousarray(batch))
        if answer.shape != (len(batch), self.embedding_dim):
            raise EngineFailure(
                f"{self.manifest.name} answered {len(batch)} crops with an array of shape {answer.shape}, "
                f"not {(len(batch), self.embedding_dim)}",
                remedy="this library cannot run this artifact on this box: export it for another target",
            )
        return answer[:count]

    def _room_for(self, count: int, out: Embeddings | None) -> Embeddings:
        shape = (count, self.embedding_dim)
        if out is None:
            return np.empty(shape, np.float32)
        if not isinstance(out, np.ndarray):
            raise InvalidInput(f"out must be a NumPy array, found a {type(out).__name__}")
        if out.shape != shape or out.dtype != np.float32 or not out.flags.carray:
            raise InvalidInput(
                f"out must be writable, C-contiguous float32 {shape}, found {out.dtype} {out.shape} {out.strides}"
            )
        return out

    def _finished(self, embeddings: Embeddings, *, normalize: bool) -> Embeddings:
        """Checked, and normalised in place where that is asked for and the graph has not done it."""
        divide = normalize and self.manifest.embedding.l2 == "runtime"
        if not make_unit(embeddings, divide):
            self._expect_lengths(embeddings, zero_is_one=not divide)
        return embeddings

    def _expect_lengths(self, embeddings: Embeddings, *, zero_is_one: bool) -> None:
        lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1)
        if not (finite := np.isfinite(lengths)).all():
            raise NonFiniteEmbedding(np.flatnonzero(~finite), artifact=self.manifest.name)
        if not zero_is_one:
            rows = ", ".join(map(str, np.flatnonzero(lengths == 0)[:8]))
            raise EngineFailure(
                f"{self.manifest.name} returned embeddings of length zero for crops {rows}",
                remedy="do not track with it; export it again and look at its parity report",
            )

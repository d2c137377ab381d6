"""A weights file, read without running any code that may be in it."""

from __future__ import annotations

import errno
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reidkit.runtime.artifact.digests import sha256_of
from reidkit.runtime.errors import InvalidCheckpoint, MissingDependency

WRAPPERS = ("state_dict", "model")
"""Keys under which training programs put the state dict beside the optimizer, the epoch and the like."""

PARALLEL_PREFIX = "module."
"""What `torch.nn.DataParallel` writes before every key."""

_DAMAGED = (RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, AssertionError, struct.error)
"""What torch.load raises on bytes that are not a checkpoint, found by feeding it truncated and altered ones."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tensors of a weights file by key, with wrappers and the prefix of parallel training taken off.

    Attributes:
        path: where it was read from.
        sha256: digest of the file.
        tensors: at least one tensor, on the CPU, in the order of the file.
    """

    path: Path
    sha256: str
    tensors: dict[str, Tensor]

    @staticmethod
    def read(path: Path) -> Checkpoint:
        """Read `.pt`, `.pth`, `.pth.tar` or `.safetensors`.

        Raises:
            InvalidCheckpoint: there is no such file, it is no checkpoint, it holds code, or no state dict.
            MissingDependency: a `.safetensors` file without that library.
        """
        if not path.exists():
            raise InvalidCheckpoint(f"there is no weights file {path}")
        if not path.is_file():
            raise InvalidCheckpoint(f"{path} is not a file", remedy="name the weights file itself")
        if path.stat().st_size == 0:
            raise InvalidCheckpoint(f"{path} is empty", remedy="download or copy it again")
        try:
            content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
            return Checkpoint(path, sha256_of(path), _state_dict(content, path))
        except OSError as error:
            raise InvalidCheckpoint(f"{path} cannot be read ({error.strerror or error})") from error


def _read_safetensors(path: Path) -> object:
    if find_spec("safetensors") is None:
        raise MissingDependency("safetensors", extra="export", purpose=f"Reading {path.name}")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise InvalidCheckpoint(f"{path} is not a safetensors file ({error})") from error


def _read_pickle(path: Path) -> object:
    # torchreid's training saves the rank-1 score as a NumPy scalar; NumPy 1 and 2 call what rebuilds it differently.
    scalar = np.float64(0).__reduce__()[0]
    aliases = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    harmless: list[Any] = [np.dtype, type(np.dtype(np.float32)), type(np.dtype(np.float64)), *aliases]
    try:
        with torch.serialization.safe_globals(harmless):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" not in str(error):
            raise InvalidCheckpoint(f"{path} is not a PyTorch checkpoint") from error
        raise InvalidCheckpoint(
            f"{path} holds more than tensors, and unpickling it could run code",
            remedy="where you trust it, save its state_dict alone: torch.save(model.state_dict(), …)",
        ) from error
    except _DAMAGED as error:
        raise _damaged(path) from error
    except OSError as error:  # its reader of zip files seeks to before the beginning of one that is cut off
        if error.errno != errno.EINVAL:
            raise
        raise _damaged(path) from error


def _damaged(path: Path) -> InvalidCheckpoint:
    return InvalidCheckpoint(
        f"{path} is not a PyTorch checkpoint, or it is damaged", remedy="download or copy it again"
    )


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """The tensors by key. Every entry of a state dict is a tensor; anything else is refused by name."""
    for wrapper in (*WRAPPERS, *WRAPPERS):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise InvalidCheckpoint(f"{path} holds a {type(content).__name__} and no state dict")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise InvalidCheckpoint(
                f"{path} holds no state dict: its entry {key!r} is a {type(value).__name__}, not a tensor"
            )
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise InvalidCheckpoint(
                f"{path}: {key} is sparse, quantized or without values", remedy="save plain tensors"
            )
    tensors: dict[str, Tensor] = dict(content)
    while all(key.startswith(PARALLEL_PREFIX) for key in tensors):
        tensors = {key.removeprefix(PARALLEL_PREFIX): tensor for key, tensor in tensors.items()}
    return tensors

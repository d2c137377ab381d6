"""Files of a training: its last state, from which it resumes, and the weights it ends with."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.video.publication import whole_file


class State:
    """The checkpoint of one training.

    Args:
        path: of the file.
        identity: of the training: what must not change between its parts.
    """

    def __init__(self, path: Path, *, identity: str) -> None:
        self._path = path
        self._identity = identity

    def read(self, *, resume: bool) -> dict[str, Any] | None:
        """What was written last, None for a new training.

        Raises:
            InvalidInput: there is an unfinished training and nobody asked for it, or it is another one.
            InvalidFile: the file is damaged.
        """
        if not self._path.exists():
            return None
        if not resume:
            raise InvalidInput(
                f"{self._path} holds an unfinished training", remedy="continue it with --resume, or remove it"
            )
        try:
            content: dict[str, Any] = torch.load(self._path, weights_only=True)
            same = content["identity"] == self._identity
        except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, LookupError, TypeError, ValueError) as error:
            raise InvalidFile(f"{self._path} is damaged", remedy="remove it and start again") from error
        if not same:
            raise InvalidInput(
                f"{self._path} holds the training of another student, teacher, set of crops or settings",
                remedy="resume with the same ones, or remove it",
            )
        return content

    def write(self, content: dict[str, Any]) -> None:
        """Replace what was written last. Raises `InvalidFile` where it cannot be written."""
        buffer = io.BytesIO()  # torch's own writer turns a full disk into a RuntimeError without a number
        torch.save({**content, "identity": self._identity}, buffer)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self._path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def remove(self) -> None:
        """Forget the training."""
        self._path.unlink(missing_ok=True)


def half_precision(module: nn.Module) -> dict[str, Tensor]:
    """The weights as float16, without the counters that inference never reads.

    Raises:
        InvalidInput: a weight is beyond float16.
    """
    floats = {key: tensor for key, tensor in module.state_dict().items() if tensor.is_floating_point()}
    halves = {key: tensor.detach().half().contiguous() for key, tensor in floats.items()}
    if spoilt := [key for key, tensor in halves.items() if not tensor.isfinite().all()]:
        raise InvalidInput(f"{len(spoilt)} tensors do not fit into float16 ({spoilt[0]})", remedy="train again")
    return halves


def write_weights(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file, whole or not at all. Raises `InvalidFile` where it cannot be written."""
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(save(tensors))

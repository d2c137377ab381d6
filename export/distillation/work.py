"""Files of a training: its last state, from which it resumes, and the weights it ends with.

One process at a time works on them: the folder of work is locked with `flock`, which ends with its process.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.files import sole_use, whole_file


@contextmanager
def workplace(folder: Path) -> Iterator[None]:
    """The folder of work is this process's alone for the duration of a `with` block, and gone after it if empty.

    Errors as of `sole_use`.
    """
    with sole_use(folder):
        try:
            yield
        finally:
            with suppress(OSError):
                folder.rmdir()


class State:
    """The checkpoint of one training.

    Args:
        path: of the file.
        identity: of the training: what must not change between its parts.
    """

    def __init__(self, path: Path, *, identity: str) -> None:
        self._path = path
        self._identity = identity

    def read(self) -> dict[str, Any] | None:
        """What was written last, None for a new training.

        Raises:
            InvalidInput: it is another training.
            InvalidFile: the file is damaged.
        """
        if not self._path.exists():
            return None
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


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: none takes its name before the disk has all.

    Raises `InvalidFile` where one cannot be written.
    """
    with ExitStack() as stack:
        for path, content in contents.items():
            stack.enter_context(whole_file(path)).write_bytes(content)

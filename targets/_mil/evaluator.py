"""What a saved MIL program says, computed operator by operator: each answer rounded to the type that it declares.

    package ─ coremltools' own loader ─ constants, steps ─ torch in float32 ─ rounded to fp16 after every operator

So the numbers are those of the file, its weights and types included, and not those of what was converted. Products add
up in float32 and are rounded then; in what a device adds up, in which order, and what it fuses, stays its affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidkit.runtime.errors import ExportFailure
from reidkit.targets._mil.operators import OPERATORS


@dataclass(frozen=True, slots=True)
class _Step:
    """One operator.

    Attributes:
        kind: MIL's name of it.
        name: its own, for messages.
        inputs: names of values, and lists of them, by the operator's names.
        outputs: name and declared type of each.
        spent: names of values that nobody reads afterwards.
    """

    kind: str
    name: str
    inputs: Mapping[str, str | list[str]]
    outputs: tuple[tuple[str, str], ...]
    spent: frozenset[str]


class Evaluator:
    """A function of a MIL program, ready to be computed."""

    def __init__(self, function: Any) -> None:
        """Take a `coremltools` MIL function of one input and one output."""
        from coremltools.converters.mil.mil import types

        (self._input,) = function.inputs
        (self._output,) = (output.name for output in function.outputs)
        self._constants: dict[str, Any] = {}
        operations = []
        for operation in function.operations:
            if operation.op_type == "const":
                (output,) = operation.outputs
                self._constants[output.name] = _constant(output.val)
            else:
                operations.append(operation)
        inputs = [
            {name: _names(value) for name, value in operation.inputs.items() if value is not None}
            for operation in operations
        ]
        last = {name: step for step, given in enumerate(inputs) for value in given.values() for name in _flat(value)}
        last[self._output] = len(operations)
        self._steps = [
            _Step(
                operation.op_type,
                operation.name,
                given,
                tuple((output.name, types.builtin_to_string(output.dtype)) for output in operation.outputs),
                frozenset(name for value in given.values() for name in _flat(value) if last[name] == step),
            )
            for step, (operation, given) in enumerate(zip(operations, inputs, strict=True))
        ]

    def __call__(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """(N, 3, H, W) grey levels in any type -> (N, D) float32.

        Raises:
            ExportFailure: an operator, or a way to use it, is not known here.
        """
        values: dict[str, Any] = {**self._constants, self._input: torch.from_numpy(images.astype(np.float32))}
        with torch.inference_mode():
            for step in self._steps:
                if step.kind not in OPERATORS:
                    raise ExportFailure(
                        f"Core ML's program has the operator {step.kind}, whose numbers cannot be checked here",
                        remedy="build it on a Mac, where Core ML itself is asked, or for another target",
                    )
                given = {
                    name: [values[one] for one in value] if isinstance(value, list) else values[value]
                    for name, value in step.inputs.items()
                }
                try:
                    answer = OPERATORS[step.kind](**given)
                except (NotImplementedError, RuntimeError, TypeError) as error:
                    reason = str(error).partition("\n")[0]
                    raise ExportFailure(
                        f"operator {step.kind} {step.name} of Core ML's program cannot be computed here ({reason})"
                    ) from error
                answers = answer if isinstance(answer, tuple) else (answer,)
                for (name, kind), value in zip(step.outputs, answers, strict=True):
                    values[name] = _ROUNDED[kind](value)
                for name in step.spent:
                    values.pop(name)
        embeddings: NDArray[np.float32] = values[self._output].numpy()
        return embeddings


_ROUNDED: Mapping[str, Callable[[Tensor], Tensor]] = {
    "fp16": lambda value: value.half().float(),
    "fp32": lambda value: value.float(),
    "int32": lambda value: value.to(torch.int32),
    "bool": lambda value: value.bool(),
}
"""What is left of a value in a declared type."""


def _constant(value: Any) -> Any:
    """A constant as the operators take it: numbers as tensors, halves as float32, all else as it is."""
    if isinstance(value, (str, bool, np.bool_)):
        return bool(value) if isinstance(value, np.bool_) else value
    array = np.asarray(value)
    return torch.from_numpy(np.array(array, np.float32 if array.dtype == np.float16 else array.dtype))


def _names(value: Any) -> str | list[str]:
    return [one.name for one in value] if isinstance(value, (tuple, list)) else value.name


def _flat(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]

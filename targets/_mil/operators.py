"""Operators of Core ML's intermediate language (MIL), each in a line or two of torch.

A function takes the operator's inputs by MIL's own names, as tensors, and whatever is no number (a padding type) as
Python has it. Halves come and go as float32: `Evaluator` rounds what leaves an operator to its declared type. Meanings
are those of coremltools' definitions up to iOS 16, https://apple.github.io/coremltools (MIL ops).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def conv(
    *,
    x: Tensor,
    weight: Tensor,
    strides: Tensor,
    pad_type: str,
    pad: Tensor,
    dilations: Tensor,
    groups: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    """A convolution over pictures, (N, C, H, W)."""
    padded = F.pad(x, _around(pad_type, pad))
    return F.conv2d(padded, weight, bias, strides.tolist(), 0, dilations.tolist(), int(groups))


def max_pool(
    *, x: Tensor, kernel_sizes: Tensor, strides: Tensor, pad_type: str, pad: Tensor, ceil_mode: bool
) -> Tensor:
    """The largest of each window, padding never among them."""
    return F.max_pool2d(x, kernel_sizes.tolist(), strides.tolist(), _alike(pad_type, pad), ceil_mode=ceil_mode)


def avg_pool(
    *,
    x: Tensor,
    kernel_sizes: Tensor,
    strides: Tensor,
    pad_type: str,
    pad: Tensor,
    exclude_padding_from_average: bool,
    ceil_mode: bool,
) -> Tensor:
    """The mean of each window."""
    return F.avg_pool2d(
        x,
        kernel_sizes.tolist(),
        strides.tolist(),
        _alike(pad_type, pad),
        ceil_mode=ceil_mode,
        count_include_pad=not exclude_padding_from_average,
    )


def batch_norm(*, x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor, epsilon: Tensor) -> Tensor:
    """Each channel by the deviation of a whole training."""
    return F.batch_norm(x, mean, variance, gamma, beta, eps=float(epsilon))


def instance_norm(*, x: Tensor, gamma: Tensor, beta: Tensor, epsilon: Tensor) -> Tensor:
    """Each channel of each picture by its own deviation."""
    return F.instance_norm(x, weight=gamma, bias=beta, eps=float(epsilon))


def layer_norm(*, x: Tensor, axes: Tensor, gamma: Tensor, beta: Tensor, epsilon: Tensor) -> Tensor:
    """The last axes by their own deviation."""
    trailing = sorted(axis % x.ndim for axis in axes.tolist())
    if trailing != list(range(x.ndim - len(trailing), x.ndim)):
        raise NotImplementedError(f"layer_norm over axes {trailing} of {x.ndim}")
    return F.layer_norm(x, x.shape[trailing[0] :], gamma, beta, eps=float(epsilon))


def matmul(*, x: Tensor, y: Tensor, transpose_x: bool, transpose_y: bool) -> Tensor:
    """A product of matrices, the last two axes."""
    return (x.mT if transpose_x else x) @ (y.mT if transpose_y else y)


def gelu(*, x: Tensor, mode: str) -> Tensor:
    """Gauss' error function as activation, or its approximation."""
    modes = {"EXACT": "none", "TANH_APPROXIMATION": "tanh"}
    if mode not in modes:
        raise NotImplementedError(f"gelu in mode {mode}")
    return F.gelu(x, approximate=modes[mode])


def concat(*, values: list[Tensor], axis: Tensor, interleave: bool) -> Tensor:
    """Tensors one after another, or their slices in turn; of shapes too, whose scalars count as one element."""
    along = int(axis) % max(values[0].ndim, 1)
    if interleave:
        return torch.stack(values, along + 1).flatten(along, along + 1)
    return torch.cat([value if value.ndim else value[None] for value in values], along)


def split(
    *, x: Tensor, axis: Tensor, split_sizes: Tensor | None = None, num_splits: Tensor | None = None
) -> tuple[Tensor, ...]:
    """The pieces along an axis."""
    if split_sizes is None:
        return torch.tensor_split(x, int(num_splits), int(axis))  # type: ignore[arg-type]  # one of them is there
    return torch.split(x, split_sizes.tolist(), int(axis))


def slice_by_index(
    *,
    x: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> Tensor:
    """A slice of each axis as Python has it; a mask stands for the axis' own beginning or end, or drops the axis."""

    def masked(mask: Tensor | None) -> list[bool]:
        return [False] * x.ndim if mask is None else mask.tolist()

    steps = [1] * x.ndim if stride is None else stride.tolist()
    if min(steps) < 1:
        raise NotImplementedError(f"slice_by_index with steps of {steps}")
    starts = [None if skip else at for at, skip in zip(begin.tolist(), masked(begin_mask), strict=True)]
    stops = [None if skip else at for at, skip in zip(end.tolist(), masked(end_mask), strict=True)]
    index: list[Any] = []
    for start, stop, step, drop in zip(starts, stops, steps, masked(squeeze_mask), strict=True):
        index.append((start or 0) if drop else slice(start, stop, step))
    return x[tuple(index)]


def gather(*, x: Tensor, indices: Tensor, axis: Tensor, batch_dims: Tensor, validate_indices: bool = False) -> Tensor:
    """Elements of an axis by their positions."""
    if int(batch_dims):
        raise NotImplementedError("gather with axes of a batch")
    at, along = indices.long(), int(axis) % x.ndim
    taken = torch.index_select(x, along, at.reshape(-1))
    return taken.reshape((*x.shape[:along], *at.shape, *x.shape[along + 1 :]))


def reshape(*, x: Tensor, shape: Tensor) -> Tensor:
    """Another shape; 0 stands for the axis as it is."""
    sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape.tolist())]
    return x.reshape(sizes)


def squeeze(*, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Without those axes, which are of size 1."""
    return x.squeeze() if axes is None else x.squeeze(tuple(axes.tolist()))


def expand_dims(*, x: Tensor, axes: Tensor) -> Tensor:
    """With axes of size 1 at those places of the result."""
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def constexpr_affine_dequantize(*, quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: Tensor) -> Tensor:
    """Weights of small integers: ``(q - zero point) · scale``, one of each for every channel along `axis`."""
    channels = [1] * quantized_data.ndim
    channels[int(axis)] = -1
    # A single one of them may be for all channels.
    return (quantized_data.float() - zero_point.float().reshape(channels)) * scale.reshape(channels)


def _around(pad_type: str, pad: Tensor) -> list[int]:
    """Padding of a picture as `F.pad` has it: left, right, top, bottom."""
    if pad_type not in ("custom", "valid"):
        raise NotImplementedError(f"padding of type {pad_type}")
    top, bottom, left, right = pad.tolist() if pad_type == "custom" else [0] * 4
    return [left, right, top, bottom]


def _alike(pad_type: str, pad: Tensor) -> tuple[int, int]:
    """Padding of a picture that is the same on opposite sides: vertical, horizontal."""
    left, right, top, bottom = _around(pad_type, pad)
    if left != right or top != bottom:
        raise NotImplementedError(f"pooling with unequal padding {pad.tolist()}")
    return top, left


def _axes(axes: Tensor | None) -> list[int] | None:
    return None if axes is None else axes.tolist()


OPERATORS: dict[str, Callable[..., Any]] = {
    # products
    "conv": conv,
    "linear": lambda *, x, weight, bias=None: F.linear(x, weight, bias),
    "matmul": matmul,
    # norms and pools
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "max_pool": max_pool,
    "avg_pool": avg_pool,
    # activations
    "relu": lambda *, x: torch.relu(x),
    "relu6": lambda *, x: F.relu6(x),
    "leaky_relu": lambda *, x, alpha: F.leaky_relu(x, float(alpha)),
    "prelu": lambda *, x, alpha: F.prelu(x, alpha),
    "thresholded_relu": lambda *, x, alpha: F.threshold(x, float(alpha), 0.0),
    "elu": lambda *, x, alpha: F.elu(x, float(alpha)),
    "sigmoid": lambda *, x: torch.sigmoid(x),
    "sigmoid_hard": lambda *, x, alpha, beta: torch.clip(alpha * x + beta, 0, 1),
    "silu": lambda *, x: F.silu(x),
    "tanh": lambda *, x: torch.tanh(x),
    "erf": lambda *, x: torch.erf(x),
    "gelu": gelu,
    "softmax": lambda *, x, axis: torch.softmax(x, int(axis)),
    "clip": lambda *, x, alpha, beta: torch.clip(x, float(alpha), float(beta)),
    # arithmetic
    "add": lambda *, x, y: x + y,
    "sub": lambda *, x, y: x - y,
    "mul": lambda *, x, y: x * y,
    "real_div": lambda *, x, y: x / y,
    "floor_div": lambda *, x, y: torch.floor_divide(x, y),
    "maximum": lambda *, x, y: torch.maximum(x, y),
    "minimum": lambda *, x, y: torch.minimum(x, y),
    "pow": lambda *, x, y: torch.pow(x, y),
    "exp": lambda *, x: torch.exp(x),
    "square": lambda *, x: x * x,
    "sqrt": lambda *, x: torch.sqrt(x),
    "rsqrt": lambda *, x, epsilon: torch.rsqrt(x + epsilon),
    "inverse": lambda *, x, epsilon: 1 / (x + epsilon),
    "abs": lambda *, x: torch.abs(x),
    "equal": lambda *, x, y: torch.eq(x, y),
    "select": lambda *, cond, a, b: torch.where(cond, a, b),
    # sums
    "reduce_mean": lambda *, x, keep_dims, axes=None: torch.mean(x, _axes(axes), keepdim=keep_dims),
    "reduce_sum": lambda *, x, keep_dims, axes=None: torch.sum(x, _axes(axes), keepdim=keep_dims),
    "reduce_max": lambda *, x, keep_dims, axes=None: torch.amax(x, _axes(axes) or [], keepdim=keep_dims),
    "reduce_sum_square": lambda *, x, keep_dims, axes=None: torch.sum(x * x, _axes(axes), keepdim=keep_dims),
    "reduce_l2_norm": lambda *, x, keep_dims, axes=None: torch.linalg.vector_norm(
        x, dim=_axes(axes), keepdim=keep_dims
    ),
    # shapes
    "shape": lambda *, x: torch.tensor(x.shape, dtype=torch.int32),
    "reshape": reshape,
    "transpose": lambda *, x, perm: x.permute(perm.tolist()),
    "squeeze": squeeze,
    "expand_dims": expand_dims,
    "concat": concat,
    "stack": lambda *, values, axis: torch.stack(values, int(axis)),
    "split": split,
    "slice_by_index": slice_by_index,
    "gather": gather,
    "tile": lambda *, x, reps: x.tile(tuple(reps.tolist())),
    # types, which the evaluator sees to
    "identity": lambda *, x: x,
    "cast": lambda *, x, dtype: x,
    "constexpr_affine_dequantize": constexpr_affine_dequantize,
}
"""What the evaluator knows, by MIL's name."""

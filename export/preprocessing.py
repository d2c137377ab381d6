"""What goes into a network in torch or ONNX, made from crops as its owner tells, and what its exported graph takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reidkit.runtime.artifact.manifest import Normalization, Preprocessing
from reidkit.runtime.artifact.preprocessing import told_preprocessing
from reidkit.runtime.errors import InvalidConfig


def exported(preprocessing: Preprocessing) -> Preprocessing:
    """What the exported graph takes instead: uint8 nchw crops, normalised by the graph."""
    normalization = replace(preprocessing.normalization, where="graph")
    return replace(preprocessing, layout="nchw", dtype="uint8", normalization=normalization)


def network_preprocessing(told: str | None) -> Preprocessing:
    """`exported`, from a name or file, for a network in torch, which takes but one kind of tensor.

    Raises:
        InvalidConfig: as `told_preprocessing`, or the network is said to take another kind.
    """
    own = told_preprocessing(told)
    if (own.layout, own.dtype, own.normalization.where) != ("nchw", "float32", "runtime"):
        raise InvalidConfig(
            f"a network in torch takes nchw float32 crops that are normalised before it, {told} says "
            f"{own.layout} {own.dtype}, normalised by the {own.normalization.where}",
            remedy="where it normalises by itself, say where: runtime, scale: 1, mean: [0, 0, 0], std: [1, 1, 1]",
        )
    return exported(own)


def model_input(crops: NDArray[Any], preprocessing: Preprocessing, *, color: Literal["rgb", "bgr"]) -> NDArray[Any]:
    """Crops as the network takes them: ordered, normalised, laid out and typed as told, C-contiguous.

    Args:
        crops: (N, 3, H, W) in 0…255.
        preprocessing: what the network takes.
        color: the crops' colour order.
    """
    how = preprocessing.normalization
    values = np.asarray(crops if color == preprocessing.color else crops[:, ::-1], np.float32)
    if how.where == "runtime":
        mean, std = (np.asarray(channels, np.float32)[:, None, None] for channels in (how.mean, how.std))
        values = (values * np.float32(how.scale) - mean) / std
    if preprocessing.layout == "nhwc":
        values = values.transpose(0, 2, 3, 1)
    if preprocessing.dtype == "uint8":
        values = values.round()
    return np.ascontiguousarray(values, np.dtype(preprocessing.dtype))


def gain_and_offset(normalization: Normalization) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(3, 1, 1) factor and summand that together normalise grey levels; constants taken in double precision."""
    mean, std = (
        np.asarray(channels, np.float64).reshape(3, 1, 1) for channels in (normalization.mean, normalization.std)
    )
    return (normalization.scale / std).astype(np.float32), (-mean / std).astype(np.float32)

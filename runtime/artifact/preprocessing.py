"""What a network wants its input to be, told by its owner: by a name, or by a file beside it.

bgr-0-255-256x128       grey levels as they are, blue first          Intel's person-reidentification-retail
rgb-0-1-256x128         divided by 255
rgb-imagenet-256x128    divided by 255, then ImageNet's mean and deviation

A file, JSON or YAML, has exactly the keys of `Preprocessing` in an artifact's manifest, and says all there is to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

from reidkit.runtime.artifact.manifest import Normalization, Preprocessing, Resize
from reidkit.runtime.artifact.strict import Mismatch, build
from reidkit.runtime.errors import InvalidConfig, InvalidFile
from reidkit.runtime.yaml_mapping import read_mapping

SUFFIXES = (".json", ".yaml", ".yml")
_NAME = re.compile(r"(?P<color>rgb|bgr)-(?P<range>0-255|0-1|imagenet)-(?P<height>[1-9]\d{0,3})x(?P<width>[1-9]\d{0,3})")
_IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def told_preprocessing(told: str | None, *, beside: Path | None = None) -> Preprocessing:
    """What a network's own input holds, before anything is put in front of it.

    Args:
        told: a file, or a name such as ``bgr-0-255-256x128``; None to look for a file beside the network's.
        beside: the network's file: of ``model.onnx`` it is ``model.preprocessing.json``, ``.yaml`` or ``.yml``.

    Raises:
        InvalidConfig: nothing tells it, two files do, or what tells it is not valid.
        InvalidFile: the file is not there or cannot be read.
    """
    if told is not None:
        return read_preprocessing(Path(told)) if told.endswith(SUFFIXES) else parse_preprocessing(told)
    found = list(_sidecars(beside)) if beside else []
    if len(found) != 1:
        names = " and ".join(path.name for path in found)
        raise InvalidConfig(
            f"two files say what {beside} takes: {names}" if found else "nothing says what the network's input holds",
            remedy="name it with --preprocessing: a file, or e.g. rgb-imagenet-256x128",
        )
    return read_preprocessing(found[0])


def parse_preprocessing(name: str) -> Preprocessing:
    """What a name such as ``bgr-0-255-256x128`` says of a network's input. Raises `InvalidConfig`."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidConfig(
            f"'{name}' names no preprocessing",
            remedy="COLOUR-RANGE-HEIGHTxWIDTH with rgb or bgr and 0-255, 0-1 or imagenet, e.g. bgr-0-255-256x128",
        )
    mean, std = _IMAGENET if match["range"] == "imagenet" else ([0.0] * 3, [1.0] * 3)
    order = 1 if match["color"] == "rgb" else -1
    return Preprocessing(
        height=int(match["height"]),
        width=int(match["width"]),
        color=cast(Literal["rgb", "bgr"], match["color"]),
        layout="nchw",
        dtype="float32",
        resize=Resize(kernel="bilinear", antialias=False),
        normalization=Normalization(
            where="runtime", scale=1.0 if match["range"] == "0-255" else 1 / 255, mean=mean[::order], std=std[::order]
        ),
    )


def read_preprocessing(path: Path) -> Preprocessing:
    """What a JSON or YAML file says of a network's input.

    Raises:
        InvalidFile: it is not there, cannot be read, is neither JSON nor YAML, or in YAML says something twice.
        InvalidConfig: a key is unknown or missing, or a value is of another type or out of range.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else read_mapping(path, name=path)
    except OSError as error:
        raise InvalidFile(f"cannot read {path} ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
        raise InvalidFile(f"{path} is not JSON ({' '.join(str(error).split())})") from error
    try:
        preprocessing = build(Preprocessing, raw, "preprocessing")
    except Mismatch as error:
        raise InvalidConfig(
            f"{path}: {error}", remedy="its keys are those of preprocessing in a manifest.json"
        ) from error
    for condition, holds in preprocessing.conditions().items():
        if not holds:
            raise InvalidConfig(f"{path}: it must be that {condition}")
    return preprocessing


def _sidecars(path: Path) -> Iterator[Path]:
    for suffix in SUFFIXES:
        sidecar = path.with_suffix(f".preprocessing{suffix}")
        if sidecar.exists():
            yield sidecar

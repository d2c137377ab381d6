"""What each backbone costs, measured on the built network and its ONNX graph, not typed in.

`measured.json` is written by `reidkit backbones`, which needs torch; reading it needs nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reidkit.runtime.files import whole_file

FILE_NAME = "measured.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One backbone, with random weights: none of this depends on their values.

    Attributes:
        family: of the backbone.
        height, width: of the crops it takes, in pixels.
        embedding_dim: width of an embedding.
        parameters: weights that inference reads, without running statistics.
        macs: multiplications (each with its addition) for one crop, in convolutions, linear layers and attention.
        onnx_bytes: size of the fp32 ONNX file, the normalisation inside; None where it was only counted.
        export_cpu_s: processor time, of all threads, from the built network to the checked ONNX file, or None.
    """

    family: str
    height: int
    width: int
    embedding_dim: int
    parameters: int
    macs: int
    onnx_bytes: int | None = None
    export_cpu_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """All backbones, by name. `source`: with what, where and when they were measured."""

    source: str
    backbones: Mapping[str, Measurement]

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        backbones = {name: dataclasses.asdict(each) for name, each in self.backbones.items()}
        return {"source": self.source, "backbones": backbones}

    def write(self, path: Path) -> None:
        """Write them as JSON, a line for each backbone."""
        content = self.to_dict()
        lines = (f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in content["backbones"].items())
        head = f'{{\n  "source": {json.dumps(content["source"])},\n  "backbones": {{\n'
        text = head + ",\n".join(lines) + "\n  }\n}\n"
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @staticmethod
    def from_json(text: str) -> Measurements:
        """Read what `write` wrote."""
        content = json.loads(text)
        backbones = {name: Measurement(**entry) for name, entry in content["backbones"].items()}
        return Measurements(source=content["source"], backbones=MappingProxyType(backbones))


@cache
def measurements() -> Measurements:
    """The measurements that come with reidkit."""
    return Measurements.from_json((files("reidkit.export.catalogue") / FILE_NAME).read_text(encoding="utf-8"))

"""Core ML's model package, a folder, written and read.

    engine.mlpackage/
        Manifest.json                              what is in it
        Data/com.apple.CoreML/model.mlmodel        inputs, outputs, metadata, the program
        Data/com.apple.CoreML/weights/weight.bin   its weights

coremltools writes one too, but with random names, private permissions and notes for a debugger; here the same model
gives the same bytes.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

MANIFEST = "Manifest.json"
_DATA = "com.apple.CoreML"
_NAMESPACE = UUID("6c1f3a3e-6a4b-5d0e-9d55-0f6f2f0f7c10")
"""Any would do: names within it tell the two items of a package apart."""

_ITEMS = {"model.mlmodel": "CoreML Model Specification", "weights": "CoreML Model Weights"}


def write_package(path: Path, specification: Any, weights: Path) -> None:
    """Write a package: a `coremltools.proto.Model_pb2.Model`, and the folder with the weights that it names."""
    data = path / "Data" / _DATA
    (data / "weights").mkdir(parents=True)
    (data / "model.mlmodel").write_bytes(specification.SerializeToString(deterministic=True))
    for file in sorted(weights.iterdir()):
        shutil.copyfile(file, data / "weights" / file.name)
    identifiers = {name: str(uuid5(_NAMESPACE, name)) for name in _ITEMS}
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {
            identifiers[name]: {"author": _DATA, "description": description, "name": name, "path": f"{_DATA}/{name}"}
            for name, description in _ITEMS.items()
        },
        "rootModelIdentifier": identifiers["model.mlmodel"],
    }
    (path / MANIFEST).write_text(json.dumps(manifest, indent=4) + "\n")


def read_package(path: Path) -> tuple[Any, Any]:
    """The specification of the package at `path`, and its program's function in `coremltools`' classes, weights in it.

    coremltools infers every type and shape anew on the way, and raises what it likes where they are not those of the
    file.
    """
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.models.utils import load_spec

    specification = load_spec(str(path))
    program = load(
        specification,
        specification_version=specification.specificationVersion,
        file_weights_dir=str(path / "Data" / _DATA / "weights"),
    )
    return specification, program.functions["main"]

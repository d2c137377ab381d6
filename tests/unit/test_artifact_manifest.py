"""The manifest's text: strict both ways, and the schema that documents it says the same."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import MISSING
from importlib.resources import files
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from tiny_manifest import Tiny, tiny_manifest

from reidkit.runtime.artifact.manifest import EnsembleInfo, FileRecord, Manifest, PartInfo, ProjectionInfo
from reidkit.runtime.errors import ArtifactInvalid

SCHEMA = json.loads((files("reidkit.runtime.artifact") / "manifest.schema.json").read_text())
JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


@pytest.fixture
def manifest() -> Manifest:
    return tiny_manifest(
        Tiny(), engine="onnxruntime", engine_file="a", files={"a": FileRecord(sha256="0" * 64, bytes=1)}
    )


def test_what_is_written_is_read(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json()) == manifest


def documents(schema: dict[str, Any], kind: Any) -> None:
    """Assert that a schema admits what the annotation `kind` does."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        assert list(schema["properties"]) == list(hints)
        assert schema["required"] == [each.name for each in dataclasses.fields(kind) if each.default is MISSING]
        assert schema["additionalProperties"] is False
        assert schema["description"]
        for key, hint in hints.items():
            documents(schema["properties"][key], hint)
    elif get_origin(kind) is Literal:
        assert schema["enum"] == list(get_args(kind))
    elif get_origin(kind) is list:
        assert schema["type"] == "array"
        documents(schema["items"], get_args(kind)[0])
    elif get_origin(kind) is dict:
        assert schema["type"] == "object"
        if get_args(kind)[1] is not Any:
            documents(schema["additionalProperties"], get_args(kind)[1])
    elif get_origin(kind) is UnionType:
        assert schema["type"][1] == "null"
        documents({**schema, "type": schema["type"][0]}, get_args(kind)[0])
    elif "const" not in schema:
        assert schema["type"] == JSON_TYPES[kind]


def test_the_schema_documents_the_manifest() -> None:
    documents(SCHEMA, Manifest)


def described(schema: dict[str, Any], where: str) -> list[str]:
    """Properties that say nothing about themselves."""
    silent = []
    for key, value in schema.get("properties", {}).items():
        silent += described(value, f"{where}.{key}")
        if not {"description", "$ref"} & value.keys() and key != "status":
            silent.append(f"{where}.{key}")
    return silent


def test_every_key_is_described() -> None:
    assert [
        key for name, part in {"manifest": SCHEMA, **SCHEMA["$defs"]}.items() for key in described(part, name)
    ] == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema_version"], 2, "schema version 2, this reidkit reads 1"),
        (["surplus"], 1, "unknown key manifest.surplus"),
        (["batch", "surplus"], 1, "unknown key manifest.batch.surplus"),
        (["batch", "max"], 4.0, "manifest.batch.max must be of type int, found 4.0"),
        (["batch", "max"], True, "manifest.batch.max must be of type int, found True"),
        (["batch", "dynamic"], 1, "manifest.batch.dynamic must be of type bool"),
        (["preprocessing", "color"], "rbg", "manifest.preprocessing.color must be one of 'rgb', 'bgr', found 'rbg'"),
        (["preprocessing", "color"], ["rgb"], "manifest.preprocessing.color must be one of"),
        (["preprocessing", "normalization", "std", 1], "1", r"std\[1\] must be a number, found '1'"),
        (["thresholds"], {"match": "high"}, "manifest.thresholds.match must be a number"),
        (["files"], [], "manifest.files must be an object"),
        (["files", "a"], None, "manifest.files.a must be an object"),
        (["backbone"], "osnet", "manifest.backbone must be an object"),
        (["ensemble"], {"parts": []}, r"missing key manifest\.ensemble\.projection"),
    ],
)
def test_what_does_not_fit_is_named(manifest: Manifest, path: list[str | int], value: object, message: str) -> None:
    raw = json.loads(manifest.to_json())
    part = raw
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(ArtifactInvalid, match=message):
        Manifest.from_json(json.dumps(raw))


def test_a_missing_key_is_named(manifest: Manifest) -> None:
    raw = json.loads(manifest.to_json())
    del raw["preprocessing"]["resize"]["antialias"]
    with pytest.raises(ArtifactInvalid, match=r"missing key manifest\.preprocessing\.resize\.antialias"):
        Manifest.from_json(json.dumps(raw))


def test_a_manifest_from_before_ensembles_is_read(manifest: Manifest) -> None:
    raw = json.loads(manifest.to_json())
    assert raw.pop("ensemble") is None
    assert Manifest.from_json(json.dumps(raw)) == manifest


def test_the_parts_of_an_ensemble_are_read(manifest: Manifest) -> None:
    backbone = manifest.backbone
    part = PartInfo(
        name="tiny",
        parameters=320,
        weights=backbone.weights,
        dim=12,
        weight=0.5,
        preprocessing=manifest.preprocessing,
    )
    projection = ProjectionInfo(joined_dim=24, crops=100, source="folder crops", explained=0.75)
    whole = dataclasses.replace(manifest, ensemble=EnsembleInfo(parts=[part, part], projection=projection))
    assert Manifest.from_json(whole.to_json()) == whole


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "7", '"manifest"', "\xff", b"\xff\xfe\x00", "[" * 100_000])
def test_text_that_is_no_manifest_is_refused(text: str | bytes) -> None:
    with pytest.raises(ArtifactInvalid, match=r"is not JSON|has schema version None"):
        Manifest.from_json(text)

"""Naming a model, or an artifact, in a tracker's settings file, with the settings that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reidkit.export.catalogue.measurements import measurements
from reidkit.export.catalogue.models import Model, catalogue
from reidkit.export.catalogue.settings_file import Edit, Value, edit_settings
from reidkit.runtime.artifact.digests import MANIFEST_FILE
from reidkit.runtime.artifact.folder import read_artifact

THRESHOLDS = ("min_iou_for_appearance", "min_cosine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What was done. `model` is None for an artifact; `notes` say what the user should know."""

    model: Model | None
    edit: Edit
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {"changed": self.edit.changed, "diff": self.edit.diff, "notes": list(self.notes)}


def use(name: str, config: Path) -> Use:
    """Write the model, its embedding width and the thresholds found with it into the settings file `config`.

    Args:
        name: a model or backbone of the catalogue, or an artifact's folder.
        config: the tracker's settings file; only these keys of it change.

    Raises:
        InvalidInput: there is no such model.
        InvalidFile, InvalidConfig: the file is missing, no settings file, or cannot be edited safely.
        ArtifactInvalid: the folder is no artifact.
    """
    if (Path(name) / MANIFEST_FILE).is_file():
        return _use_artifact(Path(name), config)
    model = catalogue().find(name)
    fields: dict[str, Value] = {
        "reid_model": model.file_name,
        "embedding_dim": measurements().backbones[model.backbone].embedding_dim,
    }
    if model.thresholds is not None:
        fields |= {field: getattr(model.thresholds, field) for field in THRESHOLDS}
        about = f"thresholds: {catalogue().sources[model.thresholds.source]}"
    else:
        about = f"the thresholds are left as they are: nobody found any for {model.name}"
    edit = edit_settings(config, fields)
    run = "reid-track runs artifacts: export the model, then --use its folder here or name it with reid-track --reid"
    return Use(model=model, edit=edit, notes=(about, run, *_about(edit)))


def _use_artifact(folder: Path, config: Path) -> Use:
    """The folder is named in full: a path in a settings file counts from wherever the tracker is started."""
    manifest, _ = read_artifact(folder)
    fields: dict[str, Value] = {"reid_model": str(folder.absolute()), "embedding_dim": manifest.embedding.dim}
    recommended = manifest.thresholds or {}
    fields |= {field: recommended[field] for field in THRESHOLDS if field in recommended}
    if recommended:
        about = "thresholds: those that the artifact's manifest recommends"
    else:
        about = "the thresholds are left as they are: the artifact's manifest recommends none"
    edit = edit_settings(config, fields)
    return Use(model=None, edit=edit, notes=(about, *_about(edit)))


def _about(edit: Edit) -> list[str]:
    notes = [f"this file's schema has no key for {field}" for field in edit.not_said]
    if not edit.with_reid:
        notes.append("this file has appearance switched off (with_reid: false)")
    return notes

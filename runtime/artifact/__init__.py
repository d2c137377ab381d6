"""The artifact: a folder that says all about itself, is published whole, and is believed only after every digest."""

from reidkit.runtime.artifact.digests import check_files, read_checked, record_files, sha256_of
from reidkit.runtime.artifact.folder import (
    Golden,
    load_golden,
    read_artifact,
    read_golden,
    write_golden,
    write_manifest,
)
from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.artifact.publication import publication
from reidkit.runtime.artifact.recipe import Recipe, read_recipe, write_recipe
from reidkit.runtime.artifact.trust import built_here, vouch

__all__ = [
    "Golden",
    "Manifest",
    "Recipe",
    "built_here",
    "check_files",
    "load_golden",
    "publication",
    "read_artifact",
    "read_checked",
    "read_golden",
    "read_recipe",
    "record_files",
    "sha256_of",
    "vouch",
    "write_golden",
    "write_manifest",
    "write_recipe",
]

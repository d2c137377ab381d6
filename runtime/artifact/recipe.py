"""How the engine of an artifact is built, for whoever builds it on the box.

    recipe.json   the graph's file and the target's options; target, precision and batch are the manifest's to say
    graph.onnx    that graph, in the precision to be built

An artifact with these two can be built, or built again, where it is to run. Without an engine it is a *bundle*.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from reidkit.runtime.artifact.digests import read_checked
from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.artifact.strict import build
from reidkit.runtime.errors import ArtifactInvalid

RECIPE_FILE = "recipe.json"
GRAPH_FILE = "graph.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a target is to build.

    Attributes:
        graph: file of the artifact that holds the ONNX graph.
        options: the target's own settings, as they were given.
    """

    graph: str
    options: dict[str, str]


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write the recipe; to be done before `record_files`."""
    text = json.dumps(dataclasses.asdict(recipe), indent=2) + "\n"
    (folder / RECIPE_FILE).write_text(text, encoding="utf-8")


def read_recipe(manifest: Manifest, folder: Path) -> Recipe | None:
    """The recipe of an artifact that `read_artifact` has opened, None where there is none.

    Raises:
        ArtifactInvalid: it has one that cannot be read.
    """
    if RECIPE_FILE not in manifest.files:
        return None
    try:
        recipe = build(Recipe, json.loads(read_checked(folder, manifest, RECIPE_FILE)), "recipe")
    except (ValueError, RecursionError) as error:  # a Mismatch is a ValueError
        raise ArtifactInvalid(f"{folder.name}: {RECIPE_FILE}: {error}", remedy="export the artifact again") from error
    if recipe.graph not in manifest.files:
        raise ArtifactInvalid(
            f"{folder.name}: {RECIPE_FILE} names {recipe.graph}, which the manifest does not list",
            remedy="export the artifact again",
        )
    return recipe

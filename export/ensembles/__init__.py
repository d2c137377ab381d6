"""Ensembles: several networks in one graph, one crop for all, their unit embeddings weighted and joined."""

from reidkit.export.ensembles.ensemble import Ensemble
from reidkit.export.ensembles.exporting import export_ensemble
from reidkit.export.ensembles.loading import load_parts
from reidkit.export.ensembles.worth import Worth, find_gallery

__all__ = [
    "Ensemble",
    "Worth",
    "export_ensemble",
    "find_gallery",
    "load_parts",
]

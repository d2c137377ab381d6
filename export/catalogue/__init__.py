"""What is published, what it costs, and how to get and use it. Needs neither torch nor any other large library.

catalogue.yaml   models, where their weights are, accuracies, terms   by hand, each number with its source
measured.json    widths, parameters, multiplications, ONNX bytes      by `reidkit backbones`
"""

from __future__ import annotations

from reidkit.export.catalogue.models import Accuracy, Catalogue, Family, Model, Thresholds, catalogue
from reidkit.export.catalogue.weights_cache import Status, WeightsCache

__all__ = ["Accuracy", "Catalogue", "Family", "Model", "Status", "Thresholds", "WeightsCache", "catalogue"]

"""Any network of timm as a backbone: ``timm:resnet18``. Its weights come from a file; nothing is downloaded."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import Any

from reidkit.export.backbones.card import IMAGENET_256X128, ModelCard
from reidkit.export.preprocessing import network_preprocessing
from reidkit.runtime.artifact.manifest import Resize
from reidkit.runtime.errors import ExportFailure, InvalidInput, MissingDependency

PREFIX = "timm:"

_declared: list[Any] = []
"""What was declared to torch in torchvision's place; it lives as long as this holds it."""


def timm_card(name: str, *, preprocessing: str | None = None) -> ModelCard:
    """The card of a network of timm, without its classifier.

    Crops are 256x128, with the interpolation, mean and deviation that timm records for its own weights, unless
    `preprocessing` says otherwise, by name or file.

    Raises:
        InvalidInput: timm has no such network.
        InvalidConfig: the preprocessing is wrong.
        MissingDependency: timm is not installed.
    """
    timm = _import_timm()
    if not timm.is_model(name):
        close = get_close_matches(name, timm.list_models(), n=1)
        remedy = f"did you mean '{PREFIX}{close[0]}'?" if close else "timm.list_models() has them all"
        raise InvalidInput(f"timm {timm.__version__} has no '{name}'", remedy=remedy)
    try:
        recorded = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        raise InvalidInput(f"timm {timm.__version__} has no '{name}' ({error})") from error
    if preprocessing is None:
        normalization = replace(IMAGENET_256X128.normalization, mean=list(recorded.mean), std=list(recorded.std))
        resize = Resize(kernel="bicubic" if recorded.interpolation == "bicubic" else "bilinear", antialias=True)
        how = replace(IMAGENET_256X128, resize=resize, normalization=normalization)
    else:
        how = network_preprocessing(preprocessing)
    size = {"img_size": (how.height, how.width)} if recorded.fixed_input_size else {}
    heads = recorded.classifier or ()
    return ModelCard(
        name=f"timm_{name}",
        family="timm",
        build=partial(timm.create_model, name, pretrained=False, num_classes=0, **size),
        preprocessing=how,
        head_prefixes=tuple(f"{head}." for head in ((heads,) if isinstance(heads, str) else heads)),
        source=f"timm {timm.__version__}, {recorded.architecture}",
        terms=f"timm records {recorded.license} for its own weights" if recorded.license else "",
    )


def _import_timm() -> Any:
    try:
        while operator := _missing_operator():
            _declare(operator)
        import timm
    except ModuleNotFoundError as error:
        raise MissingDependency("timm", extra="timm", purpose="A backbone of timm") from error
    return timm


def _missing_operator() -> str | None:
    """The operator over which torchvision, which timm imports, fails to be imported.

    One that was compiled for CUDA cannot load its operators into a torch for processors, and then fails over the first
    that its Python part describes (0.28: `nms`, then `qnms`).
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        name = str(error).removeprefix("operator torchvision::").removesuffix(" does not exist")
        if name.isidentifier():
            return name
        raise ExportFailure(
            f"timm cannot use its torchvision ({error})", remedy="install torch and torchvision from the same index"
        ) from error
    return None


def _declare(operator: str) -> None:
    """Tell torch the operator's name, which is enough to import torchvision; networks of timm call none of them."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define(f"{operator}() -> ()")  # type: ignore[no-untyped-call]
    _declared.append(library)

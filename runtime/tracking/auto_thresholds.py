"""Thresholds that a file leaves to the artifact: ``min_cosine: auto``.

A cosine means another thing to every network and precision. The export finds from where strangers become rare for the
very artifact and writes it into its manifest; a file that says ``auto`` takes that over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reidkit.runtime.errors import InvalidConfig

if TYPE_CHECKING:
    from reidkit.runtime.artifact import Manifest
    from reidkit.runtime.tracking.config import BotSortConfig

AUTO = "auto"
AUTO_FIELDS = ("min_cosine", "unconfirmed_min_cosine", "long_term_min_cosine")
"""Settings that may say ``auto``."""


def resolved(config: BotSortConfig, manifest: Manifest) -> BotSortConfig:
    """`config` with what `manifest` recommends in place of every ``auto``.

    Raises:
        InvalidConfig: the manifest recommends none, or is of another embedding width than the settings are for.
    """
    if config.embedding_dim not in (None, manifest.embedding.dim):
        raise InvalidConfig(
            f"the settings say embedding_dim: {config.embedding_dim}, {manifest.name} gives {manifest.embedding.dim}",
            remedy="correct one or name another artifact",
        )
    recommended = manifest.thresholds or {}
    for name in config.auto:
        if name not in recommended:
            raise InvalidConfig(
                f"{name}: auto takes what the artifact recommends, and {manifest.name} recommends none",
                remedy="export it with --gate GALLERY, which measures it, or give a number",
            )
    found: dict[str, Any] = {name: recommended[name] for name in config.auto}
    return dataclasses.replace(config, auto=(), **found)


def check_auto(names: Iterable[str]) -> tuple[str, ...]:
    """`names`, all of settings that may say ``auto``; `InvalidConfig` otherwise."""
    names = tuple(names)
    for name in names:
        if name not in AUTO_FIELDS:
            raise InvalidConfig(f"{name}: auto is not offered", remedy=f"only {', '.join(AUTO_FIELDS)} may say auto")
    return names

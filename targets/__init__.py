"""Compilers, one file each: an exported model in, the files of one inference library out.

A new target is one file that assigns ``TARGET``, a `Target`, here or behind an entry point of the group
``reidkit.targets``. Targets do not know each other, and importing one imports no vendor's library.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint

from reidkit.runtime.discovery import plugins
from reidkit.runtime.errors import ExportFailure, did_you_mean
from reidkit.targets.target import BuildJob, BuiltEngine, Option, Precision, Target

__all__ = ["BuildJob", "BuiltEngine", "Option", "Precision", "Target", "find_target", "targets"]


def targets() -> dict[str, EntryPoint]:
    """Every target by name, to be loaded with `EntryPoint.load`."""
    return plugins(__name__, "TARGET", group="reidkit.targets", besides={"target"})


def find_target(name: str) -> Target:
    """The target of that name. Raises `ExportFailure` with a suggestion where there is none."""
    known = targets()
    if name not in known:
        raise ExportFailure(f"there is no target '{name}'", remedy=did_you_mean(name, known))
    target: Target = known[name].load()
    return target

"""Plug-ins: one file of a folder each, or an entry point of an installed package.

A file ``engines/openvino.py`` that assigns ``ENGINE = OpenVinoEngine`` is the engine ``openvino``; nothing lists it.
Files are named without being imported, so a plug-in whose library is missing costs nothing until it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules

from reidkit.runtime.errors import InvalidConfig


def plugins(package: str, attribute: str, *, group: str, besides: Collection[str] = ()) -> dict[str, EntryPoint]:
    """Every plug-in by name, to be loaded with `EntryPoint.load`.

    Args:
        package: dotted name of the folder whose files are plug-ins.
        attribute: what each file assigns, e.g. ``"ENGINE"``.
        group: entry-point group through which other packages join; a member points to the same kind of object.
        besides: files of the folder that are no plug-ins; sub-packages and names with a leading ``_`` never are.

    Raises:
        InvalidConfig: two plug-ins have the same name.
    """
    own = [
        EntryPoint(file.name, f"{package}.{file.name}:{attribute}", group)
        for file in iter_modules(import_module(package).__path__)
        if not file.ispkg and not file.name.startswith("_") and file.name not in besides
    ]
    found: dict[str, EntryPoint] = {}
    for entry in (*own, *entry_points(group=group)):
        if entry.name in found:
            raise InvalidConfig(
                f"two plug-ins of {group} are called '{entry.name}': {found[entry.name].value} and {entry.value}",
                remedy="uninstall one of the packages that bring them",
            )
        found[entry.name] = entry
    return dict(sorted(found.items()))

"""Which libraries reidkit's extras ask for, and which of them are installed.

An extra is named after the target or engine that it serves, so nothing here lists libraries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions, requires, version

# A line of a package's metadata, such as `tensorrt>=10.3; platform_machine == "x86_64" and extra == "tensorrt"`.
_REQUIREMENT = re.compile(
    r"""(?P<name>[\w.-]+)
        (?:\[[^]]*\])? \s*
        (?:>=\s*(?P<least>[\d.]+))? [^;]*
        (?:;.*\bextra\s*==\s*["'](?P<extra>[\w.-]+)["'])?""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library that an extra asks for.

    Attributes:
        name: as package indexes know it; of the build that is installed, where that has a name of its own, as
            onnxruntime-gpu has.
        least: the oldest version that will do; None for any.
        version: what is installed; None if it is not.
    """

    name: str
    least: str | None
    version: str | None

    @property
    def reason(self) -> str | None:
        """Why it will not do, None if it will."""
        if self.version is None:
            return f"{self.name} is not installed"
        if self.least is not None and _numbers(self.version) < _numbers(self.least):
            return f"{self.name} {self.version} is installed, {self.least} or later is needed"
        return None


def libraries_of(extra: str, *, package: str = "reidkit") -> list[Library]:
    """The libraries of one extra of an installed package; none where it has no such extra.

    What the extra asks for only on other machines is told too: there TensorRT comes with the system, but it is needed.
    """
    return [_library(name, least) for name, least in _asked(extra, package)]


def extras_with(library: str, *, package: str = "reidkit") -> list[str]:
    """The extras of an installed package that ask for a library."""
    return [
        extra
        for extra in metadata(package).get_all("Provides-Extra") or []
        if any(_plain(name) == _plain(library) for name, _ in _asked(extra, package))
    ]


def _asked(extra: str, package: str) -> list[tuple[str, str | None]]:
    """Names, and the least versions, of what an extra asks for besides its own package."""
    lines = [match for line in requires(package) or [] if (match := _REQUIREMENT.match(line))]
    return [
        (match["name"], match["least"])
        for match in lines
        if _plain(match["extra"] or "") == _plain(extra) and _plain(match["name"]) != _plain(package)
    ]


def _library(name: str, least: str | None) -> Library:
    """What is installed under that name, or else as the module of that name: by another build of the library."""
    try:
        return Library(name=name, least=least, version=version(name))
    except PackageNotFoundError:
        builds = packages_distributions().get(_plain(name).replace("-", "_"), [])
    if not builds:
        return Library(name=name, least=least, version=None)
    return Library(name=builds[0], least=least, version=version(builds[0]))


def _plain(name: str) -> str:
    """A name with the spellings of it made one: ``tensorrt_rtx`` and ``tensorrt-rtx``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version, ``(2, 13, 0)`` of ``2.13.0+cpu``."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()

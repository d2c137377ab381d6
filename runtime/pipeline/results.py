"""The folder that a run leaves its results in: whose it is, and what must not lie there under their names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.video.publication import sole_use

TRACKS_FILE = "tracks.txt"
VIDEO_FILE = "annotated.mp4"
ATTRIBUTES_FILE = "attributes.json"
SUMMARY_FILE = "summary.json"
RESULTS = (TRACKS_FILE, VIDEO_FILE, ATTRIBUTES_FILE, SUMMARY_FILE)


def refuse_overwriting(folder: Path, inputs: Iterable[Path]) -> None:
    """Refuse a folder where a result has the name of something that the run reads. Raises `InvalidInput`."""
    for name, given in product(RESULTS, inputs):
        if (folder / name).exists() and given.exists() and given.samefile(folder / name):
            raise InvalidInput(
                f"{given} is read, and would be overwritten or removed", remedy="choose another --output"
            )


@contextmanager
def results(folder: Path, files: Collection[str]) -> Iterator[None]:
    """The folder, made if need be, is this run's alone to write `files` into while a `with` block lasts.

    When the block ends without an error, the results of an earlier run that this one has none of are removed.

    Raises:
        InvalidFile: it cannot be made.
        InvalidInput: another run writes into it.
    """
    with sole_use(folder):
        yield
        for name in RESULTS:
            if name not in files and (folder / name).is_file():
                (folder / name).unlink()

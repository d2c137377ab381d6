"""The folder that a run leaves its results in: what they are called, whose it is, what of an earlier run goes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from reidkit.runtime.files import sole_use

TRACKS_FILE = "tracks.txt"
VIDEO_FILE = "annotated.mp4"
ATTRIBUTES_FILE = "attributes.json"
SUMMARY_FILE = "summary.json"
RESULTS = (TRACKS_FILE, VIDEO_FILE, ATTRIBUTES_FILE, SUMMARY_FILE)


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

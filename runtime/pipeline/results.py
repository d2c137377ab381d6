"""The folder that a run leaves its results in: what they are called, whose it is, what of an earlier run goes.

out/.results.part/   what a run writes, until all of it is there; a killed run's goes with the next
out/tracks.txt …     moved out of it, together
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from reidkit.runtime.errors import InvalidFile
from reidkit.runtime.files import refuse_folder, sole_use

TRACKS_FILE = "tracks.txt"
VIDEO_FILE = "annotated.mp4"
ATTRIBUTES_FILE = "attributes.json"
SUMMARY_FILE = "summary.json"
RESULTS = (TRACKS_FILE, VIDEO_FILE, ATTRIBUTES_FILE, SUMMARY_FILE)
_UNFINISHED = ".results.part"


@contextmanager
def results(folder: Path, files: Collection[str]) -> Iterator[Path]:
    """A folder to write all `files` into while a `with` block lasts; `folder`, made if need be, is this run's alone.

    When the block ends without an error, they replace those of an earlier run in `folder`, and what this one has none
    of is removed; after an error `folder` is as it was.

    Raises:
        InvalidFile: it cannot be made or written into, or has a folder in place of a result.
        InvalidInput: another run writes into it.
    """
    with sole_use(folder):
        for name in files:
            refuse_folder(folder / name)
        unfinished = folder / _UNFINISHED
        try:
            if unfinished.exists():
                shutil.rmtree(unfinished)
            unfinished.mkdir()
        except OSError as error:
            raise InvalidFile(
                f"cannot write into {folder} ({error.strerror})", remedy="choose another output folder"
            ) from error
        try:
            yield unfinished
            for name in files:
                (unfinished / name).replace(folder / name)
            for name in RESULTS:
                if name not in files and (folder / name).is_file():
                    (folder / name).unlink()
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

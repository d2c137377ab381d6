"""An ensemble as an artifact, and what it is worth: each part is built too, in passing, to be compared with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from reidkit.calibration.metrics import Gallery
from reidkit.export.ensembles.ensemble import Ensemble
from reidkit.export.ensembles.worth import Worth, counted, with_retrieval, with_times
from reidkit.export.pipeline import ExportJob, ExportResult, export, place_of, usable_target
from reidkit.runtime.engines import engines

FLATTERED = "the axes were found on the gallery itself, which flatters the whole: --gallery names another"


def export_ensemble(
    job: ExportJob,
    ensemble: Callable[[], Ensemble],
    *,
    count: int,
    gallery: Gallery | None,
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[ExportResult, Worth]:
    """Convert, build, judge and publish an ensemble; with a gallery, measure it beside its parts first.

    Args:
        job: what to export; its original is that of `ensemble`.
        ensemble: gives the ensemble, always the same one; called once the target is known to be there.
        count: how many parts it has.
        gallery: labelled crops to measure retrieval on; None to measure neither retrieval nor time.
        progress: told of each stage as it begins.

    Raises:
        ReidkitError: as `reidkit.export.pipeline.export`. Nothing is published then.
    """

    def part_job(index: int, folder: Path) -> ExportJob:
        return replace(
            job,
            original=lambda: ensemble().parts[index].backbone.original(),
            output=folder,
            name=f"part-{index + 1}",
            crops=None,
        )

    if gallery is None:
        result = export(job, progress=progress)
        return result, counted(ensemble())
    usable_target(job)
    place_of(job, ensemble().original())  # refused now, and not after the parts
    with TemporaryDirectory() as folder:
        parts = [
            export(part_job(index, Path(folder)), progress=partial(_tell_part, progress, index + 1))
            for index in range(count)
        ]
        progress(f"looking for the people of {len(gallery.paths)} crops")
        worth = with_retrieval(counted(ensemble()), ensemble(), gallery)
        if ensemble().projection and job.crops and job.crops.resolve() == gallery.paths[0].parent.resolve():
            worth = replace(worth, notes=(*worth.notes, FLATTERED))
        result = export(job, progress=progress)
        if all(each.manifest.is_built and _runs_here(each.manifest.engine) for each in (*parts, result)):
            progress("timing the engines")
            worth = with_times(worth, parts=[part.artifact for part in parts], whole=result.artifact)
    return result, worth


def _runs_here(engine: str) -> bool:
    return engines()[engine].load().available() is None


def _tell_part(progress: Callable[[str], None], number: int, stage: str) -> None:
    progress(f"part {number}: {stage}")

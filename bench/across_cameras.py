"""`python -m bench.across_cameras ARTIFACT`: how well people are recognised from one camera in another.

On the rendered street's two views: IDF1 over both at once, people's identities shared, with each camera for itself and
with all together. With ``--gallery``, on crops named by identity and camera: sessions of twenty people, each a track in
every camera that has two crops of them, one camera after the other. Of the pairs of tracks that were joined, how many
are one person's (precision); of those that are, how many were joined (recall).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import combinations
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from bench.measurement import table
from reidkit.calibration.crops.folder import read_image
from reidkit.calibration.metrics import Gallery, read_gallery, score_tracking
from reidkit.calibration.street.overlap import VIEWS, write_views
from reidkit.calibration.street.street import Street, StreetConfig
from reidkit.runtime import open_artifact
from reidkit.runtime.pipeline import TrackingJob
from reidkit.runtime.pipeline.together import CamerasJob, run_together
from reidkit.runtime.tracking import Tracks
from reidkit.runtime.tracking.across_cameras import AcrossCameras, AcrossCamerasConfig, Passage
from reidkit.runtime.video.mot_files import MotTable, read_tracks

SCENES = ((0, 12, 300), (1, 16, 300), (2, 10, 400))
NOBODY = AcrossCamerasConfig(passages=(Passage(cameras=(-1, -2)),))
SESSIONS, PEOPLE, CROPS = 10, 20, 12


@click.command()
@click.argument("artifact", type=click.Path(exists=True, path_type=Path))
@click.option("--folder", type=click.Path(path_type=Path), default=Path("bench/out/across"), show_default=True)
@click.option("--gallery", type=click.Path(exists=True, path_type=Path), help="Crops named as Market-1501's.")
@click.option("--min-cosine", type=float, default=AcrossCamerasConfig().min_cosine, show_default=True)
def main(artifact: Path, folder: Path, gallery: Path | None, min_cosine: float) -> None:
    """Print what being together gains."""
    config = AcrossCamerasConfig(min_cosine=min_cosine)
    rows = {
        f"{seed}, {people}, {frames}": _street(artifact, folder, seed, people, frames, config)
        for seed, people, frames in SCENES
    }
    columns = {name: {row: f"{values[name]:.1f}" for row, values in rows.items()} for name in next(iter(rows.values()))}
    click.echo(table("street: seed, people, frames", columns))
    if gallery is not None:
        precision, recall = _gallery(artifact, read_gallery(gallery), config)
        click.echo(
            f"\n{SESSIONS} times {PEOPLE} people of {gallery.name}: precision {precision:.1%}, recall {recall:.1%}"
        )


def _street(
    artifact: Path, folder: Path, seed: int, people: int, frames: int, config: AcrossCamerasConfig
) -> dict[str, float]:
    """IDF1 in percent, apart and together: over both views, and in each."""
    scene = folder / f"street-{seed}-{people}-{frames}"
    if not (scene / VIEWS).exists():
        write_views(Street(StreetConfig(seed=seed, people=people, frames=frames, views=2)), scene)
    views = [scene / "view1", scene / "view2"]
    truth = [read_tracks(view / "gt" / "gt.txt") for view in views]
    scores = {}
    for name, across in (("apart", NOBODY), ("together", config)):
        output = folder / f"{scene.name}-{name}"
        jobs = tuple(
            TrackingJob(
                input=str(view),
                output=output / str(number),
                detections=view / "det" / "det.txt",
                reid=str(artifact),
                tracker="tuned.yaml",
            )
            for number, view in enumerate(views)
        )
        run_together(CamerasJob(cameras=jobs, across=across, output=output))
        tracks = [read_tracks(job.output / "tracks.txt") for job in jobs]
        for what, (real, found) in {
            "both": (_one_after_other(truth), _one_after_other(tracks)),
            "first": (truth[0], tracks[0]),
            "second": (truth[1], tracks[1]),
        }.items():
            scores[f"{what}, {name}"] = score_tracking(real, found).percentages()["IDF1"]
    return scores


def _one_after_other(tables: Sequence[MotTable]) -> MotTable:
    """Several cameras' boxes as if one had seen them, one recording after the other."""
    last = max(int(each.frames.max(initial=0)) for each in tables)
    columns = {each.name: np.concatenate([getattr(part, each.name) for part in tables]) for each in fields(MotTable)}
    columns["frames"] = np.concatenate([part.frames + number * last for number, part in enumerate(tables)])
    return MotTable(**columns)


def _gallery(artifact: Path, gallery: Gallery, config: AcrossCamerasConfig) -> tuple[float, float]:
    """Precision and recall of joined pairs of tracks, over all sessions."""
    rng = np.random.default_rng(0)
    known = np.unique(gallery.identities[gallery.identities > 0])
    right = joined = there = 0
    with open_artifact(artifact) as engine:
        for _ in range(SESSIONS):
            across = AcrossCameras(replace(config, min_sightings=2))
            tracks: list[tuple[int, int]] = []
            whose = rng.choice(known, PEOPLE, replace=False)
            for camera in np.unique(gallery.cameras).tolist():
                for identity in whose.tolist():
                    rows = np.flatnonzero((gallery.identities == identity) & (gallery.cameras == camera))[:CROPS]
                    if len(rows) > 1:
                        images = [read_image(gallery.paths[row]) for row in rows]
                        wholes = [np.array([[0, 0, *image.shape[1::-1]]], np.float64) for image in images]
                        seen = [engine.embed_crops(*each)[0] for each in zip(images, wholes, strict=True)]
                        tracks.append((identity, _show(across, camera, len(tracks), seen)))
            across.observe(-1, _tracks([]), None, timestamp_s=60.0)  # compares once more
            final = across.resolve([given for _, given in tracks]).tolist()
            for (one, first), (other, second) in combinations(zip([who for who, _ in tracks], final, strict=True), 2):
                there += one == other
                joined += first == second
                right += one == other and first == second
    return right / max(joined, 1), right / max(there, 1)


def _show(across: AcrossCameras, camera: int, track: int, embeddings: Sequence[NDArray[np.float32]]) -> int:
    """Have a camera see a track, crop after crop, while the others of that camera are on their way; its id."""
    for number, embedding in enumerate(embeddings):
        time_s = 10.0 * camera + number / 2
        named = across.observe(camera, _tracks([track]), embedding[None], timestamp_s=time_s)
    return int(named.ids[0])


def _tracks(ids: list[int]) -> Tracks:
    """Boxes that nobody looks at."""
    count = len(ids)
    return Tracks(
        ids=np.array(ids, np.int64),
        boxes_xyxy=np.tile([0.0, 0.0, 10.0, 30.0], (count, 1)),
        scores=np.ones(count),
        classes=np.zeros(count, np.int64),
        detection_index=np.arange(count),
        confirmed=np.ones(count, np.bool_),
    )


if __name__ == "__main__":
    main()

"""What a machine makes of artifacts and of a scene, written down so that another machine's can be held against it.

aarch64_witness.py scene SCENE ARTIFACT           renders the scene, its embeddings by that artifact
aarch64_witness.py testify SCENE OUT ARTIFACT...  embeds and tracks: here, or under emulation
aarch64_witness.py compare HERE THERE             prints what agrees; leaves with 1 where something does not
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from reidkit.runtime import BotSort, BotSortConfig, open_artifact
from reidkit.runtime.video.mot_files import TracksWriter

FRAMES, FPS = 60, 15
CROPS = 9
"""One more than the engine sees at once."""

TRACKERS = ("tuned.yaml", "long_term.yaml")
LEAST_COSINE = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.995}
WIDEST_LENGTH = {"fp32": 1e-3, "fp16": 1e-2, "int8": 5e-2}


def scene(folder: Path, artifact: Path) -> None:
    """Write a frame with boxes, detections with embeddings, and a camera's motion."""
    from reidkit.calibration.street.street import Street, StreetConfig

    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    with open_artifact(artifact, threads=1) as engine:
        for index, frame in enumerate(Street(StreetConfig(seed=3, frames=FRAMES, fps=FPS))):
            found = frame.detections
            arrays[f"boxes_{index}"], arrays[f"scores_{index}"] = found.boxes_xyxy, found.scores
            arrays[f"embeddings_{index}"] = engine.embed_crops(frame.image, found.boxes_xyxy)
    arrays["picture"], arrays["picture_boxes"] = frame.image, np.resize(frame.boxes_xyxy, (CROPS, 4))
    np.savez(folder / "scene.npz", **arrays)
    turns = np.sin(np.arange(FRAMES) / 7)
    lines = (f"{index} 1 {0.001 * turn} {4 * turn} {-0.001 * turn} 1 {turn}" for index, turn in enumerate(turns))
    (folder / "motion.txt").write_text("\n".join(lines) + "\n")


def testify(folder: Path, out: Path, artifacts: list[Path]) -> None:
    """Write what this machine cuts, embeds and tracks."""
    out.mkdir(parents=True, exist_ok=True)
    with np.load(folder / "scene.npz") as arrays:
        given = dict(arrays)
    for path in artifacts:
        with open_artifact(path, threads=1) as engine:  # its golden crops are embedded and compared on the way
            crops = engine.cut(given["picture"], given["picture_boxes"])
            embeddings = engine.embed(crops, normalize=False)
            precision = engine.manifest.precision.built
        np.savez(out / f"{path.name}.npz", crops=crops, embeddings=embeddings, precision=precision)
        print(f"  {path.name} embedded", flush=True)
    for preset in TRACKERS:
        for motion in ("still", "moving"):
            config = BotSortConfig.load(preset, frame_rate=FPS)
            name = f"{Path(preset).stem}-{motion}"
            file = str(folder / "motion.txt") if motion == "moving" else None
            tracker = BotSort(replace(config, camera_motion="file" if file else "none", camera_motion_file=file))
            with TracksWriter.open(out / f"{name}.tracks.txt") as writer:
                for index in range(FRAMES):
                    boxes, scores, embeddings = (given[f"{key}_{index}"] for key in ("boxes", "scores", "embeddings"))
                    tracks = tracker.update(boxes, scores, embeddings=embeddings, frame=given["picture"])
                    writer.write(index + 1, tracks.ids, tracks.boxes_xyxy, tracks.scores)
            print(f"  {name} tracked", flush=True)


def compare(here: Path, there: Path) -> bool:
    """Whether two machines agree: crops and tracks to the byte, embeddings within the bounds above."""
    agreed = []
    for path in sorted(here.glob("*.npz")):
        with np.load(path) as ours, np.load(there / path.name) as theirs:
            same_crops = np.array_equal(ours["crops"], theirs["crops"])
            first, second, precision = ours["embeddings"], theirs["embeddings"], str(ours["precision"])
        lengths = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
        cosine = float(((first * second).sum(axis=1) / (lengths[0] * lengths[1])).min())
        stretch = float(np.abs(lengths[1] / lengths[0] - 1).max())
        agreed.append(same_crops and cosine >= LEAST_COSINE[precision] and stretch <= WIDEST_LENGTH[precision])
        print(
            f"{path.stem}: crops {'equal' if same_crops else 'DIFFER'}, "
            f"cosine {cosine:.7f} (at least {LEAST_COSINE[precision]}), lengths within {stretch:.1e}"
        )
    for path in sorted(here.glob("*.tracks.txt")):
        ours, theirs = path.read_bytes(), (there / path.name).read_bytes()
        agreed.append(ours == theirs and bool(ours))
        print(f"{path.name}: {'equal' if ours == theirs else 'DIFFER'}, {ours.count(10)} lines")
    return bool(agreed) and all(agreed)


def main(task: str, *paths: str) -> int:
    """Do one of the three."""
    first, second, *rest = map(Path, paths)
    if task == "compare":
        return 0 if compare(first, second) else 1
    if task == "scene":
        scene(first, second)
    else:
        testify(first, second, rest)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

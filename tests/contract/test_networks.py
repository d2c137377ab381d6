"""Every network through every target in every precision that it offers: what is built sees what torch sees.

OSNet x0.25 with the weights that come along on real crops, and a small configuration of each family with random weights
on rendered ones. What holds for any artifact whatever it computes is held to in `test_engines.py`, on a miniature.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks need the extra 'export'")
for library in ("onnx", "onnxscript", "onnxruntime", "cv2"):
    pytest.importorskip(library, reason=f"exporting here needs {library}")

import cv2  # noqa: E402
from proofs import trials  # noqa: E402
from small_networks import SMALL  # noqa: E402

from reidkit.calibration.crops import find_crops, read_crops  # noqa: E402
from reidkit.calibration.gates import EMBEDDING_LIMITS  # noqa: E402
from reidkit.calibration.street import render_crops  # noqa: E402
from reidkit.export.backbones import ModelCard, find_backbone  # noqa: E402
from reidkit.export.backbones.card import IMAGENET_256X128  # noqa: E402
from reidkit.export.originals import Original, kept, random_original, trained_original  # noqa: E402
from reidkit.export.pipeline import ExportJob, export  # noqa: E402
from reidkit.runtime.artifact import read_artifact  # noqa: E402
from reidkit.runtime.engines import Engine, engines, open_artifact  # noqa: E402
from reidkit.runtime.errors import InvalidInput  # noqa: E402
from reidkit.targets import Precision, find_target, targets  # noqa: E402

pytestmark = pytest.mark.slow

TRAINED = "osnet_x0_25"
REAL_CROPS = 100
BATCH = 4
SOON = ("onnxruntime", "openvino", "tensorrt_rtx")
"""Targets that convert a small network in a second or two; the others see all families in `make proof-networks`."""
SMALL_SIZE = replace(IMAGENET_256X128, height=64, width=32)


@dataclass(frozen=True)
class Case:
    network: str
    target: str
    precision: Precision

    def __str__(self) -> str:
        return f"{self.network}-{self.target}-{self.precision}"


@dataclass(frozen=True, eq=False)
class Built:
    """An artifact, crops (N, 3, H, W) uint8, and what torch makes of them."""

    case: Case
    folder: Path
    crops: np.ndarray
    reference: np.ndarray


WITHOUT = {(network, "ncnn", Precision.INT8) for network in ("clip", "convnext")}
"""Refused, see tests/contract/test_ncnn.py."""

CASES = [
    Case(network, target, precision)
    for network in (TRAINED, *SMALL)  # outermost: pytest goes through them in this order, and each is converted once
    for target in targets()
    for precision in Precision
    if precision in find_target(target).precisions
    if network == TRAINED or target in SOON or trials(0, 1)
    if (network, target, precision) not in WITHOUT
]


@pytest.fixture(scope="session")
def real_crops(shared_data: Path) -> Path:
    return shared_data / "reid_crops" / "market_eval"


@pytest.fixture(scope="session")
def rendered_crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    for number, crop in enumerate(render_crops(32, seed=2, height=64, width=32)):
        cv2.imwrite(str(folder / f"{number:02}.png"), crop[..., ::-1])
    return folder


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]  # a cached function has no name
    @cache
    def original(network: str) -> Original:
        if network == TRAINED:
            made = trained_original(find_backbone(TRAINED))
        else:
            card = ModelCard(
                name=network, family=network, build=SMALL[network], preprocessing=SMALL_SIZE, source="", terms=""
            )
            made = random_original(card)
        return kept(made, tmp_path_factory.mktemp(network))

    return original


@pytest.fixture(scope="session", params=CASES, ids=str)
def built(request: pytest.FixtureRequest, originals, tmp_path_factory: pytest.TempPathFactory) -> Built:  # type: ignore[no-untyped-def]
    case: Case = request.param
    target = find_target(case.target)
    if (reason := target.available()) and not target.portable:
        pytest.skip(f"target {case.target}: {reason}")
    folder = request.getfixturevalue("real_crops" if case.network == TRAINED else "rendered_crops")
    original = originals(case.network)
    job = ExportJob(
        original=lambda: original,
        target=case.target,
        precision=case.precision,
        output=tmp_path_factory.mktemp("artifact"),
        batch_sizes=(1, BATCH),
        crops=folder,
        calibration=folder if case.precision is Precision.INT8 else None,
    )
    crops = read_crops(find_crops(folder, limit=REAL_CROPS), original.preprocessing)
    return Built(case, export(job).artifact, crops, original.embed(crops))


@pytest.fixture(scope="session")
def engine(built: Built) -> Iterator[Engine]:
    manifest, _ = read_artifact(built.folder)
    if not manifest.is_built:
        pytest.skip(f"target {built.case.target}: {find_target(built.case.target).available()}")
    if reason := engines()[manifest.engine].load().available():
        pytest.skip(f"engine {manifest.engine}: {reason}")
    with open_artifact(built.folder, threads=1) as engine:
        yield engine


def test_it_is_built_in_the_precision_that_was_asked_for(built: Built) -> None:
    manifest, folder = read_artifact(built.folder)
    assert manifest.precision.built == manifest.precision.requested == str(built.case.precision)
    assert manifest.preprocessing.dtype == "uint8"
    assert manifest.is_built or manifest.files.keys() >= {"graph.onnx", "recipe.json"}
    assert all((folder / name).stat().st_size == record.bytes for name, record in manifest.files.items())


@pytest.mark.parametrize("batch", [1, BATCH, 2 * BATCH + 1], ids="{} at a time".format)
def test_its_embeddings_are_torchs(built: Built, engine: Engine, batch: int) -> None:
    crops, reference = built.crops, built.reference
    if batch == 1 and built.case.network != TRAINED:
        crops, reference = crops[:8], reference[:8]
    parts = [engine.embed(crops[start : start + batch], normalize=False) for start in range(0, len(crops), batch)]
    found = np.concatenate(parts)
    lengths, expected = np.linalg.norm(found, axis=1), np.linalg.norm(reference, axis=1)
    cosines = (found * reference).sum(axis=1) / (lengths * expected)
    limits = EMBEDDING_LIMITS[built.case.precision]
    assert np.median(cosines) >= limits.cosine_median
    assert np.quantile(cosines, 0.01) >= limits.cosine_p01
    assert np.abs(lengths / expected - 1).max() <= limits.norm_ratio_max_deviation


def test_the_limits_are_those_that_were_promised() -> None:
    assert EMBEDDING_LIMITS["fp32"].cosine_p01 >= 0.99999
    for precision in ("fp16", "bf16"):
        assert (EMBEDDING_LIMITS[precision].cosine_median, EMBEDDING_LIMITS[precision].cosine_p01) == (0.999, 0.995)


def test_a_crop_has_the_same_embedding_in_any_company(built: Built, engine: Engine) -> None:
    """As nearly as its precision goes: other batch sizes are other kernels."""
    crops = built.crops[: 2 * BATCH + 1]
    together = engine.embed(crops)
    assert engine.embed(crops[:0]).shape == (0, engine.embedding_dim)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for count in (1, 3, BATCH):
        cosines = (engine.embed(crops[:count]) * together[:count]).sum(axis=1)
        assert cosines.min() >= EMBEDDING_LIMITS[built.case.precision].cosine_min


def test_the_same_batch_gives_the_same_bytes_on_any_thread(built: Built, engine: Engine) -> None:
    crops = built.crops[: BATCH + 1]
    expected = engine.embed(crops).tobytes()
    with ThreadPoolExecutor(3) as pool:
        assert {rows.tobytes() for rows in pool.map(engine.embed, [crops] * 6)} == {expected}


def test_it_takes_bytes_in_its_own_size_and_nothing_else(built: Built, engine: Engine) -> None:
    crops = built.crops[:1]
    for wrong in (crops.astype(np.float32) / 255, crops[..., :-1], crops[0], crops.transpose(0, 2, 3, 1)):
        with pytest.raises(InvalidInput, match="embeds batches of uint8"):
            engine.embed(wrong)


LEAK = """
import sys
from pathlib import Path
import numpy as np
from reidkit.runtime.engines import open_artifact

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])

def opened():
    engine = open_artifact(sys.argv[1], threads=1)
    engine.embed(np.zeros((4, 3, 256, 128), np.uint8))
    return engine

for _ in range(3):
    opened().close()
start = resident()
for _ in range(ROUNDS):
    opened().close()
closed = resident() - start
start = resident()
kept = [opened() for _ in range(ROUNDS)]
print(closed, resident() - start)
""".replace("ROUNDS", "6")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell what is resident")
@pytest.mark.parametrize(
    "built", [case for case in CASES if (case.network, case.precision) == (TRAINED, "fp32")], ids=str, indirect=True
)
def test_closing_gives_the_memory_back(built: Built, engine: Engine) -> None:
    """Six that were opened and closed leave less than half of what six hold that are open."""
    command = [sys.executable, "-c", LEAK, str(built.folder)]
    closed, opened = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert opened > 0
    assert closed < opened / 2

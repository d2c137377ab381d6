"""Distillation in miniature: a small teacher in an ONNX file, a smaller student, a few painted crops."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

cv2 = pytest.importorskip("cv2", reason="crops are read by OpenCV")
torch = pytest.importorskip("torch", reason="a student is trained by torch")

from safetensors.torch import load_file  # noqa: E402
from small_distillation import (  # noqa: E402
    CROPS,
    HEIGHT,
    SETTINGS,
    STUDENT,
    WIDTH,
    paint_crops,
    small_job,
    small_sequence,
    small_student,
    stop_after,
    write_teacher,
)
from tiny_artifact import tiny_artifact  # noqa: E402
from tiny_manifest import Tiny  # noqa: E402
from torch import nn  # noqa: E402

from reidkit.calibration.crops import cut_from_video  # noqa: E402
from reidkit.export.backbones import find_backbone  # noqa: E402
from reidkit.export.checkpoints import random_backbone  # noqa: E402
from reidkit.export.distillation import CropSources, DistillationJob, Stopped, distil  # noqa: E402
from reidkit.export.distillation.losses import likeness_loss  # noqa: E402
from reidkit.export.distillation.teacher import open_teacher, unit_embeddings  # noqa: E402
from reidkit.export.distillation.training import Training  # noqa: E402
from reidkit.export.distillation.validation import (  # noqa: E402
    hold_out,
    neighbour_agreement,
    neighbours_compared,
)
from reidkit.export.distillation.views import draw_views, render  # noqa: E402
from reidkit.export.distillation.work import workplace, write_together  # noqa: E402
from reidkit.export.onnx import CropEmbedder  # noqa: E402
from reidkit.runtime.engines import open_artifact  # noqa: E402
from reidkit.runtime.errors import EngineFailure, InvalidConfig, InvalidFile, InvalidInput  # noqa: E402


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paint_crops(tmp_path_factory.mktemp("crops"))


@pytest.fixture
def job(tmp_path: Path, crops: Path) -> DistillationJob:
    return small_job(tmp_path, crops)


def _same_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_training_writes_weights_and_a_card(job: DistillationJob, crops: Path) -> None:
    result = distil(replace(job, gallery=crops, terms="painted, free"))
    tensors = load_file(job.output)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert tensors.keys() == {key for key in small_student().state_dict() if not key.endswith("num_batches_tracked")}
    card = json.loads(job.output.with_suffix(".card.json").read_text())
    assert card == result.card.to_dict()
    assert card["terms"] == "painted, free"
    assert card["teacher"]["preprocessing"] == job.teacher_preprocessing
    assert card["settings"]["patience"] == job.patience
    assert f"teacher's {card['neighbours_compared']} nearest" in job.output.with_suffix(".card.md").read_text()
    assert card["course"]["ended"] == "complete"
    assert card["labelled"]["teacher"]["mean_average_precision"] > 90
    text = job.output.with_suffix(".card.md").read_text()
    assert all(part in text for part in ("painted, free", card["crops"]["sha256"], "mAP"))
    assert sorted(path.name for path in job.work.iterdir()) == ["labels"]


def test_a_killed_training_resumes_to_the_same_weights(job: DistillationJob, tmp_path: Path) -> None:
    distil(job)
    again = replace(job, output=tmp_path / "again" / "tiny.safetensors")
    stopped = distil(again, should_stop=stop_after(14))
    assert stopped.interrupted
    assert 0 < stopped.card.course["epochs"] < SETTINGS.epochs
    assert not _same_weights(job.output, again.output)
    assert not distil(replace(again, resume=True)).interrupted
    assert _same_weights(job.output, again.output)


def test_stopping_leaves_the_best_weights_and_says_so(job: DistillationJob) -> None:
    result = distil(job, should_stop=stop_after(14))
    assert result.card.course["ended"] == "interrupted"
    assert job.output.is_file()
    assert (job.work / "training.pt").is_file()


@pytest.mark.parametrize("questions", [0, 1])
def test_stopping_before_the_first_step_leaves_nothing_to_resume(questions: int, job: DistillationJob) -> None:
    with pytest.raises(Stopped):
        distil(job, should_stop=stop_after(questions))
    assert not job.output.exists()
    assert not (job.work / "training.pt").exists()


def test_two_processes_do_not_train_for_one_output(job: DistillationJob) -> None:
    with workplace(job.work), pytest.raises(InvalidInput, match=r"another run is writing into .*tiny\.work"):
        distil(job)
    assert not job.work.exists()
    distil(job)


def test_labelled_crops_are_read_before_a_training_is_paid_for(job: DistillationJob, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "somebody.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    with pytest.raises(InvalidFile, match="does not tell who is seen"):
        distil(replace(job, gallery=tmp_path), should_stop=lambda: True)
    assert not job.work.exists()


def test_files_that_belong_together_are_all_replaced_or_none(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_together({first: b"1", second: b"1"})
    with _room_for(1000), pytest.raises(InvalidFile, match=r"cannot write .*second"):
        write_together({first: b"2", second: bytes(2000)})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"first": b"1", "second": b"1"}


def test_a_student_that_takes_bgr_is_shown_bgr(job: DistillationJob, crops: Path, tmp_path: Path) -> None:
    card = replace(STUDENT, preprocessing=replace(STUDENT.preprocessing, color="bgr"))
    module, images = random_backbone(STUDENT), torch.randint(0, 256, (CROPS, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    mirrored = random_backbone(STUDENT)
    mirrored[0].weight.data = module[0].weight.flip(1)
    bank = nn.functional.normalize(torch.randn(CROPS, 12, generator=torch.Generator().manual_seed(0)))
    shown = [
        Training(student, images, bank, preprocessing=its.preprocessing, settings=SETTINGS).embed(images)
        for student, its in ((module, STUDENT), (mirrored, card))
    ]
    assert torch.allclose(shown[0], shown[1], atol=1e-2)
    rgb = distil(replace(job, gallery=crops)).card
    bgr = distil(replace(job, gallery=crops, student=card, output=tmp_path / "bgr.safetensors")).card
    assert bgr.labelled["teacher"] == rgb.labelled["teacher"]
    assert bgr.crops == rgb.crops


def test_an_unfinished_training_is_not_lost_by_starting_anew(job: DistillationJob) -> None:
    distil(job, should_stop=stop_after(14))
    with pytest.raises(InvalidInput, match=r"unfinished training.*--resume"):
        distil(job)
    other = replace(job, resume=True, settings=replace(SETTINGS, seed=7))
    with pytest.raises(InvalidInput, match="another student, teacher, set of crops or settings"):
        distil(other)


def test_a_damaged_checkpoint_is_told(job: DistillationJob) -> None:
    job.work.mkdir(parents=True)
    (job.work / "training.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InvalidFile, match="damaged"):
        distil(replace(job, resume=True))


def test_the_teacher_is_asked_once(job: DistillationJob, tmp_path: Path) -> None:
    distil(job)
    answers = {path: path.stat().st_mtime_ns for path in (job.work / "labels").iterdir()}
    assert len(answers) == SETTINGS.views
    job.output.unlink()
    distil(job)
    assert {path: path.stat().st_mtime_ns for path in (job.work / "labels").iterdir()} == answers


def test_the_same_seed_gives_the_same_weights_and_another_one_others(job: DistillationJob, tmp_path: Path) -> None:
    outputs = [tmp_path / name / "tiny.safetensors" for name in "abc"]
    for output, seed in zip(outputs, (0, 0, 1), strict=True):
        distil(replace(job, output=output, settings=replace(SETTINGS, seed=seed)))
    assert _same_weights(outputs[0], outputs[1])
    assert not _same_weights(outputs[0], outputs[2])


def test_a_student_learns(job: DistillationJob) -> None:
    few, many = (replace(SETTINGS, epochs=epochs, learning_rate=0.02) for epochs in (1, 12))
    before = distil(replace(job, settings=few)).card.neighbour_agreement
    longer = job.output.with_name("longer.safetensors")
    assert distil(replace(job, settings=many, output=longer)).card.neighbour_agreement >= before


def test_it_begins_with_given_weights(job: DistillationJob, tmp_path: Path) -> None:
    distil(job)
    further = replace(job, output=tmp_path / "further" / "tiny.safetensors", initial=job.output)
    assert distil(further).card.initialisation.startswith("tiny.safetensors, sha256 ")


def test_a_time_budget_ends_a_training(job: DistillationJob) -> None:
    settings = replace(SETTINGS, epochs=10_000, minutes=0.02)
    result = distil(replace(job, settings=settings, patience=settings.epochs))
    assert result.card.course["ended"] == "complete"
    assert result.card.course["epochs"] < settings.epochs


def test_a_training_that_gets_no_better_ends_once_it_sees_whole_pictures(job: DistillationJob) -> None:
    still = replace(SETTINGS, epochs=20, learning_rate=1e-12, matrix_rate=1e-12)
    result = distil(replace(job, settings=still, patience=2))
    assert result.card.course["ended"] == "no better for a while"
    assert still.half_size_share * still.epochs < result.card.course["epochs"] < still.epochs


def test_a_teacher_that_yields_nan_is_refused(job: DistillationJob) -> None:
    teacher = write_teacher(job.teacher.with_name("nan.onnx"), operator="Acos")
    with pytest.raises(EngineFailure, match=r"nan.onnx gives NaN.*for \d+ of \d+ crops \(0001_c1"):
        distil(replace(job, teacher=teacher))
    assert not job.output.exists()


def test_a_vendor_file_needs_its_preprocessing_named(job: DistillationJob) -> None:
    with pytest.raises(InvalidConfig, match="--teacher-preprocessing"):
        distil(replace(job, teacher_preprocessing=None))
    with pytest.raises(InvalidConfig, match="names no preprocessing"):
        distil(replace(job, teacher_preprocessing="bgr"))


def test_a_file_that_is_no_model_is_told(job: DistillationJob) -> None:
    job.teacher.write_bytes(b"no model")
    with pytest.raises(InvalidFile, match="OpenVINO cannot run"):
        distil(job)


def test_an_empty_folder_is_told(job: DistillationJob, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidFile, match="holds no images"):
        distil(replace(job, sources=CropSources(folders=(tmp_path / "empty",))))


def test_unreadable_images_are_skipped_up_to_a_share(job: DistillationJob, crops: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for path in crops.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "0000_no_image.jpg").write_bytes(b"no image")
    result = distil(replace(job, sources=CropSources(folders=(folder,), unreadable_share=0.05)))
    assert [path.name for path in result.unreadable] == ["0000_no_image.jpg"]
    assert result.card.crops["count"] == CROPS
    strict = CropSources(folders=(folder,), unreadable_share=0.0)
    with pytest.raises(InvalidFile, match=r"1 of 61 files .* \(0000_no_image.jpg\)"):
        distil(replace(job, output=job.output.with_name("strict.safetensors"), sources=strict))


@contextmanager
def _room_for(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_leaves_no_half_file(job: DistillationJob) -> None:
    with _room_for(1000), pytest.raises(InvalidFile, match="cannot write"):
        distil(job)
    assert not [path for path in job.work.rglob("*") if path.is_file()]


def test_a_sequence_gives_whole_people_that_are_large_enough(tmp_path: Path) -> None:
    crops = cut_from_video(small_sequence(tmp_path / "yard"), height=HEIGHT, width=WIDTH)
    assert crops.names == ("yard#1.0", "yard#2.0")
    assert crops.images.mean(axis=(1, 2, 3)).tolist() == [40, 80]
    with pytest.raises(InvalidFile, match="shows nobody"):
        cut_from_video(small_sequence(tmp_path / "far", height=40), height=HEIGHT, width=WIDTH)


def test_a_video_needs_somebody_who_finds_people(tmp_path: Path) -> None:
    folder = small_sequence(tmp_path / "yard")
    with pytest.raises(InvalidInput, match="--detector"):
        cut_from_video(folder / "img1", height=HEIGHT, width=WIDTH)


def test_crops_of_videos_join_those_of_folders(job: DistillationJob, crops: Path, tmp_path: Path) -> None:
    sources = CropSources(folders=(crops,), videos=(small_sequence(tmp_path / "yard"),), diverse=1)
    assert distil(replace(job, sources=sources)).card.crops["count"] == CROPS + 1


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_an_artifact_teaches(color: Literal["rgb", "bgr"], dtype: Literal["uint8", "float32"], tmp_path: Path) -> None:
    tiny = Tiny(color=color, dtype=dtype, where="graph" if dtype == "uint8" else "runtime")
    folder = tiny_artifact(tmp_path, tiny)
    teacher = open_teacher(folder)
    people = np.random.default_rng(0).integers(0, 256, (20, *teacher.size, 3), dtype=np.uint8)
    with open_artifact(folder) as engine:
        boxes = [[0, 0, teacher.size[1], teacher.size[0]]]
        direct = np.concatenate([engine.embed_crops(person, boxes, color="rgb") for person in people])
    asked = unit_embeddings(teacher, people.transpose(0, 3, 1, 2).astype(np.float32), [""] * 20)
    np.testing.assert_allclose(asked, direct, atol=1e-5)


def test_a_checkpoint_teaches(tmp_path: Path) -> None:
    card = find_backbone("osnet_x0_25")
    module = random_backbone(card)
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    teacher = open_teacher(tmp_path / "weights.pt")
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, *teacher.size), dtype=np.uint8)
    np.testing.assert_allclose(
        teacher.embed(crops.astype(np.float32)), CropEmbedder(module, card.preprocessing).embed(crops), atol=1e-5
    )
    with pytest.raises(InvalidConfig, match="its own preprocessing"):
        open_teacher(tmp_path / "weights.pt", preprocessing="rgb-0-1-256x128")


def test_what_is_no_teacher_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="is no teacher"):
        open_teacher(tmp_path)


def _numbers(count: int, view: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(draw_views(count, seed=0, view=view)), torch.full((count,), view > 0)


def test_view_0_is_the_crop_itself() -> None:
    crops = torch.randint(0, 256, (5, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    shown = render(crops, torch.arange(5), *_numbers(5, 0), size=(HEIGHT, WIDTH))
    assert torch.allclose(shown, crops.float(), atol=1e-2)


def test_a_view_is_the_same_in_any_company() -> None:
    crops = torch.randint(0, 256, (40, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    numbers, changed = _numbers(40, 1)
    together = render(crops, torch.arange(40), numbers, changed, size=(HEIGHT, WIDTH))
    alone = render(crops, torch.tensor([7]), numbers[7:8], changed[7:8], size=(HEIGHT, WIDTH))
    assert torch.allclose(together[7], alone[0], atol=1e-3)
    assert 0 <= together.min() < together.max() <= 255
    assert not torch.allclose(together, crops.float(), atol=1)


def test_the_loss_is_least_where_the_student_is_the_teacher() -> None:
    teacher = nn.functional.normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)))
    same = likeness_loss(teacher, teacher, teacher, teacher)
    other = likeness_loss(teacher.roll(1, 0), teacher.roll(1, 0), teacher, teacher)
    assert abs(float(same)) < 1e-5 < float(other)


def test_whole_neighbourhoods_are_held_out() -> None:
    people = np.repeat(np.eye(50, dtype=np.float32), 10, axis=0)
    held = hold_out(torch.from_numpy(people), seed=0)
    per_person: NDArray[np.int64] = held.reshape(50, 10).sum(axis=1)
    assert set(per_person.tolist()) == {0, 10}
    assert 0 < held.mean() <= 0.1


@pytest.mark.parametrize("count", [24, 40, 60, 119])
def test_of_few_crops_agreement_is_no_matter_of_course(count: int) -> None:
    embeddings = nn.functional.normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(count)))
    held = int(hold_out(embeddings, seed=0).sum())
    assert 5 <= held <= max(5, count // 10)
    assert neighbours_compared(held) <= (held - 1) / 2


def test_agreement_is_one_with_oneself() -> None:
    unit = nn.functional.normalize(torch.randn(30, 8, generator=torch.Generator().manual_seed(0)))
    assert neighbour_agreement(unit, unit) == 1
    assert neighbour_agreement(unit[torch.randperm(30)], unit) < 0.6

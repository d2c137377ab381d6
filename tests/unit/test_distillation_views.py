"""What a student is shown, and what its loss asks of it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'export'")

from torch.nn import functional  # noqa: E402

from reidkit.export.distillation import losses, views  # noqa: E402


def detail(images: torch.Tensor) -> torch.Tensor:
    """(N,) how much neighbouring pixels differ."""
    return (images[..., 1:] - images[..., :-1]).abs().mean(dim=(1, 2, 3))


def test_some_views_show_somebody_far_away() -> None:
    torch.manual_seed(0)
    crops = torch.randint(0, 256, (1, 3, 256, 128), dtype=torch.uint8)
    numbers = torch.full((6, views.NUMBERS), 0.5)
    numbers[:, views.FAR.start] = torch.tensor([0.04, 0.12, 0.20, 0.28, 0.33, 0.9])
    shown = views.render(
        crops, torch.zeros(6, dtype=torch.long), numbers, torch.ones(6, dtype=torch.bool), size=(256, 128)
    )
    left = detail(shown)
    # Fewer pixels, less detail; beyond the last height all is as it was.
    assert left[:4].tolist() == sorted(left[:4].tolist(), reverse=True)
    assert left[0] < 0.8 * left[4]
    assert left[4] == left[5]


def test_a_crop_as_it_is_is_never_far_away() -> None:
    crops = torch.randint(0, 256, (1, 3, 128, 64), dtype=torch.uint8)
    numbers = torch.zeros(1, views.NUMBERS)
    shown = views.render(
        crops, torch.zeros(1, dtype=torch.long), numbers, torch.zeros(1, dtype=torch.bool), size=(128, 64)
    )
    torch.testing.assert_close(shown, crops.float(), atol=0.01, rtol=0)


def test_how_alike_strangers_are_matters() -> None:
    """Relations are blind to a cosine that all pairs share; the level is not."""
    torch.manual_seed(0)
    teacher = functional.normalize(torch.randn(8, 64))
    apart = functional.normalize(teacher.clamp(min=0))
    shared = torch.cat([apart, torch.full((8, 1), 1.0)], dim=1)  # cosines halved and raised by 0.5
    bank = teacher
    faithful = losses.likeness_loss(apart, teacher, teacher, bank)
    raised = losses.likeness_loss(shared, teacher, teacher, bank)
    assert raised - faithful > losses.LEVEL * 0.05


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    teacher = functional.normalize(torch.rand(8, 64))  # nowhere negative, as OSNet's
    assert losses.likeness_loss(teacher, teacher, teacher, teacher).item() == pytest.approx(0, abs=1e-5)

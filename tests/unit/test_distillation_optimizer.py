"""Muon and AdamW as one: each weight goes to one of them, and stepping moves the module's own memory."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from reidkit.export.distillation.optimizer import Optimizer  # noqa: E402


def _module() -> nn.Sequential:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(4, 16, 3, bias=False),
        nn.BatchNorm2d(16),
        nn.Conv2d(16, 16, 3, groups=16),
        nn.Conv2d(16, 32, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 2),
    )
    return module.to(memory_format=torch.channels_last)


def _optimizer(module: nn.Module, **rates: float) -> Optimizer:
    return Optimizer(module, **{"matrix_rate": 0.02, "learning_rate": 0.004, "weight_decay": 0.0, **rates})


def _gradients(module: nn.Module) -> None:
    (module(torch.randn(8, 4, 9, 7, generator=torch.Generator().manual_seed(1))) ** 2).sum().backward()


def _moved(module: nn.Module, optimizer: Optimizer) -> dict[str, torch.Tensor]:
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    _gradients(module)
    optimizer.step(1.0)
    return {name: (parameter.detach() - before[name]) for name, parameter in module.named_parameters()}


def test_matrices_are_muons_and_the_rest_adams() -> None:
    module = _module()
    moved = _moved(module, _optimizer(module, learning_rate=0.0))
    assert {name for name, step in moved.items() if step.any()} == {"0.weight", "3.weight"}
    module = _module()
    moved = _moved(module, _optimizer(module, matrix_rate=0.0))
    assert not {name for name, step in moved.items() if step.any()} & {"0.weight", "3.weight"}


def test_muon_steps_along_an_orthogonal_matrix() -> None:
    module = _module()
    step = _moved(module, _optimizer(module))["0.weight"].flatten(1) / 0.02
    values = torch.linalg.svdvals(step)
    # Five Newton-Schulz steps bring what is not near zero to between 0.7 and 1.2 (Jordan et al., 2024).
    assert values.max() < 1.3
    assert values.median() > 0.6


def test_gradients_are_forgotten_and_states_restored() -> None:
    one, other = _module(), _module()
    first, second = _optimizer(one), _optimizer(other)
    _moved(one, first)
    assert all(parameter.grad is None for parameter in one.parameters())
    other.load_state_dict(one.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    _moved(one, first)
    _moved(other, second)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))

"""Adam whose updates are held: against torch's own, and against a sudden gradient."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import Adam

from mien.nn.stable_adam import StableAdam

_LR, _BETA2 = 1e-3, 0.99


def _steps(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, gradients: list[float]) -> list[float]:
    """The root mean square of each update, in learning rates."""
    pattern = torch.randn(4, 5, generator=torch.Generator().manual_seed(3)).sign()
    sizes = []
    for gradient in gradients:
        before = parameter.detach().clone()
        parameter.grad = pattern * gradient
        optimizer.step()
        sizes.append(float((parameter.detach() - before).square().mean().sqrt()) / _LR)
    return sizes


def test_gradients_of_the_usual_size_move_as_in_adam() -> None:
    gradients = [1.0, 0.9, 0.95, 0.5, 0.7, 0.2, 0.4]  # never above what its moments have seen
    ours, theirs = nn.Parameter(torch.ones(4, 5)), nn.Parameter(torch.ones(4, 5))
    _steps(StableAdam([ours], most=1.0, lr=_LR, beta2=_BETA2), ours, gradients)
    _steps(Adam([theirs], lr=_LR, betas=(0.0, _BETA2)), theirs, gradients)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


def test_a_sudden_gradient_moves_no_further_than_most() -> None:
    calm = [0.01] * 300
    plain = nn.Parameter(torch.ones(4, 5))
    adam = Adam([plain], lr=_LR, betas=(0.0, _BETA2))
    assert _steps(adam, plain, [*calm, 10.0])[-1] > 9  # 1 / sqrt(1 - .99) is 10
    for most in (1.0, 2.0):
        held = nn.Parameter(torch.ones(4, 5))
        sizes = _steps(StableAdam([held], most=most, lr=_LR, beta2=_BETA2), held, [*calm, 10.0])
        assert max(sizes) <= most * 1.01
        assert sizes[-1] == pytest.approx(most, rel=0.01)


def test_most_0_is_adam() -> None:
    ours, theirs = nn.Parameter(torch.ones(4, 5)), nn.Parameter(torch.ones(4, 5))
    gradients = [0.01] * 20 + [5.0, 0.1]
    _steps(StableAdam([ours], most=0.0, lr=_LR, beta2=_BETA2), ours, gradients)
    _steps(Adam([theirs], lr=_LR, betas=(0.0, _BETA2)), theirs, gradients)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


def test_it_goes_on_from_a_state_of_adam() -> None:
    one, other = nn.Parameter(torch.ones(4, 5)), nn.Parameter(torch.ones(4, 5))
    adam = Adam([one], lr=_LR, betas=(0.0, _BETA2))
    _steps(adam, one, [0.3, 0.2])
    with torch.no_grad():
        other.copy_(one)
    ours = StableAdam([other], most=1.0, lr=_LR, beta2=_BETA2)
    ours.load_state_dict(copy.deepcopy(adam.state_dict()))
    _steps(adam, one, [0.1])
    _steps(ours, other, [0.1])
    torch.testing.assert_close(
        ours.state[other]["exp_avg_sq"], adam.state[one]["exp_avg_sq"], rtol=1e-6, atol=0
    )
    torch.testing.assert_close(other, one, rtol=1e-6, atol=0)


def test_all_parameters_at_once_move_as_one_by_one() -> None:
    """As on a GPU: some held, some not, one without a gradient, one that begins later."""
    rng = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (7,), (2, 2, 2), (1,)]
    start = [torch.randn(shape, generator=rng) for shape in shapes]
    ends = []
    for together in (False, True):
        parameters = [nn.Parameter(values.clone()) for values in start]
        optimizer = StableAdam(parameters, most=1.0, lr=_LR, beta2=_BETA2)
        draws = torch.Generator().manual_seed(1)
        for step in range(6):
            for index, parameter in enumerate(parameters):
                size = 50.0 if (step, index) == (4, 1) else 0.1
                parameter.grad = torch.randn(parameter.shape, generator=draws) * size
            parameters[3].grad = None
            if step < 2:
                parameters[2].grad = None
            if together:
                with torch.no_grad():
                    given = [p for p in parameters if p.grad is not None]
                    optimizer._update_together(given, optimizer.param_groups[0])
            else:
                optimizer.step()
        ends.append((parameters, optimizer.state_dict()["state"]))
    for one, other in zip(ends[0][0], ends[1][0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert ends[0][1].keys() == ends[1][1].keys()
    for index, state in ends[0][1].items():
        torch.testing.assert_close(state["exp_avg_sq"], ends[1][1][index]["exp_avg_sq"])
        assert state["step"] == ends[1][1][index]["step"]

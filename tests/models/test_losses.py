"""Losses and penalties against their equations."""

import math

import pytest
import torch
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.types import Batch, Phase, Progress, Spec
from mien.models import dcgan, lite
from mien.nn.batch_norm import minibatch_stddev
from mien.nn.penalty import squared_gradient
from mien.nn.strided import stages


class FixedScores(nn.Module):
    """A discriminator that scores by mean brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(1.0))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.slope * images.mean(dim=(1, 2, 3))


class FixedFakes(nn.Module):
    """A generator of pictures whose brightness is a quarter."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.25))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.level.expand(len(z), 3, 8, 8)


def batch_of(level: float) -> Batch:
    return Batch(torch.full((4, 3, 8, 8), level), None, torch.Generator())


def with_fixed(trainable: lite.Lite | dcgan.Dcgan) -> lite.Lite | dcgan.Dcgan:
    trainable.networks = {"g": FixedFakes(), "d": FixedScores()}
    trainable.begin_step(Progress(0, 0, 0.0))
    return trainable


def test_lite_pairs_reals_with_fakes() -> None:
    """Relativistic pairing: softplus(-(real - fake)) for D, softplus(-(fake - real)) for G."""
    model = with_fixed(lite.build(lite.Config(), Spec(8)))
    d_loss, _ = model.loss(Phase("d", "d"), batch_of(0.75))
    g_loss, _ = model.loss(Phase("g", "g"), batch_of(0.75))
    assert d_loss.item() == pytest.approx(math.log1p(math.exp(-0.5)), rel=1e-5)
    assert g_loss.item() == pytest.approx(math.log1p(math.exp(0.5)), rel=1e-5)


def test_lite_tells_a_pictures_own_labels_from_anothers() -> None:
    """softplus(score with the neighbour's labels - score with its own), times its weight."""
    spec = Spec(8, 3, 2, ("a", "b"))
    labels = torch.eye(2)[[0, 1, 1, 0]]
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    losses = []
    for weight in (0.0, 0.5):
        torch.manual_seed(0)
        model = lite.build(lite.Config(match_weight=weight, batch_size=4), spec)
        batch = Batch(images, labels, torch.Generator().manual_seed(2))
        losses.append(model.loss(Phase("d", "d"), batch)[0])
    d = model.networks["d"]
    apart = d(images, labels[[3, 0, 1, 2]]) - d(images, labels)
    expected = 0.5 * torch.log1p(apart.exp()).mean()
    assert (losses[1] - losses[0]).item() == pytest.approx(expected.item(), rel=1e-4)
    assert (apart == 0).tolist() == [True, False, True, False]  # the same labels: nothing to learn


def test_dcgan_is_binary_cross_entropy() -> None:
    model = with_fixed(dcgan.build(dcgan.Config(), Spec(8)))
    d_loss, _ = model.loss(Phase("d", "d"), batch_of(0.75))
    g_loss, _ = model.loss(Phase("g", "g"), batch_of(0.75))
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    assert d_loss.item() == pytest.approx(-math.log(sigmoid(0.75)) - math.log(1 - sigmoid(0.25)), rel=1e-5)
    assert g_loss.item() == pytest.approx(-math.log(sigmoid(0.25)), rel=1e-5)


@pytest.mark.parametrize("gamma_scale", [1.0, 4.0])
def test_lite_penalises_both_sides(gamma_scale: float) -> None:
    """gamma/2 (R1 + R2); a mean over P pixels has the squared gradient 1/P on either side."""
    model = with_fixed(lite.build(lite.Config(gamma=6), Spec(8)))
    model.begin_step(Progress(0, 0, 0.0, gamma_scale=gamma_scale))
    loss, logs = model.loss(Phase("penalty", "d"), batch_of(0.75))
    each = 1 / (3 * 8 * 8)
    assert loss.item() == pytest.approx(3 * gamma_scale * 2 * each, rel=1e-5)
    assert logs["Loss/r1_penalty"].item() == pytest.approx(each, rel=1e-5)


def test_lazy_penalty_has_its_interval_as_gain() -> None:
    model = lite.build(lite.Config(penalty_interval=4), Spec(8))
    phases = [list(model.phases(Progress(0, step, 0.0))) for step in range(8)]
    penalties = [[phase for phase in step if phase.name == "penalty"] for step in phases]
    assert [len(found) for found in penalties] == [1, 0, 0, 0, 1, 0, 0, 0]
    assert penalties[0][0].gain == 4
    assert penalties[0][0].full_precision


def test_penalty_gradient_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    images = torch.randn(3, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    weight = network[1].weight

    def penalty() -> Tensor:
        return squared_gradient(network(images)[:, 0], images).mean()

    (analytic,) = torch.autograd.grad(penalty(), weight)
    with torch.no_grad():
        weight[2, 3] += 1e-6
    above = penalty().item()
    with torch.no_grad():
        weight[2, 3] -= 2e-6
    below = penalty().item()
    assert analytic[2, 3].item() == pytest.approx((above - below) / 2e-6, rel=1e-5)


def test_stddev_of_equal_samples_is_nothing_and_of_two_levels_is_half_their_distance() -> None:
    equal = minibatch_stddev(torch.ones(4, 2, 3, 3))
    assert equal.shape == (4, 3, 3, 3)
    assert equal[:, 2].abs().max() < 1e-3
    mixed = torch.zeros(4, 2, 3, 3)
    mixed[:2] = 3.0
    assert torch.allclose(minibatch_stddev(mixed)[:, 2], torch.tensor(1.5), atol=1e-4)


@pytest.mark.parametrize(("count", "group"), [(6, 4), (7, 4), (2, 4), (1, 4)])
def test_stddev_takes_any_batch(count: int, group: int) -> None:
    assert minibatch_stddev(torch.randn(count, 2, 4, 4), group_size=group).shape == (count, 3, 4, 4)


@pytest.mark.parametrize("resolution", [7, 48, 4, 512, 0])
def test_sizes_that_do_not_fit_are_refused(resolution: int) -> None:
    with pytest.raises(InputError, match="power of two"):
        stages(resolution)


def test_learning_rate_follows_budget_and_guard() -> None:
    model = lite.build(lite.Config(lr=4e-4, lr_final=0.25), Spec(8))
    rates = []
    for fraction, scale in ((0.0, 1.0), (1.0, 1.0), (0.0, 0.5)):
        model.begin_step(Progress(0, 0, fraction, lr_scale=scale))
        rates.append(model.optimizers["g"].param_groups[0]["lr"])
    assert rates == pytest.approx([4e-4, 1e-4, 2e-4])

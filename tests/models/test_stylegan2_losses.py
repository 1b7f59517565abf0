"""StyleGAN2's losses, regularisers and schedules on toys of which everything is known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mien.core.types import Batch, Phase, Progress, Spec
from mien.models import stylegan2
from mien.models._styles import mixed_styles

SMALL = stylegan2.Config(batch_size=8, z_dim=4, w_dim=4, channel_base=64, channel_max=8, mixing=0.0)


class ToyMapping(nn.Module):
    """A latent is its own style, in every layer."""

    z_dim, num_ws = 4, 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones([]))

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return (z * self.scale)[:, None].repeat(1, self.num_ws, 1)


class ToyGenerator(nn.Module):
    """Pictures that bend with their styles: tanh(M w), 2x2 px."""

    num_ws = 3

    def __init__(self) -> None:
        super().__init__()
        self.mapping = ToyMapping()
        matrix = torch.randn(12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.matrix = nn.Parameter(matrix / 2)

    def synthesis(self, ws: Tensor, *, noise: str, rng: torch.Generator | None) -> Tensor:
        return torch.tanh(ws.flatten(1).to(self.matrix.dtype) @ self.matrix).view(-1, 3, 2, 2)


class Brightness(nn.Module):
    """Scores by mean brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(1.0))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.slope * images.mean(dim=(1, 2, 3))


def toy(**changes: object) -> stylegan2.StyleGan2:
    model = stylegan2.build(SMALL.model_copy(update=changes), Spec(8))
    model.networks = {"g": ToyGenerator(), "d": Brightness()}
    return model


def batch_of(count: int, level: float = 0.0, seed: int = 0) -> Batch:
    return Batch(torch.full((count, 3, 2, 2), level), None, torch.Generator().manual_seed(seed))


def lengths_by_differences(generator: ToyGenerator, z: Tensor, noise: Tensor) -> np.ndarray:
    """|J^T y| of each picture by central differences, one style number at a time."""
    ws = generator.mapping(z, None).double()
    squares = torch.zeros(ws.shape, dtype=torch.float64)
    for layer in range(ws.shape[1]):
        for unit in range(ws.shape[2]):
            step = torch.zeros_like(ws)
            step[:, layer, unit] = 1e-5
            above, below = (generator.synthesis(ws + s, noise="none", rng=None) for s in (step, -step))
            slope = ((above - below) / 2e-5 * noise).sum(dim=(1, 2, 3)) / math.sqrt(2 * 2)
            squares[:, layer, unit] = slope.square()
    return squares.sum(dim=2).mean(dim=1).sqrt().detach().numpy()


def test_path_lengths_agree_with_finite_differences() -> None:
    """Eq. 4, normalised by pixels, averaged over layers, held to a running mean that starts at 0."""
    model = toy(path_batch_share=0.5, path_weight=2.0)
    loss, logs = model.loss(Phase("path", "g"), batch_of(8))
    rng = torch.Generator().manual_seed(0)
    z = torch.randn((2, 4, 4), generator=rng)[0]  # what the loss drew: two latents each, then the noise
    noise = torch.randn((4, 3, 2, 2), generator=rng)
    lengths = lengths_by_differences(model.networks["g"], z, noise)
    assert logs["Loss/G/path_length"].item() == pytest.approx(lengths.mean(), rel=1e-4)
    mean = 0.01 * lengths.mean()
    assert model.state_dict()["path_mean"].item() == pytest.approx(mean, rel=1e-4)
    assert loss.item() == pytest.approx(2 * ((lengths - mean) ** 2).mean(), rel=1e-4)


def test_the_path_penalty_teaches_the_generator() -> None:
    """Its gradient by one weight agrees with a central difference."""
    model = toy()
    weight = model.networks["g"].matrix

    def penalty() -> Tensor:
        model._path_mean = torch.tensor(0.3)  # so that every call starts alike
        return model.loss(Phase("path", "g"), batch_of(8))[0]

    penalty().backward()
    analytic = weight.grad[2, 5].item()
    values = []
    for change in (2e-3, -4e-3):
        with torch.no_grad():
            weight[2, 5] += change
        values.append(penalty().item())
    # The running mean is a constant to the gradient but moves, by a hundredth, in the differences.
    assert analytic == pytest.approx((values[0] - values[1]) / 4e-3, rel=0.03)


def test_the_running_mean_moves_a_hundredth_a_phase() -> None:
    model = toy()
    model.load_state_dict({"path_mean": torch.tensor(5.0)})
    _, logs = model.loss(Phase("path", "g"), batch_of(8))
    expected = 5.0 + 0.01 * (logs["Loss/G/path_length"].item() - 5.0)
    assert model.state_dict()["path_mean"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "g", "d"),
    [
        ({}, 4 / 5, 16 / 17),
        ({"path_weight": 0.0}, 1.0, 16 / 17),
        ({"path_interval": 8, "r1_interval": 4}, 8 / 9, 4 / 5),
        ({"gamma": 0.0}, 4 / 5, 1.0),
    ],
)
def test_lazy_phases_shrink_rate_and_decay(changes: dict[str, float], g: float, d: float) -> None:
    """Appendix B: with a penalty every k steps, lr and beta2 are those of k / (k + 1) of a step."""
    model = stylegan2.build(SMALL.model_copy(update=changes), Spec(8))
    model.begin_step(Progress(0, 0, 0.0))
    for name, share in (("g", g), ("d", d)):
        group = model.optimizers[name].param_groups[0]
        assert group["lr"] == pytest.approx(0.0025 * share)
        assert group["betas"] == (0.0, pytest.approx(0.99**share))


def test_lazy_phases_come_at_their_interval_with_it_as_gain() -> None:
    model = stylegan2.build(SMALL, Spec(8))
    steps = [{p.name: p for p in model.phases(Progress(0, step, 0.0))} for step in range(17)]
    assert [step for step, phases in enumerate(steps) if "path" in phases] == [0, 4, 8, 12, 16]
    assert [step for step, phases in enumerate(steps) if "r1" in phases] == [0, 16]
    assert (steps[0]["path"].gain, steps[0]["r1"].gain) == (4, 16)
    assert steps[0]["path"].full_precision
    assert steps[0]["r1"].full_precision
    assert not steps[0]["g"].full_precision


@pytest.mark.parametrize(
    ("resolution", "batch", "gamma"), [(64, 32, 0.0256), (256, 64, 0.2048), (32, 8, 0.0256)]
)
def test_r1_weight_follows_resolution_and_batch(resolution: int, batch: int, gamma: float) -> None:
    """StyleGAN2-ADA's heuristic, .0002 resolution^2 / batch."""
    model = stylegan2.build(SMALL.model_copy(update={"batch_size": batch}), Spec(resolution))
    model.networks = {"g": ToyGenerator(), "d": Brightness()}
    model.begin_step(Progress(0, 0, 0.0))
    loss, logs = model.loss(Phase("r1", "d"), batch_of(4))
    assert logs["Loss/r1_penalty"].item() == pytest.approx(1 / 12, rel=1e-5)  # a mean over 12 numbers
    assert loss.item() == pytest.approx(gamma / 2 / 12, rel=1e-4)


def test_the_guard_doubles_gamma_and_halves_the_rate() -> None:
    model = toy(gamma=3.0)
    model.begin_step(Progress(0, 0, 0.0, lr_scale=0.5, gamma_scale=2.0))
    loss, _ = model.loss(Phase("r1", "d"), batch_of(4))
    assert loss.item() == pytest.approx(6 / 2 / 12, rel=1e-5)
    assert model.optimizers["d"].param_groups[0]["lr"] == pytest.approx(0.0025 * 16 / 17 / 2)


def test_scores_are_judged_by_softplus() -> None:
    """softplus(fake) + softplus(-real) for D, softplus(-fake) for G."""
    model = toy()
    d_loss, logs = model.loss(Phase("d", "d"), batch_of(8, 0.75))
    rng = torch.Generator().manual_seed(0)
    z = torch.randn((2, 8, 4), generator=rng)[0]
    fakes = model.networks["g"].synthesis(model.networks["g"].mapping(z, None), noise="none", rng=None)
    scores = fakes.mean(dim=(1, 2, 3)).detach().numpy()
    assert logs["Loss/scores/fake"].item() == pytest.approx(scores.mean(), rel=1e-4)
    expected = np.log1p(np.exp(scores)).mean() + math.log1p(math.exp(-0.75))
    assert d_loss.item() == pytest.approx(expected, rel=1e-4)
    g_loss, _ = model.loss(Phase("g", "g"), batch_of(8, 0.75))
    assert g_loss.item() == pytest.approx(np.log1p(np.exp(-scores)).mean(), rel=1e-4)


def mix(count: int, *, layers: int, mixing: float) -> Tensor:
    """ws of a mapping with twelve layers, a latent in each."""
    mapping = ToyMapping()
    mapping.num_ws = 12
    rng = torch.Generator().manual_seed(0)
    return mixed_styles(mapping, None, count, layers=layers, mixing=mixing, rng=rng)


def test_most_pictures_take_their_finer_styles_from_a_second_latent() -> None:
    ws = mix(20_000, layers=12, mixing=0.9)
    from_second = (ws != ws[:, :1]).any(dim=2)  # [N, 12]: where the style is not the first layer's
    assert from_second.any(dim=1).float().mean().item() == pytest.approx(0.9, abs=0.01)
    assert torch.equal(from_second, from_second.cummax(dim=1).values)  # once changed, it stays
    changes = from_second.int().argmax(dim=1)[from_second.any(dim=1)]
    shares = torch.bincount(changes, minlength=12).float() / len(changes)
    assert shares[0] == 0
    assert torch.allclose(shares[1:], torch.full((11,), 1 / 11), atol=0.01)


def test_the_change_comes_within_the_layers_in_use() -> None:
    ws = mix(2000, layers=4, mixing=1.0)
    changes = (ws != ws[:, :1]).any(dim=2).int().argmax(dim=1)
    assert set(changes.tolist()) == {1, 2, 3}


def test_without_mixing_every_layer_has_one_style() -> None:
    ws = mix(50, layers=12, mixing=0.0)
    assert torch.equal(ws, ws[:, :1].expand(-1, 12, -1))


@pytest.mark.parametrize(
    ("nimg", "half_life"), [(0, 0.0), (1000, 50.0), (200_000, 10_000.0), (10**6, 10_000.0)]
)
def test_the_half_life_ramps_up(nimg: int, half_life: float) -> None:
    model = stylegan2.build(SMALL, Spec(8))
    assert model.half_lives(Progress(nimg, 0, 0.0)) == {"g": pytest.approx(half_life)}


def test_without_ramp_the_half_life_is_constant() -> None:
    model = stylegan2.build(SMALL.model_copy(update={"ema_ramp": None}), Spec(8))
    assert model.half_lives(Progress(0, 0, 0.0)) == {"g": 10_000}

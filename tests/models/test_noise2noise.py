"""What the noises do to pictures, what the losses ask for; noisy targets never show the clean one."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from mien.core.types import Batch, Phase, Progress, Spec
from mien.models import noise2noise
from mien.models.noise2noise import PRESETS, Config, Noise2Noise, build, crop, distance
from mien.nn.denoise_unet import Denoiser
from mien.nn.noise import Noise, noise
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream
from pictures import ArrayDataset

SMALL = {"width": 6, "levels": 2, "batch_size": 8}
PHASE = Phase("net", "net")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gray(value: float, count: int = 64, side: int = 32, channels: int = 3) -> Tensor:
    return torch.full((count, channels, side, side), value)


def batch(images: Tensor, seed: int = 0, others: Tensor | None = None) -> Batch:
    return Batch(images, None, seeded(seed), others=others)


@pytest.mark.parametrize("value", [-1.0, 0.3, 1.0])
@pytest.mark.parametrize("sigma", [5.0, 25.0])
def test_gaussian_noise_has_its_deviation_and_no_mean(value: float, sigma: float) -> None:
    """Also at the ends of the range, where clipping would shift the mean."""
    amiss = Noise("gaussian", sigma, sigma)(gray(value), seeded()) - value
    count = amiss.numel()
    assert abs(float(amiss.mean())) < 4 * (sigma / 127.5) / count**0.5
    assert float(amiss.std()) * 127.5 == pytest.approx(sigma, rel=0.01)


@pytest.mark.parametrize("value", [-0.6, 0.0, 1.0])
def test_poisson_noise_has_the_variance_of_its_photons_and_no_mean(value: float) -> None:
    photons = 20.0
    light = (value + 1) / 2
    spoilt = (Noise("poisson", photons, photons)(gray(value), seeded()) + 1) / 2
    deviation = (light / photons) ** 0.5
    assert abs(float(spoilt.mean()) - light) < 4 * deviation / spoilt.numel() ** 0.5
    assert float(spoilt.std()) == pytest.approx(deviation, rel=0.01)
    counts = spoilt * photons
    assert torch.allclose(counts, counts.round(), atol=1e-4)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_impulse_noise_hits_its_share_with_colours_of_all_kinds(share: float) -> None:
    clean = gray(0.25)
    spoilt = Noise("impulse", share, share)(clean, seeded())
    hit = (spoilt != clean).any(dim=1)
    assert float(hit.float().mean()) == pytest.approx(share, abs=0.01)
    assert torch.equal(hit, (spoilt != clean).all(dim=1))  # a whole colour, not one channel of it
    colours = spoilt.permute(0, 2, 3, 1)[hit]
    assert float(colours.mean()) == pytest.approx(0, abs=0.02)
    assert float(colours.std()) == pytest.approx(2 / math.sqrt(12), rel=0.02)
    assert float(torch.corrcoef(colours.T)[0, 1]) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("side", "share"), [(64, 0.1), (64, 0.5), (200, 0.3)])
def test_text_covers_its_share_and_leaves_the_median(side: int, share: float) -> None:
    clean = gray(0.25, count=24, side=side)
    spoilt = Noise("text", share, share)(clean, seeded())
    covered = (spoilt != clean).any(dim=1)
    shares = covered.float().mean(dim=(1, 2))
    assert float(shares.min()) >= share
    assert float(shares.mean()) < share + 0.06  # the last string goes a little too far
    assert spoilt.abs().max() <= 1
    if share < 0.5:
        assert float(spoilt.median()) == 0.25
    assert covered.float().mean(dim=0).max() < 1  # no pixel is always hidden


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("gaussian", 0, 50), ("poisson", 5, 50), ("text", 0, 0.5), ("impulse", 0, 0.95)]
)
def test_a_blind_model_meets_every_strength(kind: str, low: float, high: float) -> None:
    assert kind != "gaussian" or PRESETS["blind"].strength == f"{low}-{high}"
    clean = gray(0.5, count=200, side=24, channels=1)
    amiss = noise(kind, f"{low}-{high}")(clean, seeded()) - clean  # type: ignore[arg-type]
    if kind in ("text", "impulse"):
        found = (amiss != 0).float().mean(dim=(1, 2, 3))
    elif kind == "gaussian":
        found = amiss.std(dim=(1, 2, 3)) * 127.5
    else:
        found = 0.75 / (amiss / 2).var(dim=(1, 2, 3))
    eighth = (high - low) / 8
    assert float(found.min()) < low + eighth
    assert float(found.max()) > high - eighth
    assert float(found.mean()) == pytest.approx((low + high) / 2, abs=eighth)


@pytest.mark.parametrize(
    ("kind", "strength"), [("gaussian", "25"), ("poisson", "20"), ("text", "0.3"), ("impulse", "0.3")]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_follows_its_generator_alone(kind: str, strength: str, channels: int) -> None:
    clean = torch.rand((4, channels, 32, 32), generator=seeded(9)) * 2 - 1
    before = clean.clone()
    spoil = noise(kind, strength)  # type: ignore[arg-type]
    torch.manual_seed(1)
    np.random.seed(1)
    first = spoil(clean, seeded(3))
    torch.manual_seed(2)
    np.random.seed(2)
    assert torch.equal(first, spoil(clean, seeded(3)))
    assert not torch.equal(first, spoil(clean, seeded(4)))
    assert torch.equal(clean, before)
    assert not torch.equal(first[0] - clean[0], first[1] - clean[1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaussian", "poisson", "text", "impulse"])
def test_noisy_targets_never_show_the_clean_picture(kind: str) -> None:
    """Where noise hides a picture wholly, nothing of it may be left in loss or gradient."""

    class Hidden:
        def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
            return torch.randn(images.shape, generator=rng)

    def learnt(targets: str, value: float) -> list[Tensor]:
        torch.manual_seed(0)
        model = build(Config(noise=kind, targets=targets, **SMALL), Spec(16))  # type: ignore[arg-type]
        model._noise = Hidden()  # type: ignore[assignment]
        loss, _ = model.loss(PHASE, batch(gray(value, 8, 16)))
        return [loss, *torch.autograd.grad(loss, list(model.networks["net"].parameters()))]

    same = [torch.equal(*pair) for pair in zip(learnt("noisy", -0.5), learnt("noisy", 0.5), strict=True)]
    assert all(same)
    told = [torch.equal(*pair) for pair in zip(learnt("clean", -0.5), learnt("clean", 0.5), strict=True)]
    assert not any(told)


@pytest.mark.parametrize("kind", ["gaussian", "poisson", "text", "impulse"])
def test_input_and_target_have_noise_of_their_own(kind: str) -> None:
    model = build(Config(noise=kind, clip=False, **SMALL), Spec(32))  # type: ignore[arg-type]
    clean = gray(0.2, 64)
    given, wanted = (side - clean for side in model.drawn(batch(clean)))
    if kind in ("text", "impulse"):
        given, wanted = ((side != 0).float() for side in (given, wanted))
        # each picture has its own share, so what is left of its own mean is compared
        given, wanted = (side - side.mean(dim=(1, 2, 3), keepdim=True) for side in (given, wanted))
    alike = torch.corrcoef(torch.stack([given.flatten(), wanted.flatten()]))[0, 1]
    assert abs(float(alike)) < 0.05


def test_inputs_are_cut_to_what_files_hold_and_targets_are_not() -> None:
    model = build(Config(**SMALL), Spec(32))
    given, wanted = model.drawn(batch(gray(1.0)))
    assert given.max() == 1.0
    assert wanted.max() > 1.2
    assert float(wanted.mean()) == pytest.approx(1.0, abs=0.01)
    clean = build(Config(targets="clean", **SMALL), Spec(32)).drawn(batch(gray(1.0)))[1]
    assert torch.equal(clean, gray(1.0))


def test_either_of_two_noisy_pictures_may_be_the_target() -> None:
    one, two = gray(-0.5, 200), gray(0.5, 200)
    given, wanted = build(Config(noise="pairs", **SMALL), Spec(32)).drawn(batch(one, others=two))
    first = given[:, 0, 0, 0] == -0.5
    assert 70 < int(first.sum()) < 130
    assert torch.equal(given + wanted, torch.zeros_like(one))  # always one of each
    clean = build(Config(noise="pairs", targets="clean", **SMALL), Spec(32))
    given, wanted = clean.drawn(batch(one, others=two))
    assert torch.equal(given, one)
    assert torch.equal(wanted, two)
    with pytest.raises(ValueError, match="learns from pairs"):
        clean.drawn(batch(one))


def test_both_sides_of_a_pair_are_cut_at_the_same_place() -> None:
    rows = torch.arange(40.0)[:, None] * 100 + torch.arange(50.0)
    images = rows.expand(30, 1, 40, 50)
    one, two = crop(16, seeded(), images, images + 0.5)
    assert one.shape == (30, 1, 16, 16)
    assert torch.equal(one + 0.5, two)
    corners = {(int(value) // 100, int(value) % 100) for value in one[:, 0, 0, 0]}
    assert len(corners) > 20
    assert crop(64, seeded(), images)[0] is images


def test_losses_ask_for_mean_median_and_mode() -> None:
    """The value that is best against 0, 0, 0, .4 and 1.6."""
    seen = torch.tensor([0.0, 0.0, 0.0, 0.4, 1.6]) - 0.5
    tried = torch.linspace(-1, 2, 3001)[:, None]

    def best(loss: str, exponent: float = 2.0) -> float:
        costs = torch.stack([distance(one, seen, loss, exponent) for one in tried])
        return float(tried[costs.argmin()]) + 0.5

    assert best("l2") == pytest.approx(0.4, abs=2e-3)
    assert best("l1") == pytest.approx(0.0, abs=2e-3)
    assert best("l0", 2.0) == pytest.approx(0.4, abs=2e-3)
    assert best("l0", 0.1) == pytest.approx(0.0, abs=2e-3)
    mode = torch.tensor([0.0, 0.0, 0.7, 0.8, 0.9]) - 0.5  # of which the median is .7
    costs = torch.stack([distance(one, mode, "l0", 0.1) for one in tried])
    assert float(tried[costs.argmin()]) + 0.5 == pytest.approx(0.0, abs=2e-3)


def test_the_annealed_loss_equals_its_formula_in_numpy() -> None:
    found, wanted = (torch.rand((2, 3, 8, 8), generator=seeded(seed)) * 2 - 1 for seed in (1, 2))
    between = np.abs(found.double().numpy() - wanted.double().numpy()) / 2  # of pictures in [0, 1]
    for exponent in (2.0, 1.0, 0.3):
        expected = ((between + 1e-8) ** exponent).mean()
        assert float(distance(found, wanted, "l0", exponent)) == pytest.approx(expected, rel=1e-5)


def test_the_exponent_falls_from_two_to_zero_over_the_budget() -> None:
    model = build(Config(noise="impulse", **SMALL), Spec(16))
    seen = []
    for fraction in (0.0, 0.25, 0.5, 1.0):
        model.begin_step(Progress(0, 0, fraction))
        seen.append(model.exponent)
    assert seen == [2.0, 1.5, 1.0, 0.0]
    clean = torch.rand((8, 3, 16, 16), generator=seeded(5)) * 2 - 1
    for fraction in (0.0, 0.5):
        model.begin_step(Progress(0, 0, fraction))
        loss, _ = model.loss(PHASE, batch(clean))
        given, wanted = model.drawn(batch(clean))
        found = model.networks["net"](given).detach()
        expected = ((found - wanted).abs() / 2 + 1e-8).pow(2 - 2 * fraction).mean()
        assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_the_learning_rate_falls_over_the_last_third_alone() -> None:
    model = build(Config(lr=1e-3, **SMALL), Spec(16))

    def rate(fraction: float, scale: float = 1.0) -> float:
        model.begin_step(Progress(0, 0, fraction, lr_scale=scale))
        return float(model.optimizers["net"].param_groups[0]["lr"])

    assert rate(0.0) == rate(0.69) == 1e-3
    assert rate(0.85) == pytest.approx(0.25e-3)
    assert rate(1.0) == pytest.approx(0, abs=1e-12)
    assert rate(0.2, scale=0.5) == 5e-4


def test_the_network_is_the_papers() -> None:
    """Table 2 of the appendix: (channels in, out) of its convolutions, all 3 x 3."""
    n, m = 3, 3
    encoder = [(n, 48), *[(48, 48)] * 6]
    decoder = [(96, 96), (96, 96), *[(144, 96), (96, 96)] * 3, (96 + n, 64), (64, 32), (32, m)]
    expected = sum(9 * before * after + after for before, after in encoder + decoder)
    net = Denoiser(Spec(64), width=48, levels=5, residual=False)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected
    assert PRESETS["default"].width == 48
    assert PRESETS["default"].levels == 5
    shapes = [tuple(p.shape[1::-1]) for p in net.parameters() if p.ndim == 4]
    assert sorted(shapes) == sorted(encoder + decoder)


@pytest.mark.parametrize("size", [(8, 8), (33, 47), (64, 20)])
@pytest.mark.parametrize("residual", [True, False])
def test_any_size_goes_through(size: tuple[int, int], residual: bool) -> None:
    net = Denoiser(Spec(64), width=6, levels=5, residual=residual)
    images = torch.rand((2, 3, *size), generator=seeded()) * 2 - 1
    found = net(images)
    assert found.shape == images.shape
    assert torch.equal(found, images) == residual  # which begins by changing nothing


@pytest.mark.parametrize(
    ("kind", "strength", "words"),
    [
        ("gaussian", "much", "neither a number"),
        ("gaussian", "5-", "neither a number"),
        ("gaussian", "-3", "neither a number"),
        ("gaussian", "nan", "lies from 0 to 255"),
        ("gaussian", "50-25", "lower end first"),
        ("poisson", "0-50", "lies from 0.5"),
        ("text", "25", "lies from 0 to 0.9"),
        ("impulse", "1.5", "lies from 0 to 1"),
    ],
)
def test_strengths_that_make_no_sense_are_named(kind: str, strength: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        Config(noise=kind, strength=strength)  # type: ignore[arg-type]
    assert caught.value.errors()[0]["loc"] == ("strength",)


def test_its_sides_and_its_loss_follow_from_the_noise() -> None:
    assert noise2noise.sides(Config()) == "one"
    assert noise2noise.sides(Config(noise="pairs")) == "pairs"
    expected = {"gaussian": "l2", "poisson": "l2", "text": "l1", "impulse": "l0", "pairs": "l2"}
    for kind, loss in expected.items():
        assert build(Config(noise=kind, **SMALL), Spec(16))._loss == loss  # type: ignore[arg-type]
    assert build(Config(noise="text", loss="l2"), Spec(16))._loss == "l2"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaussian", "impulse"])
def test_it_learns_to_clean_from_noisy_targets_alone(kind: str) -> None:
    dataset = ArrayDataset(200, resolution=16)
    strength = "40" if kind == "gaussian" else "0.4"
    config = Config(noise=kind, strength=strength, **(SMALL | {"width": 12, "lr": 3e-3}))  # type: ignore[arg-type]
    torch.manual_seed(0)
    training = Training(build(config, dataset.spec), 0, torch.device("cpu"))
    stream = Stream(dataset, seed=0, mirror=True, labels=False, device=training.device)
    for _ in train(training, stream, Budget(nimg=2000)):
        pass
    clean = stream.batch(0, 32).images
    spoilt = noise(kind, strength)(clean, seeded(77)).clamp(-1, 1)  # type: ignore[arg-type]
    with torch.no_grad():
        cleaned = training.averages.networks["net"](spoilt)
    before, after = (10 * math.log10(4 / float((side - clean).square().mean())) for side in (spoilt, cleaned))
    print(kind, before, after)
    assert after > before + 4


def test_the_trainable_is_what_the_contract_says() -> None:
    assert isinstance(build(Config(**SMALL), Spec(16)), Noise2Noise)

"""StyleGAN: growth, fading, losses, and going on in the midst of growth."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from contracts.family_contract import assert_same
from mien.core.checkpoint import load_state, save_state
from mien.core.errors import InputError
from mien.core.types import Batch, Drawn, Phase, Progress, Spec
from mien.models import stylegan1
from mien.nn.stylegan1 import ONE, StyledLayer, doubled, halved, level_at, shown
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream
from pictures import ArrayDataset

CPU = torch.device("cpu")
SMALL = stylegan1.Config(
    **{"batch_base": 128, "batch_min": 4, "stable_nimg": 16, "fade_nimg": 24, "z_dim": 8, "w_dim": 8},
    **{"mapping_layers": 2, "channel_base": 128, "channel_max": 16, "embed_layers": 2},
)


def grown(level: int, **changes: object) -> stylegan1.StyleGan1:
    """A small network of 32 px at `level`, with noise that shows."""
    torch.manual_seed(0)
    model = stylegan1.build(SMALL.model_copy(update=changes), Spec(32))
    for name, parameter in model.networks["g"].named_parameters():
        if name.endswith("noise_strength"):
            nn.init.normal_(parameter)
    set_level(model, level)
    return model


def set_level(model: stylegan1.StyleGan1, level: int) -> None:
    model._g.synthesis.level.fill_(level)
    model._d.level.fill_(level)


@pytest.mark.parametrize(
    ("nimg", "level"),
    [(0, 0), (599_999, 0), (600_000, 0), (900_000, 0.5), (1_200_000, 1), (1_799_999, 1), (2_250_000, 1.75)],
)
def test_growth_by_images_seen(nimg: int, level: float) -> None:
    assert level_at(nimg, stable=600_000, fade=600_000, sizes=6) == level * ONE


def test_growth_ends_at_the_full_size() -> None:
    levels = [level_at(n, stable=10, fade=20, sizes=3) for n in range(0, 400)]
    assert levels == sorted(levels)
    assert levels[60] == levels[-1] == 2 * ONE
    assert levels[59] < 2 * ONE
    assert [level_at(n, stable=10, fade=0, sizes=3) for n in (9, 10, 20, 99)] == [0, ONE, 2 * ONE, 2 * ONE]


def test_what_is_shown_at_a_level() -> None:
    assert shown(0) == (0, 1.0)
    assert shown(ONE // 4) == (1, 0.25)
    assert shown(ONE) == (1, 1.0)
    assert shown(2 * ONE - 1) == (2, pytest.approx(1.0, abs=1e-4))


def test_the_larger_the_picture_the_smaller_the_batch() -> None:
    """512, 256, 128, 64, 32, 16 at 4 to 128 px, as the mugshot project ran."""
    config = SMALL.model_copy(update={"batch_base": 2048, "batch_min": 8, "first_size": 4})
    model = stylegan1.build(config, Spec(128))
    sizes = []
    for nimg in range(0, 300, 20):
        model.begin_step(Progress(nimg, 0, 0.0))
        sizes.append(model.batch_size)
    assert [size for size, _ in itertools.groupby(sizes)] == [512, 256, 128, 64, 32, 16]


@torch.no_grad()
def test_a_size_that_fades_in_is_blended_with_the_enlarged_one_before() -> None:
    model, ws = grown(ONE), torch.randn(2, 8, 8)
    synthesis = model._g.synthesis
    drawn = {}
    for level in (ONE, ONE + 1, ONE + ONE // 4, 2 * ONE - 1, 2 * ONE):
        set_level(model, level)
        drawn[level] = synthesis(ws, noise="const")
    coarse, fine = doubled(drawn[ONE]), drawn[2 * ONE]
    assert fine.shape[-1] == 32
    assert not torch.allclose(coarse, fine, atol=0.1)
    assert torch.allclose(drawn[ONE + 1], coarse, atol=1e-3)
    assert torch.allclose(drawn[ONE + ONE // 4], coarse * 0.75 + fine * 0.25, atol=1e-5)
    assert torch.allclose(drawn[2 * ONE - 1], fine, atol=1e-3)


@torch.no_grad()
def test_pictures_are_enlarged_while_the_network_is_small() -> None:
    model = grown(0)
    z = torch.randn(2, 8)
    full = model.networks["g"](z)
    small = model._g.synthesis(model._g.mapping.eval()(z, None), noise="const")
    assert full.shape[-1] == 32
    assert torch.equal(full, doubled(doubled(small)))


@torch.no_grad()
def test_the_discriminator_fades_its_input_alike() -> None:
    model, images = grown(ONE), torch.randn(4, 3, 32, 32)
    d = model.networks["d"]
    before = d(halved(images))
    set_level(model, ONE + 1)
    assert torch.allclose(d(images), before, atol=1e-3)
    set_level(model, 2 * ONE)
    after = d(images)
    assert not torch.allclose(after, before, atol=1e-2)
    set_level(model, 2 * ONE - 1)
    assert torch.allclose(d(images), after, atol=1e-3)


def test_reals_are_reduced_and_faded_like_the_fakes() -> None:
    model, images = grown(0), torch.randn(2, 3, 32, 32)
    model.begin_step(Progress(0, 0, 0.0))
    assert torch.allclose(model._seen(images), halved(halved(images)), atol=1e-6)
    model.begin_step(Progress(16 + 6, 0, 0.0))  # a quarter of the way from 8 to 16 px
    sixteen = halved(images)
    assert torch.allclose(model._seen(images), sixteen * 0.25 + doubled(halved(sixteen)) * 0.75, atol=1e-6)


def test_a_layer_leaves_the_statistics_of_its_style() -> None:
    torch.manual_seed(0)
    layer = StyledLayer(6, 4, 5, 16, up=True)
    x, w = torch.randn(2, 6, 8, 8), torch.randn(2, 5)
    y = layer(x, w, noise="random", rng=torch.Generator())
    deviation, mean = layer.affine(w).chunk(2, dim=1)
    assert y.shape == (2, 4, 16, 16)
    assert torch.allclose(y.mean(dim=(2, 3)), mean, atol=1e-4)
    assert torch.allclose(y.std(dim=(2, 3), unbiased=False), (1 + deviation).abs(), atol=1e-4)


def test_noise_is_none_constant_or_new() -> None:
    model, ws = grown(2 * ONE), torch.randn(1, 8, 8)
    draw = lambda noise, seed=0: model._g.synthesis(  # noqa: E731
        ws, noise=noise, rng=torch.Generator().manual_seed(seed)
    )
    assert torch.equal(draw("const"), draw("const", 1))
    assert not torch.equal(draw("random"), draw("random", 1))
    assert not torch.equal(draw("const"), draw("none"))


def test_styles_in_use_are_those_of_the_sizes_in_use() -> None:
    model = grown(0)
    counts = []
    for level in (0, 1, ONE, 2 * ONE):
        set_level(model, level)
        counts.append(model._g.synthesis.layers())
    assert counts == [4, 6, 6, 8]
    assert model.networks["g"].num_ws == 8


def test_truncation_pulls_towards_the_running_mean() -> None:
    model = grown(2 * ONE)
    mapping = model._g.mapping
    mapping(torch.randn(64, 8), None)
    assert mapping.w_avg.abs().max() > 0
    mapping.eval()
    z = torch.randn(3, 8)
    full, half, none = (mapping(z, None, psi=psi) for psi in (1.0, 0.5, 0.0))
    assert torch.allclose(half, (full + none) / 2, atol=1e-6)
    assert torch.allclose(none, mapping.w_avg.expand(3, 8, 8), atol=1e-6)


class Linear(nn.Module):
    """Scores by an inner product whose weights have the norm `slope`."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.level = torch.zeros([], dtype=torch.int64)
        self.weight = nn.Parameter(torch.full((3, 8, 8), slope / math.sqrt(192)))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return (images * self.weight).sum(dim=(1, 2, 3))


def against(loss: str, slope: float, **changes: object) -> tuple[Tensor, dict[str, Tensor]]:
    """D's loss of a linear discriminator on reals of 1 and whatever the generator draws."""
    torch.manual_seed(0)
    config = SMALL.model_copy(update={"loss": loss, **changes})
    model = stylegan1.build(config, Spec(8))
    model.networks["d"] = Linear(slope)
    model.begin_step(Progress(0, 0, 0.0))
    return model.loss(Phase("d", "d"), Batch(torch.ones(4, 3, 8, 8), None, torch.Generator()))


@pytest.mark.parametrize("slope", [0.25, 1.0, 3.0])
def test_wgan_gp_holds_the_slope_at_one(slope: float) -> None:
    loss, logs = against("wgan-gp", slope)
    assert logs["Loss/slope"].item() == pytest.approx(slope, rel=1e-4)
    assert logs["Loss/gradient_penalty"].item() == pytest.approx((slope - 1) ** 2, abs=1e-5)
    real = slope * math.sqrt(192)
    expected = logs["Loss/D/loss"].item() + 10 * (slope - 1) ** 2 + 0.001 * real**2
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    difference = logs["Loss/scores/fake"] - logs["Loss/scores/real"]
    assert logs["Loss/D/loss"].item() == pytest.approx(difference.item(), rel=1e-5)


def test_r1_is_half_gamma_times_the_squared_slope() -> None:
    loss, logs = against("r1", 2.0, gamma=10.0)
    assert logs["Loss/r1_penalty"].item() == pytest.approx(4.0, rel=1e-4)
    assert (loss - logs["Loss/D/loss"]).item() == pytest.approx(5 * 4.0, rel=1e-4)


@pytest.mark.parametrize(("resolution", "first"), [(512, 8), (4, 8), (48, 8)])
def test_sizes_that_do_not_fit_are_refused(resolution: int, first: int) -> None:
    with pytest.raises(InputError, match="px"):
        stylegan1.build(SMALL.model_copy(update={"first_size": first}), Spec(resolution))


def training_on(dataset: ArrayDataset, *, loss: str = "r1", seed: int = 0) -> tuple[Training, Stream]:
    torch.manual_seed(seed)
    model = stylegan1.build(SMALL.model_copy(update={"loss": loss}), dataset.spec)
    stream = Stream(dataset, seed=0, mirror=True, labels=dataset.labels is not None, device=CPU)
    return Training(model, 0, CPU), stream


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["r1", "wgan-gp"])
def test_stopping_anywhere_in_growth_changes_nothing(loss: str, tmp_path: Path) -> None:
    """Every step is a place to stop: before, in and after a fade, where batch and size change."""
    dataset, budget = ArrayDataset(resolution=16, labelled=True), Budget(nimg=48)
    straight, stream = training_on(dataset, loss=loss)
    through = list(train(straight, stream, budget))
    assert [step.nimg for step in through] == [16, 32, 40, 48]
    levels = [step.values["Progress/level"] for step in through]
    assert levels == [0, 0, pytest.approx(2 / 3, abs=1e-4), 1]
    for stop in range(1, len(through)):
        first, stream = training_on(dataset, loss=loss)
        steps = list(itertools.islice(train(first, stream, budget), stop))
        save_state(tmp_path / "state-000000.pt", first.state_dict())
        second, stream = training_on(dataset, loss=loss, seed=9)
        second.load_state_dict(load_state(tmp_path / "state-000000.pt"))
        assert steps + list(train(second, stream, budget)) == through
        assert_same(straight.state_dict(), second.state_dict())


def test_the_averaged_generator_has_grown_as_far() -> None:
    """An average of levels would draw another size than the run does."""
    training, stream = training_on(ArrayDataset(resolution=16))
    steps = list(itertools.islice(train(training, stream, Budget()), 3))
    assert 0 < steps[-1].values["Progress/level"] < 1
    ours = training.averages.networks["g"].state_dict()["synthesis.level"]
    theirs = training.trainable.networks["g"].state_dict()["synthesis.level"]
    assert torch.equal(ours, theirs)


def test_no_picture_is_left_out_where_the_batch_changes() -> None:
    """Steps of 16, 16, 8, 8 pictures take each of 48 once."""
    dataset = ArrayDataset(48, resolution=16)
    training, stream = training_on(dataset)
    taken: list[Tensor] = []

    class Watched:
        def batch(self, nimg: int, count: int) -> Drawn:
            drawn = stream.batch(nimg, count)
            taken.append(drawn.images)
            return drawn

    list(train(training, Watched(), Budget(nimg=48)))
    assert [len(images) for images in taken] == [16, 16, 8, 8]
    plain = Stream(dataset, seed=0, mirror=False, labels=False, device=CPU).batch(0, 48)[0]
    same = [
        torch.equal(a, b) or torch.equal(a, b.flip(2)) for a, b in zip(torch.cat(taken), plain, strict=True)
    ]
    assert all(same)

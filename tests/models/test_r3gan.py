"""R3GAN: networks, initialisation, game and schedules against the paper's numbers."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mien.core.types import Batch, Phase, Progress, Spec
from mien.models import dense, r3gan
from mien.models._relativistic import Relativistic, RelativisticConfig, default_gamma
from mien.nn.r3gan import GAIN, DenseBlock, GroupedBlock

SMALL = r3gan.Config(batch_size=4, z_dim=8, channel_base=512, channel_max=32, blocks=1)


class Brightness(nn.Module):
    """Scores by mean brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(1.0))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.slope * images.mean(dim=(1, 2, 3))


class Level(nn.Module):
    """Draws pictures whose brightness is a quarter."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.25))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.level.expand(len(z), 3, 8, 8)


def game(**changes: float) -> Relativistic:
    """The game between two players of which everything is known."""
    model = Relativistic(RelativisticConfig(**changes), Level(), Brightness(), resolution=8)  # type: ignore[arg-type]
    model.begin_step(Progress(0, 0, 0.0))
    return model


def brightness(level: float, *, contrast: float = 1.0) -> Batch:
    augmentation = None if contrast == 1 else lambda images, _: images * contrast
    return Batch(torch.full((4, 3, 8, 8), level), None, torch.Generator(), augmentation)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_published_networks_have_the_published_sizes() -> None:
    """Huang et al. 2024, table 2: 23.058 M and 23.010 M parameters at 256 px."""
    with torch.device("meta"):
        model = r3gan.build(r3gan.PRESETS["FFHQ-256"], Spec(256))
    assert parameters(model.networks["g"]) / 1e6 == pytest.approx(23.058, abs=5e-4)
    assert parameters(model.networks["d"]) / 1e6 == pytest.approx(23.010, abs=5e-4)


def test_dense_has_the_widths_of_the_recipe() -> None:
    with torch.device("meta"):
        model = dense.build(dense.PRESETS["default"], Spec(64))
    blocks = [m for m in model.networks["g"].modules() if isinstance(m, DenseBlock)]
    assert [block.conv1.weight.shape[0] for block in blocks] == [512, 512, 256, 128, 64]
    assert {block.conv1.groups for block in blocks} == {1}


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (32, 4), (768, 96), (12, 1), (20, 2), (28, 2)])
def test_sixteen_channels_make_a_group_where_that_divides(channels: int, groups: int) -> None:
    block = GroupedBlock(channels, 10, group_size=16)
    assert block.conv2.groups == groups


@pytest.mark.parametrize("total", [1, 16])
def test_initial_weights_shrink_with_the_number_of_blocks(total: int) -> None:
    """gain / sqrt(fan-in) times L^(-1/4) with three layers a block, L^(-1/2) with two; the last is zero."""
    torch.manual_seed(0)
    grouped = GroupedBlock(128, total, group_size=16)
    full = DenseBlock(96, total)
    expected = {
        grouped.conv1: total**-0.25 / math.sqrt(128),
        grouped.conv2: total**-0.25 / math.sqrt(16 * 9),
        full.conv1: total**-0.5 / math.sqrt(96 * 9),
    }
    for layer, deviation in expected.items():
        assert layer.weight.std().item() == pytest.approx(GAIN * deviation, rel=0.02)
    x = torch.randn(2, 128, 4, 4)
    assert torch.equal(grouped(x), x)
    assert torch.equal(full(x[:, :96]), x[:, :96])


@pytest.mark.slow
def test_signal_keeps_its_size_through_an_untrained_network() -> None:
    torch.manual_seed(0)
    model = r3gan.build(r3gan.Config(channel_base=1024, channel_max=64), Spec(32))
    pictures = model.networks["g"](torch.randn(64, 64))
    assert 0.3 < pictures.std().item() < 1.5


def test_a_block_is_its_equation() -> None:
    torch.manual_seed(0)
    block = GroupedBlock(16, 4, group_size=16)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_()
    x = torch.randn(1, 16, 3, 3)
    w = {name: value.double().numpy() for name, value in block.state_dict().items()}
    lrelu = lambda y, bias: np.where(y + bias > 0, y + bias, 0.2 * (y + bias))  # noqa: E731
    y = np.einsum("oc,cyx->oyx", w["conv1.weight"][:, :, 0, 0], x[0].double().numpy())
    y = np.pad(lrelu(y, w["bias1"][:, None, None]), ((0, 0), (1, 1), (1, 1)))
    grouped = np.zeros((32, 3, 3))
    for out in range(32):
        group = y[out // 16 * 16 : out // 16 * 16 + 16]
        for row in range(3):
            for column in range(3):
                seen = group[:, row : row + 3, column : column + 3]
                grouped[out, row, column] = (w["conv2.weight"][out] * seen).sum()
    y = lrelu(grouped, w["bias2"][:, None, None])
    expected = x[0].numpy() + np.einsum("oc,cyx->oyx", w["conv3.weight"][:, :, 0, 0], y)
    np.testing.assert_allclose(block(x)[0].detach().numpy(), expected, rtol=1e-4, atol=1e-3)


def test_the_finest_stages_alone_are_low_and_scores_are_exact() -> None:
    model = r3gan.build(SMALL.model_copy(update={"bf16_stages": 1}), Spec(16))
    seen: dict[str, list[torch.dtype]] = {"g": [], "d": []}
    for name, network in model.networks.items():
        for stage in network.stages:
            last = stage[-1]
            last.register_forward_hook(lambda _m, _i, out, name=name: seen[name].append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        pictures = model.networks["g"](torch.randn(2, 8))
        scores = model.networks["d"](pictures)
    assert seen["g"] == [torch.float32, torch.float32, torch.bfloat16]
    assert seen["d"] == [torch.bfloat16, torch.float32, torch.float32]
    assert pictures.dtype == scores.dtype == torch.float32


def test_pairing_loss_and_both_penalties_at_every_step() -> None:
    """softplus(fake - real) + gamma/2 (R1 + R2); a mean over P pixels has the squared gradient 1/P."""
    model = game(gamma=6.0)
    assert [phase.name for phase in model.phases(Progress(0, 7, 0.0))] == ["d", "g"]
    each = 1 / (3 * 8 * 8)
    loss, logs = model.loss(Phase("d", "d"), brightness(0.75))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-0.5)) + 3 * 2 * each, rel=1e-5)
    assert logs["Loss/r1_penalty"].item() == pytest.approx(each, rel=1e-5)
    assert logs["Loss/r2_penalty"].item() == pytest.approx(each, rel=1e-5)
    loss, _ = model.loss(Phase("g", "g"), brightness(0.75))
    assert loss.item() == pytest.approx(math.log1p(math.exp(0.5)), rel=1e-5)


def test_penalties_are_taken_before_the_augmentation() -> None:
    """Seen at three times the contrast, the gradient in picture space is three times as large."""
    _, logs = game().loss(Phase("d", "d"), brightness(0.75, contrast=3.0))
    assert logs["Loss/r1_penalty"].item() == pytest.approx(9 / (3 * 8 * 8), rel=1e-5)
    assert logs["Loss/r2_penalty"].item() == pytest.approx(9 / (3 * 8 * 8), rel=1e-5)


def test_the_penalty_teaches_the_discriminator() -> None:
    """d/ds of gamma/2 (s^2/P + s^2/P) at s = 1, beside the pairing loss."""
    model = game(gamma=6.0)
    loss, _ = model.loss(Phase("d", "d"), brightness(0.75))
    loss.backward()
    pairing = -0.5 / (1 + math.exp(0.5))
    expected = pairing + 6 * 2 / (3 * 8 * 8)
    slope = model.networks["d"].slope
    assert slope.grad.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("fraction", "lr", "beta2", "gamma"),
    [(0.0, 2e-4, 0.9, 2.0), (0.5, 1.25e-4, 0.945, 1.1), (1.0, 5e-5, 0.99, 0.2)],
)
def test_schedules_of_ffhq_64(fraction: float, lr: float, beta2: float, gamma: float) -> None:
    model = game(gamma=2.0)
    model.begin_step(Progress(0, 0, fraction))
    for optimizer in model.optimizers.values():
        group = optimizer.param_groups[0]
        assert group["lr"] == pytest.approx(lr)
        assert group["betas"] == (0.0, pytest.approx(beta2))
        assert group["eps"] == 1e-8
    loss, logs = model.loss(Phase("d", "d"), brightness(0.25))  # fakes are as bright: log 2
    penalty = (loss - math.log(2)) / (logs["Loss/r1_penalty"] + logs["Loss/r2_penalty"]) * 2
    assert penalty.item() == pytest.approx(gamma, rel=1e-3)


def test_the_guard_halves_the_rate_and_doubles_gamma() -> None:
    model = game(gamma=2.0)
    model.begin_step(Progress(0, 0, 0.0, lr_scale=0.5, gamma_scale=2.0))
    assert model.optimizers["g"].param_groups[0]["lr"] == pytest.approx(1e-4)
    assert model._gamma == 4.0


@pytest.mark.parametrize(("resolution", "gamma"), [(64, 2.0), (128, 17.0), (256, 150.0)])
def test_gamma_grows_with_resolution(resolution: int, gamma: float) -> None:
    assert default_gamma(resolution) == pytest.approx(gamma, rel=0.03)


def test_half_lives_rise_over_the_budget_and_never_outlive_what_was_seen() -> None:
    model = r3gan.build(SMALL, Spec(8))
    at = lambda nimg, fraction: model.half_lives(Progress(nimg, 0, fraction))["g"]  # noqa: E731
    assert at(0, 0.0) == 0
    assert at(10_000_000, 0.5) == pytest.approx(250_000)
    assert at(20_000_000, 1.0) == pytest.approx(500_000)
    assert at(100_000, 1.0) == pytest.approx(5000)
    full = dense.build(dense.Config(z_dim=8, channel_base=128, channel_max=8), Spec(8))
    assert full.half_lives(Progress(1_000_000, 0, 0.1))["g"] == pytest.approx(50_000)
    assert full.half_lives(Progress(50_000_000, 0, 0.1))["g"] == 500_000


def test_labels_change_pictures_and_scores() -> None:
    torch.manual_seed(0)
    model = r3gan.build(SMALL, Spec(8, 3, 2))
    g, d = model.networks["g"], model.networks["d"]
    z, labels = torch.randn(1, 8).repeat(2, 1), torch.eye(2)
    first, second = g(z, labels)
    assert not torch.allclose(first, second, atol=1e-3)
    one, other = d(first[None].repeat(2, 1, 1, 1), labels)
    assert one.item() != pytest.approx(other.item(), abs=1e-4)
    for network, given in ((g, z), (d, first[None])):
        with pytest.raises(ValueError, match="labels are needed"):
            network(given)


def test_projection_is_an_inner_product_with_the_embedded_label() -> None:
    """Scores are linear in the label vector, so several attributes can be asked for at once."""
    torch.manual_seed(0)
    d = r3gan.build(SMALL, Spec(8, 3, 2)).networks["d"]
    picture = torch.randn(1, 3, 8, 8)
    one, other = d(picture, torch.tensor([[1.0, 0.0]])), d(picture, torch.tensor([[0.0, 1.0]]))
    neither = d(picture, torch.zeros(1, 2))  # what no label changes is in both
    assert d(picture, torch.ones(1, 2)).item() == pytest.approx((one + other - neither).item(), rel=1e-4)

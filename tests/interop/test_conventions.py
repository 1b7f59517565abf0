"""What changes pictures and no shape comes along with a foreign network; what ours have not is named."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interop import official, r3gan_reference
from interop.official import checkpoint, persistent_discriminator, persistent_generator
from mien.core.errors import InputError
from mien.interop import _readers
from mien.interop._network import Network, build
from mien.interop.import_ import convert


def read(data: bytes, key: str = "G_ema") -> Network:
    return convert(_readers.read_pickle(io.BytesIO(data), [key]), key)


def generator(change: Callable[[Any], None] | None = None, *, labels: int = 0, **sizes: Any) -> Network:
    """An official generator of random weights, changed and read."""
    network = official.generator(labels=labels, **sizes)
    if change is not None:
        change(network)
    clamp = sizes.get("conv_clamp")
    return read(checkpoint(G_ema=persistent_generator(network, labels=labels, clamp=clamp)))


def picture(network: nn.Module, psi: float = 1.0, seed: int = 0) -> Tensor:
    z = torch.randn((2, 16), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return network.eval()(z, psi=psi)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "options",
    [
        {"conv_clamp": 1.0},
        {"conv_clamp": 0.3, "g_architecture": "resnet"},
        {"resample_filter": "1,2,1"},
        {"resample_filter": "1,1", "g_architecture": "orig"},
        {"resample_filter": "0.5,2.25,0.75"},
        {"noise": False},
        {"g_architecture": "orig"},
    ],
)
def test_conventions_of_generators_come_along(options: dict[str, Any]) -> None:
    original = official.generator(**options)
    found = generator(**options)
    for name, value in options.items():
        if name != "resample_filter" or "." not in value:
            assert found.numbers[name] == value
    drawn = picture(original)
    assert torch.equal(picture(build(found)), drawn)
    usual = official.generator()
    if not {"noise", "g_architecture"} & options.keys() and options.get("resample_filter") is None:
        assert (picture(usual) - drawn).abs().max() > 1 / 127.5  # it is seen in the picture


def test_a_clamp_that_its_layers_alone_say() -> None:
    network = official.generator(conv_clamp=2.0)
    assert read(checkpoint(G_ema=persistent_generator(network, clamp=None))).numbers["conv_clamp"] == 2.0
    with pytest.raises(InputError, match=r"layers differ in conv_clamp \(2, 256\)"):
        read(checkpoint(G_ema=persistent_generator(network, clamp=256)))


def test_conventions_of_discriminators_come_along() -> None:
    options = {"conv_clamp": 0.7, "resample_filter": "1,2,1", "stddev_group": 8, "d_architecture": "skip"}
    network = official.discriminator(**options)
    part = persistent_discriminator(network)
    network.b4.mbstd = nn.Module()  # type: ignore[assignment]
    network.b4.mbstd.group_size = 8  # type: ignore[assignment,union-attr]
    found = read(checkpoint(D=part), "D")
    assert options.items() <= found.numbers.items()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(build(found)(images), network.eval()(images))


@pytest.mark.parametrize("rate", [1.0, 0.02])
def test_a_mapping_of_another_lr_multiplier_draws_the_same(rate: float) -> None:
    def change(network: Any) -> None:
        for index in range(3):
            layer = getattr(network.mapping, f"fc{index}")
            layer.weight_gain *= rate / 0.01
            layer.bias_gain = rate
            layer.weight.data /= rate / 0.01

    original = official.generator()
    change(original)
    found = generator(change)
    assert torch.allclose(picture(build(found)), picture(original), atol=1e-4)
    assert any(f"lr_multiplier is {rate:g}" in note for note in found.notes)


@pytest.mark.parametrize("labels", [0, 3])
def test_a_mean_of_w_that_was_not_kept_is_measured(labels: int) -> None:
    def change(network: Any) -> None:
        del network.mapping.w_avg
        network.mapping.w_avg_beta = None

    found = generator(change, labels=labels)
    original: Any = official.generator(labels=labels).eval()
    z = torch.randn(20_000, 16)
    rows = torch.eye(labels)[torch.arange(len(z)) % labels] if labels else None
    with torch.no_grad():
        w = original.mapping(z, rows)[:, 0]
    error = (found.tensors["mapping.w_avg"] - w.mean(0)).abs() / w.std(0)
    assert error.max() < 0.05  # over four standard errors
    assert any("mean of w is measured" in note for note in found.notes)


def test_decay_and_half_precision_come_along() -> None:
    def change(network: Any) -> None:
        network.mapping.w_avg_beta = 0.995

    found = generator(change)
    assert (found.numbers["w_average_decay"], found.numbers["bf16_blocks"]) == (0.995, 4)
    assert any("num_fp16_res 4" in note for note in found.notes)


def set_weight(path: str, *shape: int) -> Callable[[Any], None]:
    def change(network: Any) -> None:
        *parts, _ = path.split(".")
        layer = network
        for part in parts:
            layer = getattr(layer, part)
        layer.weight = nn.Parameter(torch.randn(shape))

    return change


def _uneven(network: Any) -> None:
    network.synthesis.b8.conv1.weight = nn.Parameter(torch.randn(7, 24, 3, 3))


def _plane(network: Any) -> None:
    for module in network.modules():
        if hasattr(module, "resample_filter"):
            module.resample_filter = torch.arange(16.0).reshape(4, 4) ** 2 / 1240


@pytest.mark.parametrize(
    ("change", "labels", "option"),
    [
        (set_weight("mapping.fc0.weight", 20, 16), 0, "layer_features=20"),
        (set_weight("mapping.embed.weight", 20, 2), 2, "embed_features=20"),
        (set_weight("mapping.fc0.weight", 12, 12), 2, "z_dim=0"),
        (set_weight("synthesis.b8.conv1.weight", 24, 24, 5, 5), 0, "kernel_size=5"),
        (_uneven, 0, "channel_base"),
        (_plane, 0, "resample_filter"),
    ],
)
def test_generators_that_ours_have_no_like_of_are_named_by_option(
    change: Callable[[Any], None], labels: int, option: str
) -> None:
    with pytest.raises(InputError, match=option):
        generator(change, labels=labels)


@pytest.mark.parametrize(
    ("change", "labels", "option"),
    [
        (set_weight("b4.conv.weight", 24, 28, 3, 3), 0, "mbstd_num_channels=4"),
        (set_weight("mapping.embed.weight", 9, 2), 2, "cmap_dim"),
        (set_weight("b8.conv0.weight", 24, 24, 1, 1), 0, "kernel_size=1"),
    ],
)
def test_discriminators_that_ours_have_no_like_of_are_named_by_option(
    change: Callable[[Any], None], labels: int, option: str
) -> None:
    network = official.discriminator(labels=labels)
    change(network)
    with pytest.raises(InputError, match=option):
        read(checkpoint(D=persistent_discriminator(network, labels=labels)), "D")


def test_channels_of_any_base_are_found() -> None:
    """1000 / 32 is 31, and 1000 / 8 is 125: a base that 32 does not divide."""
    found = generator(channel_base=1000, channel_max=200)
    assert (found.numbers["channel_base"], found.numbers["channel_max"]) == (1000, 200)


# R3GAN


def r3gan(blocks: list[int], widths: list[int]) -> tuple[Any, Any]:
    """Generator and discriminator with so many blocks a stage, from 4 px up."""
    torch.manual_seed(3)
    g = r3gan_reference.Generator(8, widths, 1, labels=0)
    d = r3gan_reference.Discriminator(widths[::-1], 1)
    for network, counts, place in ((g, blocks, -1), (d, blocks[::-1], 0)):
        for stage, count in zip(network.Model.MainLayers, counts, strict=True):
            first = stage.Layers[place]
            channels = first.LinearLayer1.Layer.weight.shape[1]
            for _ in range(count - 1):
                block = r3gan_reference.ResidualBlock(channels, channels // 4)
                stage.Layers.insert(len(stage.Layers) + place + 1 if place else 0, block)
    return g, d


def test_r3gan_of_blocks_by_stage() -> None:
    g, d = r3gan([1, 3, 2], [16, 16, 8])
    data = r3gan_reference.pickled(G_ema=g, D=d)
    z = torch.randn(2, 8)
    found, scorer = read(data), read(data, "D")
    assert found.numbers["stage_blocks"] == scorer.numbers["stage_blocks"] == "1,3,2"
    assert found.numbers["bf16_stages"] == 2
    assert "2 stages in bfloat16" in found.notes[0]
    with torch.no_grad():
        assert torch.allclose(build(found)(z), g.Model(z, None), atol=1e-5)
        images = torch.randn(2, 3, 16, 16)
        assert torch.allclose(build(scorer)(images), d.Model(images), atol=1e-4)


def _block(network: Any, stage: int = 1) -> Any:
    return network.Model.MainLayers[stage].Layers[1]


def _wider(network: Any) -> None:
    block = _block(network)
    block.LinearLayer1.Layer.weight = nn.Parameter(torch.randn(48, 16, 1, 1))


def _kernel(network: Any) -> None:
    _block(network).LinearLayer2.Layer.weight = nn.Parameter(torch.randn(32, 8, 5, 5))


def _cardinality(network: Any) -> None:
    _block(network).LinearLayer2.Layer.weight = nn.Parameter(torch.randn(32, 4, 3, 3))


def _taps(network: Any) -> None:
    network.Model.MainLayers[1].Layers[0].Resampler.Kernel = torch.ones(5, 5) / 25


@pytest.mark.parametrize(
    ("change", "option"),
    [
        (_wider, "ExpansionFactor=3"),
        (_kernel, "KernelSize=5"),
        (_cardinality, "CardinalityPerStage"),
        (_taps, "ResamplingFilter"),
    ],
)
def test_r3gan_that_ours_have_no_like_of_is_named_by_option(
    change: Callable[[Any], None], option: str
) -> None:
    network = r3gan_reference.Generator(8, [16, 16, 8], 1, labels=0)
    change(network)
    with pytest.raises(InputError, match=option):
        read(r3gan_reference.pickled(G_ema=network))


def test_r3gan_of_widths_that_no_two_numbers_give() -> None:
    network = r3gan_reference.Generator(8, [16, 8, 16], 1, labels=0)
    with pytest.raises(InputError, match="WidthPerStage gives the widths 16, 8, 16"):
        read(r3gan_reference.pickled(G_ema=network))

"""LPIPS against the paper's formula in plain numpy, and what it must rank as people do."""

import numpy as np
import pytest
import torch
from plain import convolve, doubles, pool, relu
from torch.nn import functional

from mien.nn.lpips import ARTEFACT, Lpips

TRUNKS = ("alexnet", "vgg")
VGG = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)


def random_weights(trunk):
    net = Lpips(trunk)
    generator = torch.Generator().manual_seed(1)
    weights = {}
    for name, tensor in net.trunk.state_dict().items():
        fan = tensor[0].numel() if tensor.ndim > 1 else 100
        weights[name] = torch.randn(tensor.shape, generator=generator) * (2 / fan) ** 0.5
    for index, linear in enumerate(net.linear):
        weights[f"linear.{index}"] = torch.rand(len(linear), generator=generator)
    return weights


def loaded(weights, trunk):
    net = Lpips(trunk)
    net.load_published(weights)
    return net


def plain_maps(x, w, trunk):
    x = (x - np.array([-0.030, -0.088, -0.188])[:, None, None]) / np.array([0.458, 0.448, 0.450])[
        :, None, None
    ]
    layer = lambda x, i, **how: relu(  # noqa: E731
        convolve(x, w[f"convolutions.{i}.weight"], w[f"convolutions.{i}.bias"], **how)
    )
    if trunk == "alexnet":
        first = layer(x, 0, stride=4, padding=(2, 2))
        second = layer(pool(first, 3, 2, np.max), 1, padding=(2, 2))
        third = layer(pool(second, 3, 2, np.max), 2, padding=(1, 1))
        fourth = layer(third, 3, padding=(1, 1))
        return [first, second, third, fourth, layer(fourth, 4, padding=(1, 1))]
    maps, index = [], 0
    for step in VGG:
        if step == "M":
            maps.append(x)
            x = pool(x, 2, 2, np.max)
        else:
            x = layer(x, index, padding=(1, 1))
            index += 1
    return [*maps, x]


def plain_lpips(a, b, w, trunk):
    total = 0.0
    pairs = zip(plain_maps(a, w, trunk), plain_maps(b, w, trunk), strict=True)
    for index, (one, other) in enumerate(pairs):
        one = one / (np.sqrt((one**2).sum(0)) + 1e-10)
        other = other / (np.sqrt((other**2).sum(0)) + 1e-10)
        total += np.mean(np.tensordot(w[f"linear.{index}"], (one - other) ** 2, 1))
    return total


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["random", "published"])
@pytest.mark.parametrize("trunk", TRUNKS)
def test_it_is_the_formula_of_the_paper(trunk, weights, published, noise):
    tensors = random_weights(trunk) if weights == "random" else published(ARTEFACT[trunk])
    net = loaded(tensors, trunk)
    a, b = noise(2, 40), noise(2, 40, seed=5)
    plain = doubles(tensors)
    expected = [
        plain_lpips(x.double().numpy(), y.double().numpy(), plain, trunk) for x, y in zip(a, b, strict=True)
    ]
    assert min(expected) > 0.01
    np.testing.assert_allclose(net(a, b).numpy(), expected, atol=1e-5)
    one, other = net.embed(a), net.embed(b)
    np.testing.assert_allclose((one - other).square().sum(1).numpy(), expected, atol=1e-5)
    swapped = net(a.flip(0), b.flip(0)).flip(0)
    np.testing.assert_allclose(swapped.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("trunk", TRUNKS)
def test_equal_pictures_are_at_0_and_gradients_are_finite_even_where_nothing_is_active(trunk, noise):
    weights = random_weights(trunk)
    for index in range(len(weights)):
        if f"convolutions.{index}.bias" in weights:
            weights[f"convolutions.{index}.bias"] -= 1  # most places are dead then
    net = loaded(weights, trunk)
    a, b = noise(1, 32).requires_grad_(), torch.zeros(1, 3, 32, 32)
    assert net(a, a).item() == 0
    distance = net(a, b)
    distance.sum().backward()
    assert torch.isfinite(a.grad).all()
    assert all(not parameter.requires_grad for parameter in net.parameters())


def test_following_its_gradient_brings_pictures_together(noise):
    net = loaded(random_weights("alexnet"), "alexnet")
    target, x = noise(1, 32), noise(1, 32, seed=9).requires_grad_()
    optimiser = torch.optim.Adam([x], lr=0.02)
    before = net(x, target).item()
    for _ in range(20):
        optimiser.zero_grad()
        net(x, target).sum().backward()
        optimiser.step()
    assert net(x, target).item() < 0.7 * before


def shifted(x, by):
    return torch.roll(x, by, 3)


def blurred(x, by):
    kernel = torch.exp(-(torch.arange(-6, 7.0) ** 2) / (2 * by**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).expand(3, 1, 1, -1)
    x = functional.conv2d(functional.pad(x, (6, 6, 0, 0), "reflect"), kernel, groups=3)
    return functional.conv2d(functional.pad(x, (0, 0, 6, 6), "reflect"), kernel.transpose(2, 3), groups=3)


def noisy(x, by):
    return x + by * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))


def warped(x, by):
    line = torch.linspace(-1, 1, x.shape[3])
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    wave = by * torch.stack([torch.sin(5 * grid[..., 1]), torch.sin(5 * grid[..., 0])], -1)
    grid = (grid + wave)[None].expand(len(x), -1, -1, -1)
    return functional.grid_sample(x, grid, padding_mode="reflection", align_corners=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "ladder"),
    [
        (blurred, (0.5, 1, 2, 4)),
        (noisy, (0.02, 0.05, 0.1, 0.3)),
        (shifted, (1, 2, 4)),
        (warped, (0.01, 0.03, 0.08)),
    ],
)
@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_ladder_of_changes_is_ranked(trunk, change, ladder, published, portraits):
    net = loaded(published(ARTEFACT[trunk]), trunk)
    steps = [net(portraits, change(portraits, by)).mean().item() for by in ladder]
    assert steps == sorted(steps), steps
    assert steps[-1] > 2 * steps[0] > 0


@pytest.fixture(scope="session")
def portraits(shared_data):
    from PIL import Image

    files = sorted((shared_data / "portraits-cc0").glob("*.jpg"))[:3]
    pictures = [
        np.asarray(Image.open(file, formats=["JPEG"]).convert("RGB").resize((64, 64))) for file in files
    ]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1


def test_pictures_that_are_too_small_or_do_not_match_are_refused():
    net = Lpips("alexnet")
    with pytest.raises(ValueError, match="31 px"):
        net(torch.zeros(1, 3, 30, 64), torch.zeros(1, 3, 30, 64))
    with pytest.raises(ValueError, match="cannot be compared"):
        net(torch.zeros(1, 3, 32, 32), torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match="alexnet, vgg"):
        Lpips.load("resnet")

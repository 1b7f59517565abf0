"""Noise maps: the penalty against its closed form, and that they stand in for the constant ones."""

from pathlib import Path

import pytest
import torch

from latent.projecting import loaded_generator
from mien.core.sampling import latents
from mien.core.styles import styles
from mien.latent.projection.spaces import draw_noise_maps, noise_penalty, normalise_noise, synthesised


@pytest.mark.parametrize(
    ("side", "penalty"), [(4, 2.0), (8, 2.0), (16, 2.0 + 2 * 4**2), (32, 2 + 2 * 4**2 + 2 * 16**2)]
)
def test_the_penalty_of_ones(side: int, penalty: float) -> None:
    """Each level averages and doubles: products of 1, 4, 16, squared, in two directions."""
    maps = {"noise:a": torch.ones(2, 1, side, side)}
    assert noise_penalty(maps).tolist() == pytest.approx([penalty] * 2)


def test_white_noise_costs_next_to_nothing_and_stripes_cost() -> None:
    white = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    stripes = torch.ones(64, 64)
    stripes[:, ::2] = -1
    assert noise_penalty({"noise:a": white}) < 0.2
    assert noise_penalty({"noise:a": stripes[None, None]}) == pytest.approx(2)  # one level: the next is flat


def test_maps_are_normalised_each_by_itself() -> None:
    maps = {"noise:a": torch.randn(3, 1, 8, 8) * torch.tensor([1.0, 5, 0.1]).view(3, 1, 1, 1) + 2}
    normalise_noise(maps)
    assert maps["noise:a"].mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert torch.allclose(maps["noise:a"].square().mean(dim=(1, 2, 3)), torch.ones(3), atol=1e-5)


@pytest.mark.parametrize("name", ["stylegan2", "stylegan1"])
def test_they_take_the_place_of_the_constant_maps(tmp_path: Path, name: str) -> None:
    network = loaded_generator(tmp_path, name).network
    with torch.no_grad():
        for key, value in network.named_parameters():
            if key.endswith("noise_strength"):
                value.fill_(0.5)
    ws = styles(network, latents([1, 2], 8), None)
    usual = synthesised(network, ws)
    rng = torch.Generator().manual_seed(0)
    maps = draw_noise_maps(network, 2, rng)
    assert maps
    drawn = synthesised(network, ws, maps)
    assert not torch.allclose(drawn, usual, atol=1e-3)
    assert torch.equal(synthesised(network, ws), usual), "the generator itself is unchanged"
    buffers = dict(network.synthesis.named_buffers())
    constant = {key: buffers[key.removeprefix("noise:")].expand_as(value) for key, value in maps.items()}
    assert torch.allclose(synthesised(network, ws, constant), usual, atol=1e-5)


def test_lite_has_none(tmp_path: Path) -> None:
    network = loaded_generator(tmp_path, "lite").network
    assert draw_noise_maps(network, 2, torch.Generator()) == {}

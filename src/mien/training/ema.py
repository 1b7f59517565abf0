"""Averaged copies of networks (exponential moving average of weights)."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Averages:
    """One averaged copy of each named network, in eval mode and without gradients.

    Parameters and floating-point buffers (batch-norm statistics) are averaged alike; the half-life is
    counted in images, so that a change of batch size changes nothing.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self.networks = {name: _frozen_copy(network) for name, network in networks.items()}

    @torch.no_grad()
    def update(self, sources: Mapping[str, nn.Module], half_lives: Mapping[str, float], nimg: int) -> None:
        """Move each average towards its source as `nimg` further images ask; a half-life of 0 copies."""
        for name, half_life in half_lives.items():
            weight = 1 - 0.5 ** (nimg / half_life) if half_life > 0 else 1.0
            floats, rest = _pairs(self.networks[name], sources[name])
            torch._foreach_lerp_([a for a, _ in floats], [s for _, s in floats], weight)
            for average, source in rest:
                average.copy_(source)

    def state_dict(self) -> dict[str, Any]:
        """The weights of every average."""
        return {name: network.state_dict() for name, network in self.networks.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of `state_dict`."""
        for name, network in self.networks.items():
            network.load_state_dict(state[name])


def _frozen_copy(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).eval().requires_grad_(False)


def _pairs(
    average: nn.Module, source: nn.Module
) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
    """Matching tensors of both networks: floating-point ones, and the rest (counters)."""
    averaged, trained = average.state_dict(), source.state_dict()
    pairs = [(averaged[name], trained[name]) for name in averaged]
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    return floats, [pair for pair in pairs if not pair[0].is_floating_point()]

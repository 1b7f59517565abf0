"""What every family must do with labels, from the first step on."""

import pytest
import torch

from mien.core import discover
from mien.core.family import GENERATOR, kind_of
from mien.core.types import Spec
from mien.nn.stylegan1 import ONE

SPEC = Spec(16, 3, 3, ("smile", "glasses", "hat"))
GENERATORS = [
    name for name in discover.names("mien.models") if kind_of(discover.load("mien.models", name)) == GENERATOR
]


@pytest.fixture(params=GENERATORS)
def networks(request: pytest.FixtureRequest) -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    module = discover.load("mien.models", request.param)
    networks = module.build(module.PRESETS["default"], SPEC).networks
    if request.param == "stylegan1":  # as it is when it has grown
        levels = (buffer for n in networks.values() for name, buffer in n.named_buffers() if "level" in name)
        for level in levels:
            level.fill_((len(networks["d"].sizes) - 1) * ONE)
    return {name: network.eval() for name, network in networks.items()}


@pytest.mark.slow
@torch.no_grad()
def test_pictures_without_any_of_the_labels_are_told_apart(networks: dict[str, torch.nn.Module]) -> None:
    """Half of all people neither smile nor wear anything: a score of zero for all would teach nothing."""
    pictures = torch.randn(4, 3, 16, 16)
    scores = networks["d"](pictures, torch.zeros(4, 3))
    assert len(scores.unique()) == 4
    of_a_label = networks["d"](pictures, torch.eye(3)[[0, 0, 0, 0]])
    assert scores.std() > 0.1 * of_a_label.std()


@pytest.mark.slow
@torch.no_grad()
def test_a_label_changes_picture_and_score(networks: dict[str, torch.nn.Module]) -> None:
    labels = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    z = torch.randn(1, networks["g"].z_dim).repeat(4, 1)
    pictures = networks["g"](z, labels)
    scores = networks["d"](pictures[:1].repeat(4, 1, 1, 1), labels)
    assert len(scores.unique()) == 4
    for first in range(4):
        for second in range(first):
            assert not torch.allclose(pictures[first], pictures[second], atol=1e-4)

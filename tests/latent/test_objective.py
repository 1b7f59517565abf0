"""What is minimised: zero at the target, the face weighed as told, LPIPS as `nn.lpips` has it."""

import pytest
import torch

from mien.faces.identity import IdentityNetwork
from mien.latent.projection.objective import Objective, Weights, lpips_distances, viewed
from mien.nn.face_resnet import FaceResNet
from mien.nn.lpips import Lpips


@pytest.fixture(scope="module")
def lpips() -> Lpips:
    """AlexNet with weights that nobody trained; every channel counts."""
    torch.manual_seed(0)
    network = Lpips("alexnet")
    for weights in network.linear:
        weights.data.fill_(1.0)
    return network


def images(count: int, side: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_lpips_and_pixels_add_up(lpips: Lpips) -> None:
    targets, drawn = images(2), images(2, seed=1)
    objective = Objective(targets, Weights(pixel=3.0), lpips=lpips)
    expected = lpips(viewed(drawn), viewed(targets)) + 3 * (drawn - targets).square().mean(dim=(1, 2, 3))
    assert torch.allclose(objective.losses(drawn, torch.arange(2)), expected, rtol=1e-4)
    assert objective.losses(targets, torch.arange(2)).abs().max() < 1e-6
    swapped = objective.losses(targets.flip(0), torch.tensor([1, 0]))
    assert swapped.abs().max() < 1e-6, "each against the target it is told"


def test_what_lies_beyond_white_cannot_be_seen() -> None:
    """Where the target is white, brighter than white is no error; where it is gray it is one."""
    targets = torch.tensor([1.0, -1.0, 0.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    objective = Objective(targets, Weights(), lpips=None)
    beyond = torch.tensor([1.5, -3.0, 0.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    assert objective.losses(beyond, torch.arange(1)).item() == 0
    bright = torch.tensor([0.0, 0.0, 2.0]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    assert objective.losses(targets + bright, torch.arange(1)).item() == pytest.approx(4 / 3)


def test_reports_state_the_same_distance(lpips: Lpips) -> None:
    one, two = images(3), images(3, seed=1)
    assert lpips_distances(lpips, one, two) == pytest.approx(lpips(viewed(one), viewed(two)).tolist())


@pytest.mark.parametrize(("side", "seen"), [(16, 64), (64, 64), (100, 100), (512, 256)])
def test_small_images_are_enlarged_and_large_ones_averaged(side: int, seen: int) -> None:
    gray = torch.full((1, 1, side, side), 0.25)
    assert viewed(gray).shape == (1, 3, seen, seen)
    assert torch.allclose(viewed(gray), torch.tensor(0.25), atol=1e-5)


@pytest.mark.parametrize("with_lpips", [True, False])
def test_the_face_weighs_more(lpips: Lpips, with_lpips: bool) -> None:
    targets = images(1)
    faces = torch.zeros(1, 1, 32, 32)
    faces[..., 8:24, 8:24] = 1
    network = lpips if with_lpips else None
    weighed = Objective(targets, Weights(face=10.0), lpips=network, faces=faces)
    even = Objective(targets, Weights(), lpips=network)
    inside, outside = targets.clone(), targets.clone()
    inside[..., 12:20, 12:20] += 0.3
    outside[..., :4, :] += 0.3
    which = torch.arange(1)
    assert weighed.losses(inside, which) > 1.5 * even.losses(inside, which)
    assert weighed.losses(outside, which) < 0.6 * even.losses(outside, which)
    everywhere = Objective(targets, Weights(face=10.0), lpips=network, faces=torch.ones_like(faces))
    assert torch.allclose(everywhere.losses(inside, which), even.losses(inside, which), rtol=1e-4)


def test_pixels_of_a_weighed_face_by_hand() -> None:
    """A quarter of the image counts three times: weights 3 and 1 over their mean of 1.5."""
    targets = torch.zeros(1, 3, 8, 8)
    faces = torch.zeros(1, 1, 8, 8)
    faces[..., :4, :4] = 1
    drawn = targets.clone()
    drawn[..., 0, 0] = 1.0  # in the face: one place of 64
    objective = Objective(targets, Weights(face=3.0), lpips=None, faces=faces)
    assert objective.losses(drawn, torch.arange(1)).item() == pytest.approx(3 / 1.5 / 64)


def test_identity_counts_and_has_a_gradient() -> None:
    torch.manual_seed(0)
    identity = IdentityNetwork(FaceResNet().eval().requires_grad_(False), hash="untrained")
    targets, drawn = images(1, 64), images(1, 64, seed=1).requires_grad_(True)
    objective = Objective(targets, Weights(pixel=0.0, identity=2.0), lpips=None, identity=identity)
    loss = objective.losses(drawn, torch.arange(1))
    far = (identity.embed(drawn) - identity.embed(targets)).square().sum()
    assert loss.item() == pytest.approx(2 * far.item(), rel=1e-4)
    loss.sum().backward()
    assert drawn.grad is not None
    assert drawn.grad.abs().max() > 0
    without = Objective(targets, Weights(identity=0.0), lpips=None, identity=identity)
    assert without.losses(targets, torch.arange(1)).item() == 0

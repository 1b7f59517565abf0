"""What the detector's network looks at."""

import numpy as np
import pytest
import torch

from mien.core.types import Spec
from mien.nn import forensic
from mien.nn.forensic import ForensicNet

SPEC = Spec(32, 3, 1, ("synthetic",))


def test_the_residual_is_zero_in_doubled_pictures_alone() -> None:
    small = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    doubled = small.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    assert forensic.residual(doubled).abs().max() == 0
    shifted = doubled.roll(1, dims=-1)  # the blocks lie across: half of the relations are broken
    assert forensic.residual(shifted).abs().mean() > 0.05


def test_the_residual_by_hand() -> None:
    image = torch.tensor([[[[1.0, 2.0], [4.0, 8.0]]]])
    assert torch.equal(forensic.residual(image), torch.tensor([[[[0.0, 1.0], [3.0, 7.0]]]]))


@pytest.mark.parametrize("cycles", [3, 7, 12])
def test_a_wave_has_its_power_in_the_ring_of_its_frequency(cycles: int) -> None:
    wave = torch.sin(torch.arange(32) * 2 * np.pi * cycles / 32).expand(1, 3, 32, 32)
    rings = forensic.power(wave, forensic._rings(32))[0]
    assert int(rings.argmax()) == cycles


def test_light_contrast_and_background_tell_nothing() -> None:
    torch.manual_seed(0)
    net = ForensicNet(SPEC, width=4, traces_width=4).eval()
    face = torch.rand(1, 3, 32, 32) * 0.5
    other = face * 1.7 - 0.2  # another exposure
    other[..., 0] = other[..., -1] = other[..., 0, :] = 0.9  # and something else beyond the face
    with torch.no_grad():
        torch.testing.assert_close(net.parts(face), net.parts(other), atol=1e-4, rtol=1e-4)


def test_the_parts_add_up_to_the_calibrated_log_odds() -> None:
    torch.manual_seed(0)
    net = ForensicNet(SPEC, width=4, traces_width=4).eval()
    net.slope.fill_(2.0)
    net.offset.fill_(-0.5)
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(net(images), net.parts(images).sum(1) * 2 - 0.5)


def test_the_threshold_is_read_between_quantiles() -> None:
    net = ForensicNet(SPEC, width=4, traces_width=4)
    net.quantiles.copy_(torch.linspace(-5, 5, 101))
    assert net.threshold(0.05) == pytest.approx(4.5, abs=1e-4)
    assert net.threshold(0.125) == pytest.approx(3.75, abs=1e-4)


def test_a_second_member_adds_what_it_is_surer_of_than_the_margin() -> None:
    torch.manual_seed(0)
    net = ForensicNet(SPEC, width=4, traces_width=4, members=2).eval()
    images = torch.rand(16, 3, 32, 32)
    with torch.no_grad():
        shown = forensic.standardised(images, forensic._oval(32))
        first, second = net.read(shown), net.more[0].read(shown)
        net.scales[1] = 1 / second.sum(1).std()
        net.shifts[1] = (forensic.MARGIN - second.sum(1).median() / second.sum(1).std()) / 3
        evidence = second.sum(1) * net.scales[1, 0] + net.shifts[1].sum()
        surer = evidence > forensic.MARGIN
        assert 4 < surer.sum() < 12
        added = forensic.GAIN * (evidence - forensic.MARGIN) * surer
        torch.testing.assert_close(net.parts(images).sum(1), first.sum(1) + added, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(net.parts(images)[~surer], first[~surer])

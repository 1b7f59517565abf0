"""lite's modulated generator: upsampling against torch's own, styles, truncation."""

import pytest
import torch
import torch.nn.functional as F

from mien.core.styles import Styled
from mien.core.types import Spec
from mien.nn.self_modulated import ModulatedGenerator


def generator(
    spec: Spec = Spec(32),  # noqa: B008
    *,
    z_dim: int = 12,
    w_dim: int = 16,
    full_resolution: bool = False,
) -> ModulatedGenerator:
    torch.manual_seed(0)
    net = ModulatedGenerator(
        spec,
        z_dim=z_dim,
        w_dim=w_dim,
        mapping_layers=2,
        width=6,
        max_width=24,
        full_resolution=full_resolution,
    )
    for style in net.styles:  # untrained styles hardly differ
        torch.nn.init.normal_(style.weight, 0.0, 0.3)
    return net.eval().requires_grad_(False)


def test_the_folded_kernel_is_bilinear_upsampling_and_a_convolution() -> None:
    net = generator().double()
    x = torch.randn(2, 6, 16, 16, dtype=torch.float64)
    smooth = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    expected = F.conv2d(smooth, net.to_image.weight, net.to_image.bias, padding=1)
    inside = (..., slice(3, -3), slice(3, -3))  # torch repeats the edge, the kernel sees zeros beyond it
    torch.testing.assert_close(net.to_image(x)[inside], expected[inside], rtol=0, atol=1e-12)


def test_constant_activations_give_no_dots() -> None:
    """All four phases of the upsampling see a flat picture alike, whatever the weights."""
    net = generator()
    image = net.to_image(torch.full((1, 6, 16, 16), 0.7))[..., 4:-4, 4:-4]
    assert float(image.std(dim=(2, 3)).max()) < 1e-6


@pytest.mark.parametrize(("full_resolution", "reach"), [(True, 3), (False, 6)])
def test_one_place_of_the_last_features_changes_so_many_pixels(full_resolution: bool, reach: int) -> None:
    """At full resolution what a 3x3 convolution sees; else that of a place of half the size, smoothed."""
    net = generator(full_resolution=full_resolution)
    assert net.num_ws == 4 + full_resolution
    z = torch.randn(1, 12)
    before = net(z)

    def changed(layer: torch.nn.Module, given: object, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[-1] == (32 if full_resolution else 16)
        x = x.clone()
        x[..., 7, 7] += 10
        return x

    net.norms[-1].register_forward_hook(changed)
    rows, columns = ((net(z) - before).abs().amax(dim=(0, 1)) > 0).nonzero().T
    assert (len(rows.unique()), len(columns.unique())) == (reach, reach)


@pytest.mark.parametrize("full_resolution", [False, True])
def test_drawing_in_two_steps_is_drawing(full_resolution: bool) -> None:
    net = generator(full_resolution=full_resolution)
    z = torch.randn(5, 12)
    assert isinstance(net, Styled)
    ws = net.mapping(z, None, psi=0.6)
    assert ws.shape == (5, net.num_ws, net.w_dim)
    assert torch.equal(net.synthesis(ws), net(z, psi=0.6))


@pytest.mark.parametrize("full_resolution", [False, True])
def test_every_row_of_ws_matters_and_only_to_its_own_picture(full_resolution: bool) -> None:
    net = generator(full_resolution=full_resolution)
    net.train()
    for _ in range(30):  # until batch norm knows its activations: before, they fade from layer to layer
        net(torch.randn(64, 12))
    net.eval()
    ws = net.mapping(torch.randn(2, 12), None)
    before = net.synthesis(ws)
    for row in range(net.num_ws):
        changed = ws.clone()
        changed[0, row] = ws[1, row]
        after = net.synthesis(changed)
        assert float((after[0] - before[0]).abs().max()) > 0.01 * float(before.abs().max())
        torch.testing.assert_close(after[1], before[1])


def test_truncation_pulls_w_to_its_mean_and_keeps_the_latents_length() -> None:
    net = generator()
    net.w_avg.normal_()
    z = torch.randn(4, 12)
    whole, half, none = (net.mapping(z, None, psi=psi) for psi in (1.0, 0.5, 0.0))
    torch.testing.assert_close(none[:, 1:], net.w_avg.expand_as(none[:, 1:]))
    torch.testing.assert_close(half[:, 1:], (whole + none)[:, 1:] / 2)
    for ws in (whole, half, none):
        torch.testing.assert_close(ws[:, 0, :12].square().mean(dim=1), torch.ones(4))
    assert torch.equal(none[:, 0], none[:1, 0].expand(4, -1))
    towards = (half * none)[:, 0].sum(dim=1) > (whole * none)[:, 0].sum(dim=1)
    assert towards.all()


def test_the_mean_of_w_is_followed_in_training_alone() -> None:
    net = generator()
    z = torch.randn(4096, 12)
    net(z[:8])
    assert not net.w_avg.any()
    net.train()
    with torch.no_grad():
        for _ in range(1500):
            net.mapping(z[:256], None)
    net.eval()
    torch.testing.assert_close(net.w_avg, net.mapping(z[:256], None)[:, 1].mean(0), rtol=0.02, atol=0.02)


def test_labels_are_asked_for_and_change_the_face_at_psi_0() -> None:
    net = generator(Spec(32, 3, 2, ("a", "b")), w_dim=40)
    z = torch.randn(3, 12)
    with pytest.raises(ValueError, match="conditional"):
        net(z)
    one, two = (net(z, F.one_hot(torch.full((3,), i), 2).float(), psi=0.0) for i in (0, 1))
    assert not torch.allclose(one, two, atol=1e-4)


def test_a_latent_wider_than_w_fits() -> None:
    net = generator(z_dim=30)
    assert net.w_dim == 30
    assert net(torch.randn(2, 30)).shape == (2, 3, 32, 32)

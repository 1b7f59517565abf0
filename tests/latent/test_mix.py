"""Style mixing and generators with styles."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from drawers import PLAIN, styled_network
from mien.core.errors import InputError
from mien.core.image import to_uint8
from mien.core.sampling import latents
from mien.core.styles import Styled, draw_styles, styled, styles
from mien.core.types import Spec
from mien.latent.layers import parse_layers
from mien.latent.mix import mixed, mixing_rows
from mien.models import lite


@pytest.mark.parametrize(
    ("text", "num_ws", "layers"),
    [
        ("coarse", 10, (0, 1, 2, 3)),
        ("middle", 10, (4, 5, 6, 7)),
        ("fine", 10, (8, 9)),
        ("fine", 18, tuple(range(8, 18))),
        ("middle", 6, (4, 5)),
        ("0-3", 10, (0, 1, 2, 3)),
        ("9, 0,2-3", 10, (0, 2, 3, 9)),
        ("coarse,fine", 10, (0, 1, 2, 3, 8, 9)),
    ],
)
def test_layers(text: str, num_ws: int, layers: tuple[int, ...]) -> None:
    assert parse_layers(text, num_ws) == layers


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rough", "coarse, middle, fine, or layers like 0-3 .this model has 0-5"),
        ("", "''"),
        ("6", "this model has layers 0-5"),
        ("3-2", "a range must rise"),
        ("fine", "layers 0-5 only, none of them fine"),
        ("99999999999999999999", "layers like"),
        ("-1", "'-1'"),
    ],
)
def test_layers_that_are_none(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_layers(text, 6)


def test_all_layers_are_the_giver_none_the_face() -> None:
    face, giver = torch.randn(2, 6, 8).unbind()
    assert torch.equal(mixed(face, giver, range(6)), giver)
    assert torch.equal(mixed(face, giver, ()), face)
    some = mixed(face, giver, (1, 4))
    assert [bool((some[i] == giver[i]).all()) for i in range(6)] == [i in (1, 4) for i in range(6)]


@pytest.fixture
def generator() -> Styled:
    return styled(styled_network(Spec(16)), family="stylegan2", what="mixing")


def test_styles_draw_what_the_generator_draws(generator: Styled) -> None:
    z = latents([0, 1, 2], generator.z_dim)
    for psi in (1.0, 0.5):
        plain = to_uint8(generator(z, psi=psi))  # type: ignore[operator]
        assert torch.equal(draw_styles(generator, styles(generator, z, None, psi=psi)), plain)
    assert len(plain.unique()) > 50, "pictures, not one colour"


def test_a_mixing_grid(generator: Styled) -> None:
    ws = styles(generator, latents([0, 1, 2], generator.z_dim), None)
    plain = draw_styles(generator, ws)
    for index, (own, mixtures) in enumerate(mixing_rows(generator, ws, ws, (0, 1))):
        assert torch.equal(own, plain[index])
        assert torch.equal(mixtures[index], plain[index]), "a face with its own layers is itself"
        other = (index + 1) % 3
        assert not torch.equal(mixtures[other], plain[other])
        assert not torch.equal(mixtures[other], plain[index])
    for layers, expected in (((), [0, 1, 2]), (range(generator.num_ws), [1, 1, 1])):
        _, mixtures = list(mixing_rows(generator, ws, ws, layers))[1]
        assert torch.equal(mixtures, plain[expected])


def test_a_network_that_still_grows_is_brought_to_size(
    generator: Styled, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = styles(generator, latents([0], generator.z_dim), None)
    grown = generator.synthesis
    small = draw_styles(generator, ws)[..., ::2, ::2]

    def growing(ws: Tensor, *, noise: str = "const") -> Tensor:
        return grown(ws, noise=noise)[..., ::2, ::2]

    monkeypatch.setattr(generator, "synthesis", Growing(growing))
    drawn = draw_styles(generator, ws)
    assert torch.equal(drawn, small.repeat_interleave(2, 2).repeat_interleave(2, 3))


class Growing(nn.Module):
    """A function as a module, which is all that a module lets itself be given."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.forward = function


def test_families_without_styles_say_so() -> None:
    network = lite.build_generator(PLAIN, Spec(16))
    with pytest.raises(InputError, match=r"^--space w: a lite model has z alone, no w; ") as caught:
        styled(network, family="lite", what="--space w")
    assert "\n" not in str(caught.value)

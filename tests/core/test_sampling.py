"""Seeds, latents and drawing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.sampling import draw, latents, parse_seeds
from mien.core.types import Spec


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", [0]), ("0,1,4-6", [0, 1, 4, 5, 6]), ("3, 3", [3, 3]), ("7-7", [7]), ("4294967295", [2**32 - 1])],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1,,2", "5-3", "-1", "1-", "4294967296", "0-99999999", "1.5"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="seeds"):
        parse_seeds(text)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_any_list_can_be_written(seeds: list[int]) -> None:
    assert parse_seeds(",".join(map(str, seeds))) == seeds


def test_latents_are_numpys_for_that_seed() -> None:
    z = latents([3, 85], 5)
    assert z.dtype == torch.float32
    assert np.array_equal(z[1].numpy(), np.random.RandomState(85).randn(1, 5)[0].astype(np.float32))


class Levels(nn.Module):
    """Paints each picture with its latent's first number times psi."""

    z_dim, spec = 2, Spec(4)

    def forward(self, z: Tensor, labels: Tensor | None = None, *, psi: float = 1.0) -> Tensor:
        level = z[:, :1] * psi + (0 if labels is None else labels[:, :1])
        return level[:, :, None, None].expand(-1, 3, 4, 4)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_drawing_in_pieces_changes_nothing(batch_size: int) -> None:
    z = torch.linspace(-1, 1, 7)[:, None].repeat(1, 2)
    labels = torch.full((7, 1), 0.25)
    pictures = draw(Levels(), z, labels, psi=0.5, batch_size=batch_size)
    assert pictures.dtype == torch.uint8
    expected = ((z[:, 0] * 0.5 + 0.25) * 127.5 + 128).clamp(0, 255).to(torch.uint8)
    assert torch.equal(pictures[:, 0, 0, 0], expected)

"""Seeds, latents and drawing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.sampling import draw, latents
from mien.core.seeds import parse_seeds, write_seeds
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
    assert parse_seeds(write_seeds(seeds)) == seeds


def test_seeds_are_written_briefly() -> None:
    assert write_seeds([0, 5, 17, 18, 19, 3]) == "0,5,17-19,3"


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        (b"0,5,17-19\n", [0, 5, 17, 18, 19]),
        (b"# kept faces of lite-x\n3\n1, 2\r\n\n7-8 # a remark\n", [3, 1, 2, 7, 8]),
        (b"\xef\xbb\xbf4\n", [4]),
    ],
)
def test_seeds_from_a_file(tmp_path: Path, text: bytes, seeds: list[int]) -> None:
    (tmp_path / "kept.txt").write_bytes(text)
    assert parse_seeds(f"@{tmp_path / 'kept.txt'}") == seeds


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"1\n2,x3\n", "line 2: 'x3' is neither"),
        (b"1\n9-4\n", "line 2: the range '9-4' must rise"),
        (b"# nothing\n\n", "no seed"),
        (b"", "no seed"),
        (b"\xff\xfe\x00", "no text file"),
        (b"0-600000\n0-600000\n", "line 2: more than 1,000,000"),
        (b"1 " * (9 << 20), "smaller than 16 MiB"),
        (b"1" * 5000, "is neither"),
        ("١".encode(), "is neither"),
        (None, "cannot be read"),
    ],
)
def test_files_that_are_no_seeds(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "kept.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        parse_seeds(f"@{path}")
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


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

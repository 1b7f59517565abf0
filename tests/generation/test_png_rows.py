"""PNGs written line by line read back as what was written, with their mark."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from mien.core.errors import InputError
from mien.core.picture import read_picture
from mien.core.provenance import Provenance, verify
from mien.generation.png_rows import png_rows

MARK = Provenance("lite-<x>", None, "mien test")


@pytest.mark.parametrize("pieces", [(7,), (1, 1, 5), (3, 0, 4)])
@pytest.mark.parametrize("noisy", [True, False])
def test_lines_come_back(tmp_path: Path, pieces: tuple[int, ...], noisy: bool) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (7, 11, 3), dtype=np.uint8) if noisy else np.full((7, 11, 3), 9, np.uint8)
    path = tmp_path / "wall.png"
    with png_rows(path, 11, 7, MARK) as png:
        start = 0
        for count in pieces:
            png.write(picture[start : start + count])
            start += count
    assert np.array_equal(read_picture(path), picture)
    assert verify(path) == MARK
    assert [entry.name for entry in tmp_path.iterdir()] == ["wall.png"]


def test_missing_or_wrong_lines_leave_no_file(tmp_path: Path) -> None:
    for lines, says in (
        (np.zeros((6, 11, 3), np.uint8), "1 lines are missing"),
        (np.zeros((8, 11, 3), np.uint8), "at most 7"),
        (np.zeros((7, 10, 3), np.uint8), "11, 3"),
        (np.zeros((7, 11, 3), np.float32), "uint8"),
    ):
        with pytest.raises(ValueError, match=says), png_rows(tmp_path / "wall.png", 11, 7, MARK) as png:
            png.write(lines)
    assert not list(tmp_path.iterdir())


def test_a_picture_without_pixels(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be 0x7"), png_rows(tmp_path / "wall.png", 0, 7, MARK):
        pass


def test_the_mark_of_a_wall_too_large_to_decode(tmp_path: Path) -> None:
    """Pillow opens no picture with four thousand million pixels, but the mark stands before them."""
    path = tmp_path / "wall.png"
    with png_rows(path, 2, 2, MARK) as png:
        png.write(np.zeros((2, 2, 3), np.uint8))
    data = path.read_bytes()
    header = b"IHDR" + (2**16).to_bytes(4, "big") * 2 + data[24:29]
    path.write_bytes(data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:])
    assert verify(path) == MARK


def test_a_mark_in_a_damaged_chunk_is_none(tmp_path: Path) -> None:
    path = tmp_path / "wall.png"
    with png_rows(path, 2, 2, MARK) as png:
        png.write(np.zeros((2, 2, 3), np.uint8))
    path.write_bytes(path.read_bytes().replace(b"lite-", b"list-"))
    with pytest.raises(InputError, match=r"wall\.png: not a picture that can be read"):
        verify(path)

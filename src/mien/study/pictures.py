"""The pictures of a study: stripped of all that is not pixels, made alike, named at random.

Real and fake pictures must differ in nothing but their content: all are decoded, cut to their middle square,
brought to one size by the same filter and encoded by the same encoder. No mark of provenance survives, since
raters could read it.
"""

import io
import secrets
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.packed import PackReader
from mien.core.picture import BadPicture, Pixels, decode
from mien.study.design import Design, PictureSet

MASKS = 8
MASK_SET = "(mask)"
MEDIA_TYPE = "image/webp"
_LARGEST_SIDE = 512
_TILES = 16  # a mask is cut into that many columns and rows


class Stimulus(NamedTuple):
    """A picture as raters get it. name: random. source: where it was found, for the results alone."""

    name: str
    set: str
    source: str
    data: bytes


class Prepared(NamedTuple):
    """stimuli: masks too. side: pixels of each. sides: smallest and largest of each set before.

    problems: inputs that gave no picture.
    """

    stimuli: list[Stimulus]
    side: int
    sides: dict[str, tuple[int, int]]
    problems: list[str]


def prepare(design: Design, progress: Tick) -> Prepared:
    """Read the sets of `design` and make their pictures alike. Raises InputError where a set has none."""
    problems: list[str] = []
    squares: list[tuple[PictureSet, str, Pixels]] = []
    for index, one in enumerate(design.sets):
        rng = np.random.default_rng((design.seed, index))
        readable = [(one, source, pixels) for source, pixels in _read(one, rng, problems)]
        if not readable:
            raise InputError(f"{one.path}: no picture of set {one.name!r} can be read")
        squares += readable
        progress(index + 1, len(design.sets))
    sides = {
        name: (min(group), max(group))
        for name in (one.name for one in design.sets)
        if (group := [len(pixels) for one, _, pixels in squares if one.name == name])
    }
    side = design.side or min(min(low for low, _ in sides.values()), _LARGEST_SIDE)
    resized = [_resize(pixels, side) for _, _, pixels in squares]
    stimuli = [
        Stimulus(_random_name(), one.name, source, _encode(pixels))
        for (one, source, _), pixels in zip(squares, resized, strict=True)
    ]
    rng = np.random.default_rng((design.seed, 1 << 20))
    scrambled = [_scrambled(resized, rng) for _ in range(MASKS)]
    masks = [Stimulus(_random_name(), MASK_SET, "", _encode(mask)) for mask in scrambled]
    return Prepared(stimuli + masks, side, sides, problems)


def _read(one: PictureSet, rng: np.random.Generator, problems: list[str]) -> list[tuple[str, Pixels]]:
    """Names and middle squares of at most `count` pictures, chosen at random."""
    reader = PackReader(one.path)
    needed = one.count or len(reader)
    squares: list[tuple[str, Pixels]] = []
    for index in rng.permutation(len(reader)):
        if len(squares) == needed:
            break
        name = reader.names[index]
        try:
            pixels = decode(reader.read(int(index)), where=f"{one.path}: {name}").pixels
        except (BadPicture, InputError) as error:
            problems.append(str(error))
            continue
        squares.append((name, _square(pixels)))
    return squares


def _square(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def _resize(pixels: Pixels, side: int) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _encode(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", quality=92, method=4)
    return buffer.getvalue()


def _scrambled(pictures: Sequence[Pixels], rng: np.random.Generator) -> Pixels:
    """A picture whose tiles come from random places of random pictures of all sets."""
    side = len(pictures[0])
    tile = max(1, side // _TILES)
    mask = np.empty((side, side, 3), np.uint8)
    for top in range(0, side, tile):
        for left in range(0, side, tile):
            height, width = min(tile, side - top), min(tile, side - left)
            y, x = rng.integers(side - height + 1), rng.integers(side - width + 1)
            source = pictures[int(rng.integers(len(pictures)))]
            mask[top : top + height, left : left + width] = source[y : y + height, x : x + width]
    return mask


def _random_name() -> str:
    return secrets.token_hex(12)

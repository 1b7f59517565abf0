"""Strips: the same faces moved step by step along a direction, side by side or as a film."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from mien.core.errors import InputError
from mien.core.picture import Pixels
from mien.core.provenance import SourceType
from mien.generation.drawing import Drawing, sized
from mien.latent.codes import Codes, moved
from mien.reports.inline_images import Shown, show_image

REACH = 3.0  # units to either side
_GAP = 0.08  # of a face's side, between the middle of a strip and the rest
_BAR, _AMBER = 0.05, (232, 163, 61)  # of a face's side: the bar under amounts at which faces break


def amounts(count: int, reach: float = REACH) -> list[float]:
    """`count` amounts from -reach to reach, 0 in the middle; count is odd and 3 or more."""
    if count < 3 or count % 2 == 0:
        raise InputError(
            f"--steps {count}: an odd number from 3 on, so that the face itself is in the middle"
        )
    return [float(value) for value in np.linspace(-reach, reach, count)]


def strip(
    drawing: Drawing,
    codes: Codes,
    step: Tensor,
    along: Sequence[float],
    side: int,
    reach: tuple[float, float] | None = None,
) -> Pixels:
    """A row for each latent, a column for each amount: uint8 [N * side, ..., 3]; 0 stands a gap apart.

    reach: amounts beyond it get an amber bar below, for which the picture is that much higher.
    """
    gap, bar = max(2, round(side * _GAP)), max(2, round(side * _BAR))
    middle = min(range(len(along)), key=lambda index: abs(along[index]))
    over = [reach is not None and not reach[0] <= amount <= reach[1] for amount in along]
    width = len(along) * side + 2 * gap
    canvas = np.full((len(codes) * side + 2 * bar * any(over), width, 3), 255, np.uint8)
    for at, amount in enumerate(along):
        left = at * side + gap * ((at >= middle) + (at > middle))
        for row, image in enumerate(moved(drawing, codes, amount * step).draw(drawing)):
            canvas[row * side : (row + 1) * side, left : left + side] = sized(image, side)
        if over[at]:
            canvas[-bar:, left : left + side] = _AMBER
    return canvas


def show_moved(
    drawing: Drawing,
    codes: Codes,
    step: Tensor,
    side: int,
    what: str,
    reach: tuple[float, float] | None = None,
) -> Shown:
    """The strip from -3 to 3 units for a page. what: that the faces move along. reach: as for `strip`."""
    pixels = strip(drawing, codes, step, amounts(7), side, reach)
    return show_image(pixels, f"faces along {what}, from -3 to 3", made=SourceType.TRAINED)


def wave(frames: int, reach: float = REACH) -> np.ndarray:
    """Amounts of a film: from 0 up to reach, down to -reach and back, slow at the ends; it loops."""
    return reach * np.sin(2 * math.pi * np.arange(frames) / frames)


def film_frames(
    drawing: Drawing, codes: Codes, step: Tensor, along: Sequence[float] | np.ndarray, side: int
) -> Iterator[Pixels]:
    """A frame for each amount: all latents side by side, uint8 [side, N * side, 3]."""
    for amount in along:
        images = moved(drawing, codes, float(amount) * step).draw(drawing)
        yield np.concatenate([sized(image, side) for image in images], axis=1)

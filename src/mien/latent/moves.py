"""Latents moved along directions, kept where the generator expects them; layers that belong together."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from torch import Tensor

from mien.core.styles import Styled, constrained, tied_rows
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes


def moved(drawing: Drawing, codes: Codes, step: Tensor) -> Codes:
    """`codes` with `step` added (shaped like one latent, or like all), kept in the generator's range."""
    there, network = codes.moved(step), drawing.loaded.network
    if not isinstance(network, Styled):
        return there
    return replace(there, values=constrained(network, there.values))


def row_groups(drawing: Drawing) -> tuple[tuple[int, ...], ...]:
    """Rows of a latent that hold the same vector when drawn; (0,) alone in z.

    w of a StyleGAN is one group; lite's first row, the latent itself, is a group of its own.
    """
    network = drawing.loaded.network
    return tied_rows(network) if isinstance(network, Styled) else ((0,),)


def layer_blocks(groups: Sequence[Sequence[int]], *, most: int = 3) -> list[tuple[int, ...]]:
    """Neighbouring layers, coarse to fine: each group of rows cut into at most `most` even parts."""
    blocks: list[tuple[int, ...]] = []
    for group in groups:
        count = min(most, len(group))
        edges = [round(i * len(group) / count) for i in range(count + 1)]
        blocks += [tuple(group[a:b]) for a, b in pairwise(edges)]
    return blocks

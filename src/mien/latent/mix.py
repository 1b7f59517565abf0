"""Style mixing: some layers of one face, the others of another (Karras et al. 2019, arXiv:1812.04948)."""

import re
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.latent.styles import Styled, draw_styles

# The paper's groups, by resolution: 4-8 px pose and shape, 16-32 px features and hair, 64 px on colour.
_GROUPS = {"coarse": (0, 4), "middle": (4, 8), "fine": (8, 1000)}
_PART = re.compile(r"^(\d{1,4})(?:-(\d{1,4}))?$")


def parse_layers(text: str, num_ws: int) -> tuple[int, ...]:
    """Read "coarse", "middle,fine", "0-3" or "0,2,5-7" as layers of a model with `num_ws` styles.

    Raises InputError naming the part that is no layer, or that such a small model has none of.
    """
    layers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        layers |= _group(part, num_ws) if part in _GROUPS else _range(part, num_ws)
    return tuple(sorted(layers))


def _group(name: str, num_ws: int) -> set[int]:
    first, end = _GROUPS[name]
    if first >= num_ws:
        raise InputError(f"--layers {name}: this model has layers 0-{num_ws - 1} only, none of them {name}")
    return set(range(first, min(end, num_ws)))


def _range(part: str, num_ws: int) -> set[int]:
    match = _PART.match(part)
    if match is None:
        known = ", ".join(_GROUPS)
        raise InputError(
            f"--layers {part!r}: give {known}, or layers like 0-3 (this model has 0-{num_ws - 1})"
        )
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first or last >= num_ws:
        raise InputError(f"--layers {part}: a range must rise, and this model has layers 0-{num_ws - 1}")
    return set(range(first, last + 1))


def mixed(face: Tensor, giver: Tensor, layers: Sequence[int]) -> Tensor:
    """ws [..., num_ws, w_dim] of `face` with those of `giver` at `layers`; the two broadcast."""
    chosen = torch.zeros(face.shape[-2], 1, dtype=torch.bool, device=face.device)
    chosen[list(layers)] = True
    return torch.where(chosen, giver, face)


def mixing_rows(
    generator: Styled, rows: Tensor, columns: Tensor, layers: Sequence[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each of `rows` [R, num_ws, w_dim]: its own picture, and every column's with its `layers`.

    columns: [C, num_ws, w_dim]. Gives uint8 [C, H, W] and [columns, C, H, W].
    """
    for row in rows:
        pictures = draw_styles(generator, torch.cat([row[None], mixed(columns, row, layers)]))
        yield pictures[0], pictures[1:]

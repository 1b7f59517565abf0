"""Layers of a generator: read and written as ranges, those that belong together, coarse to fine."""

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any, TypeVar

from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.styles import Styled, tied_rows
from mien.generation.drawing import Drawing

T = TypeVar("T")
# Groups of Karras et al. 2019 (arXiv:1812.04948): layers of 4-8 px (pose and shape), 16-32 px (features and
# hair), 64 px and more (colour).
_GROUPS = {"coarse": (0, 4), "middle": (4, 8), "fine": (8, 1000)}
_PART = re.compile(r"^(\d{1,4})(?:-(\d{1,4}))?$")


def parse_layers(text: str, num_ws: int, option: str = "--layers") -> tuple[int, ...]:
    """Read "coarse", "middle,fine", "0-3" or "0,2,5-7" as layers of a model with `num_ws` styles.

    Raises InputError naming the part that is no layer, or that such a small model has none of.
    """
    layers: set[int] = set()
    here = f"0-{num_ws - 1}"
    for part in text.replace(" ", "").split(","):
        if part in _GROUPS:
            first, end = _GROUPS[part]
            if first >= num_ws:
                raise InputError(f"{option} {part}: this model has layers {here} only, none of them {part}")
        elif match := _PART.match(part):
            first, end = int(match[1]), int(match[2] or match[1]) + 1
            if not first < end <= num_ws:
                raise InputError(f"{option} {part}: a range must rise, and this model has layers {here}")
        else:
            known = ", ".join(_GROUPS)
            raise InputError(f"{option} {part!r}: give {known}, or layers like 0-3 (this model has {here})")
        layers |= set(range(first, min(end, num_ws)))
    return tuple(sorted(layers))


def layers_text(layers: tuple[int, ...]) -> str:
    """(0, 1, 2, 5) as "0-2,5"."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def row_groups(drawing: Drawing) -> tuple[tuple[int, ...], ...]:
    """Rows of a latent that hold the same vector when drawn; (0,) alone in z.

    w of a StyleGAN is one group; lite's first row, the latent itself, is a group of its own.
    """
    network = drawing.loaded.network
    return tied_rows(network) if isinstance(network, Styled) else ((0,),)


def feature_maps(
    network: nn.Module, names: Sequence[str], run: Callable[[], T]
) -> tuple[T, dict[str, Tensor]]:
    """What `run` gives, and what the layers `names` give meanwhile that is [N, C, H, W], in that order."""
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                maps[name] = output

        return hook

    with ExitStack() as hooks:
        modules = dict(network.named_modules())
        for name in names:
            hooks.enter_context(modules[name].register_forward_hook(keep(name)))
        return run(), maps


def layer_blocks(groups: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Neighbouring layers, coarse to fine: each group of rows cut into at most three even parts."""
    blocks: list[tuple[int, ...]] = []
    for group in groups:
        count = min(3, len(group))
        edges = [round(i * len(group) / count) for i in range(count + 1)]
        blocks += [tuple(group[a:b]) for a, b in pairwise(edges)]
    return blocks

"""The page of `mien directions measure`: the entanglement table, and a strip of each direction."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mien import TOOL
from mien.core.atomic import write_text
from mien.core.provenance import SourceType
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.directions.direction import Direction
from mien.latent.layers import layers_text
from mien.latent.strips import amounts, strip
from mien.reports.inline_images import Shown, show_strip
from mien.reports.page import render

if TYPE_CHECKING:
    from mien.latent.directions.entanglement import Entangled, Entanglement

_FACES = 4  # rows of a strip
_STRONG = 1.0  # standard deviations that get the full colour


def write_page(path: Path, table: "Entanglement", drawing: Drawing, directions: Sequence[Direction]) -> None:
    """Write the page, whole or not at all."""
    codes = Codes.of_seeds(drawing, range(_FACES))
    context = {
        "model": table.model,
        "table": table,
        "rows": [_row(row, table.attributes) for row in table.rows],
        "strips": [
            (one.name, _about(one, row), _shown(drawing, one, codes))
            for one, row in zip(directions, table.rows, strict=True)
        ],
        "tool": TOOL,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    write_text(path, render("entanglement.html.j2", context))


def _row(row: "Entangled", attributes: Sequence[str]) -> dict[str, Any]:
    cells = [_cell(row.effects[name], row.errors[name], own=name == row.name) for name in attributes]
    times = "-" if row.selectivity is None else f"{row.selectivity:.1f}"
    low, high = row.reach
    drift, far = f"{row.drift:.2f}", f"{low:g} to {high:g}"
    return {"name": row.name, "cells": cells, "times": times, "drift": drift, "reach": far}


def _cell(effect: float, error: float | None, *, own: bool) -> tuple[str, str, bool]:
    """The number, its standard error, and whether it is to be read as strong."""
    told = "" if error is None else f"± {error:.2f}"
    return f"{effect:+.2f}", told, own or abs(effect) >= _STRONG / 2


def _about(direction: Direction, row: "Entangled") -> str:
    about = direction.about
    layers = f"layers {layers_text(about.layers)}; " if about.layers else ""
    accuracy = ""
    if about.accuracy is not None:
        accuracy = f"; {about.accuracy.value:.0%} of held-out samples on their side"
    good = f"good from {row.reach[0]:g} to {row.reach[1]:g}"
    return f"{about.method or 'method not known'}; {layers}{good}{accuracy}"


def _shown(drawing: Drawing, direction: Direction, codes: Codes) -> Shown:
    pixels = strip(drawing, codes, direction.step, amounts(7), drawing.resolution)
    picture = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].numpy()
    return show_strip(picture, f"faces along {direction.name}, from -3 to 3", made=SourceType.TRAINED)

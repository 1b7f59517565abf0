"""The page of directions that were found without labels: a strip of each."""

from datetime import UTC, datetime
from pathlib import Path

import torch

from mien import TOOL
from mien.core.atomic import write_text
from mien.core.events import Tick
from mien.core.provenance import SourceType
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.direction_table import layers_text
from mien.latent.directions import Direction, Directions
from mien.latent.strips import amounts, strip
from mien.reports.inline_images import Shown, show_strip
from mien.reports.page import render

_HOW = {
    "sefa": "the directions to which the layers that read the latent answer most (SeFa)",
    "ganspace": "the principal components of w (GANSpace)",
}


def write_page(
    path: Path, drawing: Drawing, directions: Directions, codes: Codes, side: int, method: str, tick: Tick
) -> None:
    """Write the page, whole or not at all; a row of a strip for each of `codes`."""
    rows = []
    for number, direction in enumerate(directions, start=1):
        about, share = direction.about, direction.about.score or 0.0
        told = f"{share:.1%} of {'the response' if method == 'sefa' else 'the variance'}"
        rows.append((about.name, told, layers_text(about.layers), _shown(drawing, direction, codes, side)))
        tick(number, len(directions))
    context = {
        "model": drawing.loaded.model,
        "about": f"{_HOW[method]}; from -3 to 3 standard deviations of the latents, the face itself between",
        "rows": rows,
        "tool": TOOL,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    write_text(path, render("components.html.j2", context))


def _shown(drawing: Drawing, direction: Direction, codes: Codes, side: int) -> Shown:
    pixels = strip(drawing, codes, direction.step, amounts(7), side)
    picture = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].numpy()
    return show_strip(picture, f"faces along {direction.name}, from -3 to 3", made=SourceType.TRAINED)

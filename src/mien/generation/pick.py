"""`mien pick`: a self-contained HTML page on which to choose seeds by their faces."""

import base64
import hashlib
import shlex
from pathlib import Path
from typing import Any

from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.provenance import encode_picture
from mien.core.seeds import parse_seeds, write_seeds
from mien.generation.drawing import Drawing, check_side, sized
from mien.reports.page import write_html

_BATCH = 64
_MOST = 5_000  # faces on a page: more make it slow


@job
def pick(
    events: Events,
    source: Path | None = None,
    /,
    *,
    out: Path = Path("pick.html"),
    seeds: str = "0-199",
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
    size: int | None = None,
) -> int:
    """Write a page on which to choose faces by click or key; `mosaic` and `generate` read what it gives.

    Returns how many faces are on it; each carries its provenance mark. Raises InputError.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    out
        The page. It stands alone and needs no network.
    seeds
        Which faces to choose from.
    trunc
        Truncation psi, usually from 0 to 1.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    size
        Pixels along a side of a face; the model's by default.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out}: the page is written as .html")
    chosen = sorted(set(parse_seeds(seeds)))
    if len(chosen) > _MOST:
        raise InputError(f"--seeds: {len(chosen):,} faces are too many for one page; at most {_MOST:,}")
    drawing = Drawing.of(source, trunc=trunc, label=label, note=events.note)
    side = check_side("--size", size, default=drawing.resolution)
    faces, progress = [], events.progress("drawing")
    for start in range(0, len(chosen), _BATCH):
        batch = chosen[start : start + _BATCH]
        for seed, image in zip(batch, drawing.faces(batch), strict=True):
            data = encode_picture(sized(image, side), ".webp", drawing.mark(seed))
            faces.append((seed, f"data:image/webp;base64,{base64.b64encode(data).decode()}"))
        progress(start + len(batch), len(chosen))
    context = _context(drawing, chosen, side) | {"faces": faces}
    write_html(out, "pick.html.j2", context, styles=("pick.css",), scripts=("pick.js",))
    events.wrote(out, f"{len(faces)} faces; open it in a browser, choose, and save kept.txt")
    return len(faces)


def _context(drawing: Drawing, seeds: list[int], side: int) -> dict[str, Any]:
    """The template's variables; `store` is the name under which a browser stores the choice."""
    model = drawing.loaded.model
    options = "" if drawing.psi == 1 else f" --trunc {drawing.psi:g}"
    options += "".join(f" --label {shlex.quote(label)}" for label in drawing.label)
    identity = hashlib.sha256(f"{model}{options} {write_seeds(seeds)}".encode()).hexdigest()[:16]
    how = f" with{options}" if options else ""
    return {
        "model": model,
        "how": how,
        "options": options,
        "side": side,
        "store": f"mien-pick-{identity}",
        "remark": " ".join(f"kept faces of {model}{how}".split()),
    }

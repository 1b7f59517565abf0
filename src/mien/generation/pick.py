"""`mien pick`: a page that stands alone, on which seeds are chosen by looking at their faces."""

import base64
import hashlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mien import TOOL
from mien.core.atomic import write_text
from mien.core.errors import InputError
from mien.core.provenance import encode_picture
from mien.core.sampling import parse_seeds, write_seeds
from mien.generation.drawing import Drawing, check_side, sized

_BATCH = 64
_MOST = 5_000  # faces on a page: more make it slow


@dataclass(frozen=True)
class _Face:
    seed: int
    data: str


def pick(
    source: Path | None,
    out: Path,
    *,
    seeds: str = "0-199",
    trunc: float = 1.0,
    label: str | Sequence[str] = (),
    size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the page and return how many faces are on it; each carries its mark. Raises InputError."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out}: the page is written as .html")
    wanted = sorted(set(parse_seeds(seeds)))
    if len(wanted) > _MOST:
        raise InputError(f"--seeds: {len(wanted):,} faces are too many for one page; at most {_MOST:,}")
    drawing = Drawing.of(source, trunc=trunc, label=label)
    side = check_side("--size", size, default=drawing.resolution)
    faces = list(_faces(drawing, wanted, side, progress))
    write_text(out, _render(_context(drawing, wanted, side), faces))
    return len(faces)


def _faces(
    drawing: Drawing, seeds: list[int], side: int, progress: Callable[[int, int], None] | None
) -> Iterator[_Face]:
    for start in range(0, len(seeds), _BATCH):
        piece = seeds[start : start + _BATCH]
        for seed, picture in zip(piece, drawing.faces(piece), strict=True):
            data = encode_picture(sized(picture, side), ".webp", drawing.mark(seed))
            yield _Face(seed, f"data:image/webp;base64,{base64.b64encode(data).decode()}")
        if progress:
            progress(start + len(piece), len(seeds))


def _context(drawing: Drawing, seeds: list[int], side: int) -> dict[str, Any]:
    """What the page says; `store` is the name under which a browser remembers what was kept on it."""
    model = drawing.loaded.model
    options = "" if drawing.psi == 1 else f" --trunc {drawing.psi:g}"
    options += "".join(f" --label {shlex.quote(asked)}" for asked in drawing.label)
    identity = hashlib.sha256(f"{model}{options} {write_seeds(seeds)}".encode()).hexdigest()[:16]
    how = f" with{options}" if options else ""
    return {
        "model": model,
        "how": how,
        "options": options,
        "side": side,
        "store": f"mien-pick-{identity}",
        "remark": " ".join(f"kept faces of {model}{how}".split()),
        "tool": TOOL,
    }


def _render(context: dict[str, Any], faces: list[_Face]) -> str:
    loader = PackageLoader("mien.reports", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = loader.get_source(environment, "pick.css")[0]
    script = loader.get_source(environment, "pick.js")[0]
    # The hashes allow this one style sheet and script, and nothing that a hostile name might smuggle in.
    return environment.get_template("pick.html.j2").render(
        context,
        faces=faces,
        style=Markup(style),
        style_hash=_hash(style),
        script=Markup(script),
        script_hash=_hash(script),
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

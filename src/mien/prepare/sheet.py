"""A contact sheet: what was kept, what was dropped and why, on one picture."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mien.core.atomic import replacing

_CELL, _GAP, _COLUMNS, _TEXT = 96, 6, 12, 12
_PAPER, _INK, _FAINT, _RED = (250, 250, 248), (30, 30, 30), (120, 120, 120), (170, 30, 20)
_LETTERS = 15  # that fit under a cell


@dataclass(frozen=True)
class Shot:
    """One cell. image: encoded picture, b"" if there is none. name: of the file. reason: if dropped."""

    image: bytes
    name: str
    reason: str = ""


def write_sheet(
    path: Path, *, kept: Sequence[Shot], dropped: Sequence[Shot], num_kept: int, reasons: Mapping[str, int]
) -> None:
    """Draw and save the sheet atomically (JPEG or PNG by suffix).

    kept, dropped: examples to show. num_kept, reasons: the counts of all.
    """
    total = num_kept + sum(reasons.values())
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none"
    sections = [(f"kept: {num_kept} of {total}", kept), (f"dropped: {counts}", dropped)]
    width = _COLUMNS * (_CELL + _GAP) + _GAP
    height = sum(_section_height(shots) for _, shots in sections) + _GAP
    canvas = Image.new("RGB", (width, height), _PAPER)
    top = _GAP
    for title, shots in sections:
        _draw_section(canvas, top, title, shots)
        top += _section_height(shots)
    with replacing(path) as temporary:
        form = "PNG" if path.suffix.lower() == ".png" else "JPEG"
        canvas.save(temporary, format=form, **({"quality": 90} if form == "JPEG" else {}))


def _row_height(shots: Sequence[Shot]) -> int:
    return _CELL + _GAP + (2 * _TEXT + 4 if any(shot.reason for shot in shots) else 0)


def _section_height(shots: Sequence[Shot]) -> int:
    return 28 + -(-len(shots) // _COLUMNS) * _row_height(shots)


def _draw_section(canvas: Image.Image, top: int, title: str, shots: Sequence[Shot]) -> None:
    draw = ImageDraw.Draw(canvas)
    limit = canvas.width // 8  # letters that fit at this size
    text = title if len(title) <= limit else title[: limit - 3] + "..."
    draw.text((_GAP, top + 4), text, fill=_INK, font=ImageFont.load_default(16))
    for number, shot in enumerate(shots):
        row, column = divmod(number, _COLUMNS)
        left, upper = _GAP + column * (_CELL + _GAP), top + 28 + row * _row_height(shots)
        _draw_shot(canvas, draw, left, upper, shot)


def _draw_shot(canvas: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int, shot: Shot) -> None:
    if shot.image:
        image = Image.open(io.BytesIO(shot.image), formats=("PNG", "JPEG")).convert("RGB")
        image.thumbnail((_CELL, _CELL), Image.Resampling.LANCZOS)
        if max(image.size) < _CELL:
            image = image.resize((_CELL, _CELL), Image.Resampling.BICUBIC)
        canvas.paste(image, (left + (_CELL - image.width) // 2, top + (_CELL - image.height) // 2))
    else:
        draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), outline=_FAINT)
        draw.text((left + _CELL // 2, top + _CELL // 2), "no picture", fill=_FAINT, anchor="mm")
    if shot.reason:
        small = ImageFont.load_default(_TEXT)
        draw.text((left, top + _CELL + 1), shot.reason[: _LETTERS + 2], fill=_RED, font=small)
        # The end of a name tells files apart better than its folders.
        name = shot.name if len(shot.name) <= _LETTERS else "..." + shot.name[-(_LETTERS - 3) :]
        draw.text((left, top + _CELL + 2 + _TEXT), name, fill=_FAINT, font=small)

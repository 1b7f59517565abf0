"""A selection written as a dataset, with what came of every input, and a contact sheet of it."""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from mien.core.atomic import move, replacing
from mien.core.manifest import Record
from mien.core.packed import PackWriter
from mien.prepare.candidates import Candidates
from mien.prepare.extract import dropped
from mien.prepare.judge import Bound
from mien.prepare.select import Selection

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


_SHEET_KEPT, _SHEET_DROPPED = 96, 96  # examples on the sheet
_SHEET_PER_REASON, _SHEET_BLANKS = 24, 4  # of one reason, with a picture to show and without
_MOST_DROPS = 1000


@dataclass(frozen=True)
class Packed:
    """One zip that was written.

    kept: pictures in it. dropped: count of inputs for each reason, most frequent first. total: inputs
    looked at. drops: records of the first 1000 dropped inputs (the manifest in the zip has all). bounds: by
    which inputs were judged.
    """

    path: Path
    size: int
    kept: int
    dropped: Mapping[str, int]
    total: int
    drops: list[Record]
    bounds: tuple[Bound, ...]
    _candidates: Candidates = field(repr=False)
    _shots: tuple[list[Shot], list[Shot]] = field(repr=False)

    def thumb(self, record: Mapping[str, Any]) -> bytes | None:
        """The crop of a record, kept or dropped; else the whole picture, small; None if there is neither.

        Only while the run lasts: ask in its `report`.
        """
        index = self._index.get(_place(record))
        if index is None:
            return None
        crops = dict(self._candidates.crops(index, self.size))
        role = record.get("role") or next(iter(crops), "")
        return crops.get(role) or self._candidates.thumb(index) or None

    def write_sheet(self, path: Path) -> None:
        """Draw the contact sheet: examples of what was kept and what was dropped."""
        kept, lost = self._shots
        write_sheet(path, kept=kept, dropped=lost, num_kept=self.kept, reasons=self.dropped)

    @cached_property
    def _index(self) -> dict[tuple[str, int], int]:
        return {_place(self._candidates.record(index)): index for index in range(len(self._candidates))}


def _place(record: Mapping[str, Any]) -> tuple[str, int]:
    """The photo and which of its faces."""
    return str(record.get("source", "")), int(record.get("face") or 0)


def write_pack(
    path: Path,
    size: int,
    candidates: Candidates,
    selection: Selection,
    *,
    bounds: tuple[Bound, ...],
    scratch: Path,
) -> Packed:
    """Write what is kept, and a manifest line for every input. The same arguments write the same bytes.

    scratch: a folder on the same disk, where a killed run may leave half a zip.
    """
    total, tally = len(candidates), _Tally(len(candidates))
    whole = scratch / path.name
    with PackWriter(whole, class_names=candidates.class_names) as pack:
        for index, drop in enumerate(selection.drops):
            record = candidates.record(index)
            if drop is not None:
                record |= dropped(drop)
                if index in selection.doubles:
                    keeper = candidates.record(selection.doubles[index])
                    record["duplicate_of"] = keeper["source"]
                    if keeper.get("face"):
                        record["duplicate_face"] = keeper["face"]
                pack.add_record(record)
                tally.drop(record, partial(_thumb, candidates, index, size, record))
                continue
            if index in selection.people:
                record["person"] = selection.people[index]
            record |= {"verdict": "kept", "reason": None, "detail": None}
            for role, png in candidates.crops(index, size):
                pack.add_png(png, candidates.label(index), record | ({"role": role} if role else {}))
                tally.keep(index, record["source"], png)
        kept = len(pack)
    move(whole, path)
    counts = dict(sorted(tally.reasons.items(), key=lambda item: (-item[1], item[0])))  # most frequent first
    shots = (tally.kept_shots, tally.dropped_shots)
    return Packed(path, size, kept, counts, total, tally.drops, bounds, candidates, shots)


def _thumb(candidates: Candidates, index: int, size: int, record: Mapping[str, Any]) -> bytes:
    """What the sheet shows of a dropped input: the whole picture, or the crop of one of several faces."""
    crop = dict(candidates.crops(index, size)).get("", b"")
    return crop if record.get("face") else candidates.thumb(index) or crop


@dataclass
class _Tally:
    """What is gathered on the way for the result and the sheet; bounded."""

    total: int
    reasons: Counter[str] = field(default_factory=Counter)
    drops: list[Record] = field(default_factory=list)
    kept_shots: list[Shot] = field(default_factory=list)
    dropped_shots: list[Shot] = field(default_factory=list)

    def keep(self, index: int, name: str, png: bytes) -> None:
        """Take examples of what is kept evenly over the source."""
        if index * _SHEET_KEPT // self.total != (index - 1) * _SHEET_KEPT // self.total:
            self.kept_shots.append(Shot(png, name))

    def drop(self, record: dict[str, Any], thumb: Callable[[], bytes]) -> None:
        """Count a dropped input, and take the first examples of each reason."""
        reason = record["reason"]
        self.reasons[reason] += 1
        if len(self.drops) < _MOST_DROPS:
            self.drops.append(Record(**record))  # type: ignore[typeddict-item]
        if self.reasons[reason] <= _SHEET_PER_REASON and len(self.dropped_shots) < _SHEET_DROPPED:
            shown = thumb()
            if shown or self.reasons[reason] <= _SHEET_BLANKS:
                self.dropped_shots.append(Shot(shown, record["source"], reason))

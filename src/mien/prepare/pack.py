"""A selection written as a dataset, with what came of every input."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mien.core.atomic import move
from mien.core.manifest import Record
from mien.core.packed import PackWriter
from mien.prepare.candidates import Candidates
from mien.prepare.extract import dropped
from mien.prepare.judge import Bound
from mien.prepare.select import Selection
from mien.prepare.sheet import Shot, write_sheet

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
    tally = _Tally(len(candidates))
    whole = scratch / path.name
    with PackWriter(whole, class_names=candidates.class_names) as pack:
        for index, drop in enumerate(selection.drops):
            record = candidates.record(index)
            if drop is None:
                if index in selection.people:
                    record["person"] = selection.people[index]
                _keep(index, record, pack, tally, candidates, size)
                continue
            record |= dropped(drop)
            if index in selection.doubles:
                keeper = candidates.record(selection.doubles[index])
                record["duplicate_of"] = keeper["source"]
                if keeper.get("face"):
                    record["duplicate_face"] = keeper["face"]
            pack.add_record(record)
            if tally.drop(record):
                crop = dict(candidates.crops(index, size)).get("", b"")
                thumb = crop if record.get("face") else candidates.thumb(index) or crop
                tally.show(record, thumb)
        kept = len(pack)
    move(whole, path)
    shots = (tally.kept_shots, tally.dropped_shots)
    return Packed(path, size, kept, tally.counts, len(candidates), tally.drops, bounds, candidates, shots)


def _keep(
    index: int, record: dict[str, Any], pack: PackWriter, tally: "_Tally", candidates: Candidates, size: int
) -> None:
    record |= {"verdict": "kept", "reason": None, "detail": None}
    for role, png in candidates.crops(index, size):
        pack.add_png(png, candidates.label(index), record | ({"role": role} if role else {}))
        tally.keep(index, record["source"], png)


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

    def drop(self, record: dict[str, Any]) -> bool:
        """Count a dropped input; say whether it may still be shown."""
        reason = record["reason"]
        self.reasons[reason] += 1
        if len(self.drops) < _MOST_DROPS:
            self.drops.append(Record(**record))  # type: ignore[typeddict-item]
        return self.reasons[reason] <= _SHEET_PER_REASON and len(self.dropped_shots) < _SHEET_DROPPED

    def show(self, record: dict[str, Any], thumb: bytes) -> None:
        """Take the first examples of each reason."""
        if thumb or self.reasons[record["reason"]] <= _SHEET_BLANKS:
            self.dropped_shots.append(Shot(thumb, record["source"], record["reason"]))

    @property
    def counts(self) -> dict[str, int]:
        """Reasons by frequency, then name."""
        return dict(sorted(self.reasons.items(), key=lambda item: (-item[1], item[0])))

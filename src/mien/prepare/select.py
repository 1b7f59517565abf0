"""Which candidates are kept: rules, then the user's condition, then near-duplicates."""

from dataclasses import dataclass, field
from typing import Any

from mien.prepare.candidates import Candidates
from mien.prepare.dedupe import DUPLICATE, find_duplicates
from mien.prepare.judge import Drop, Rules, judge
from mien.prepare.where import Unknown, Where


@dataclass(frozen=True)
class Selection:
    """drops: for each candidate why it is dropped, or None. doubles: candidate -> source of the kept one."""

    drops: list[Drop | None]
    doubles: dict[int, str] = field(default_factory=dict)

    @property
    def num_kept(self) -> int:
        return self.drops.count(None)


def select(candidates: Candidates, rules: Rules, *, where: Where | None, duplicates: int | None) -> Selection:
    """Judge every candidate. duplicates: bits in which hashes of doubles may differ, None keeps doubles."""
    drops: list[Drop | None] = []
    passed: list[tuple[int, str, float, str]] = []  # number, hash, sharpness, source: all that doubles need
    for index in range(len(candidates)):
        record = candidates.record(index)
        drop = _judge(record, rules, where)
        drops.append(drop)
        if drop is None and record.get("hash"):
            passed.append((index, record["hash"], _sharpness(record), record["source"]))
    doubles: dict[int, str] = {}
    if duplicates is not None and passed:
        hashes, sharpness = [each[1] for each in passed], [each[2] for each in passed]
        keepers = find_duplicates(hashes, sharpness, threshold=duplicates)
        for own, ((index, *_), keeper) in enumerate(zip(passed, keepers, strict=True)):
            if keeper != own:
                doubles[index] = passed[keeper][3]
                drops[index] = Drop(DUPLICATE, f"it shows the same as {doubles[index]}, which is kept")
    return Selection(drops, doubles)


def _judge(record: dict[str, Any], rules: Rules, where: Where | None) -> Drop | None:
    if record.get("verdict") == "dropped":
        return Drop(record.get("reason") or "dropped", record.get("detail") or "it was dropped before")
    drop = judge(record.get("measurements") or {}, rules)
    if drop is not None or where is None:
        return drop
    try:
        return None if where.holds(record) else Drop("where", f"it is not so that {where.text}")
    except Unknown as unknown:
        return Drop("where-unknown", str(unknown))


def _sharpness(record: dict[str, Any]) -> float:
    """What decides between doubles; faces that were not measured so far go by their size."""
    measurements = record.get("measurements") or {}
    return float(measurements.get("sharpness", measurements.get("face_size", 0.0)))

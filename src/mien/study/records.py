"""What a study's database holds: participants, votes, and why the results leave some out. CSV too."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import func, select

from mien.study.design import Design, Rate
from mien.study.loaded import Study
from mien.study.plan import CHECK, MAIN
from mien.study.store import FINISHED, incidents, participants, pictures, trials, votes

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is run by spreadsheets


@dataclass(frozen=True)
class Vote:
    """An answer. sets, pictures: of what was shown, the left one first. left_out: why, "" where it counts.

    exposure_ms: asked for; achieved_ms: measured by the page. correct: None where no answer is right.
    """

    participant: str
    position: int
    phase: str
    block: int
    sets: tuple[str, ...]
    pictures: tuple[str, ...]
    expected: Any
    answer: Any
    correct: bool | None
    exposure_ms: float | None
    frames_planned: int | None
    frames_shown: int | None
    achieved_ms: float | None
    refresh_hz: float | None
    reaction_ms: float | None
    server_ms: float
    flags: tuple[str, ...]
    created_at: str
    left_out: str = ""


@dataclass(frozen=True)
class Participant:
    """Someone who consented. failures: attention checks. left_out: why, "" where the answers count."""

    code: str
    recruitment: str | None
    arm: str | None
    answers: dict[str, str]
    state: str
    position: int
    total: int
    device: dict[str, Any]
    consented_at: str
    finished_at: str | None
    failures: int = 0
    fast: float = 0.0
    refused: int = 0
    left_out: str = ""


@dataclass(frozen=True)
class Records:
    """All of a study."""

    design: Design
    participants: list[Participant]
    votes: list[Vote]
    incidents: dict[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> list[Vote]:
        """The votes on main trials that count."""
        return [vote for vote in self.votes if vote.phase == MAIN and not vote.left_out]

    @property
    def counts(self) -> dict[str, int]:
        """Participants and votes, as pages show them at the top."""
        return {
            "consented": len(self.participants),
            "finished": sum(one.state == FINISHED for one in self.participants),
            "left out": sum(bool(one.left_out) for one in self.participants),
            "votes": sum(vote.phase == MAIN for vote in self.votes),
            "votes that count": len(self.kept),
            "refused requests": sum(self.incidents.values()),
        }

    @property
    def left_out(self) -> dict[str, int]:
        """How many votes on main trials do not count, by reason."""
        reasons = (vote.left_out for vote in self.votes if vote.phase == MAIN and vote.left_out)
        return dict(Counter(reasons).most_common())


def read_records(study: Study) -> Records:
    """Read everything and say what is left out, by the design's rules."""
    with study.store.reading() as connection:
        people = connection.execute(select(participants).order_by(participants.c.number)).all()
        columns = [column for column in votes.c if column.name != "exposure_ms"]
        planned = (trials.c.position, trials.c.phase, trials.c.block, trials.c.pictures, trials.c.expected)
        query = (
            select(participants.c.code, votes.c.exposure_ms, *columns, *planned)
            .join(trials, trials.c.id == votes.c.trial_id)
            .join(participants, participants.c.id == votes.c.participant_id)
            .order_by(participants.c.number, trials.c.position)
        )
        cast = connection.execute(query).all()
        shown = {
            row.id: row
            for row in connection.execute(select(pictures.c.id, pictures.c.set, pictures.c.source))
        }
        grouped = select(incidents.c.participant_id, incidents.c.kind, func.count())
        refused = connection.execute(grouped.group_by(incidents.c.participant_id, incidents.c.kind)).all()
    design = study.design
    plain = [_vote(row, shown) for row in cast]
    by_owner: dict[str, list[Vote]] = defaultdict(list)
    for vote in plain:
        by_owner[vote.participant].append(vote)
    counts = Counter[int]()
    kinds = Counter[str]()
    for owner, kind, count in refused:
        counts[owner] += count
        kinds[kind] += count
    judged = [_judged(row, by_owner[row.code], counts[row.id], design) for row in people]
    reasons = {one.code: one.left_out for one in judged}
    kept = [_with_reason(vote, reasons[vote.participant], design) for vote in plain]
    return Records(design, judged, kept, dict(kinds))


def _vote(row: Any, shown: dict[int, Any]) -> Vote:
    known = {name: row._mapping[name] for name in Vote.__dataclass_fields__ if name in row._mapping}
    return Vote(
        **known
        | {
            "participant": row.code,
            "sets": tuple(shown[id].set for id in row.pictures),
            "pictures": tuple(shown[id].source for id in row.pictures),
            "flags": tuple(row.flags.split()),
        }
    )


def _judged(row: Any, own: Sequence[Vote], refused: int, design: Design) -> Participant:
    """A participant with the reason, if any, why none of the answers counts."""
    rules = design.exclusion
    failures = sum(vote.correct is False for vote in own if vote.phase == CHECK)
    main = [vote for vote in own if vote.phase == MAIN]
    fast = sum("fast" in vote.flags for vote in main) / max(len(main), 1)
    reason = ""
    if failures > rules.attention_failures:
        reason = "failed attention checks"
    elif fast > rules.fast_share:
        reason = "too many fast answers"
    elif rules.unfinished and row.state != FINISHED:
        reason = "did not finish"
    known = {name: row._mapping[name] for name in Participant.__dataclass_fields__ if name in row._mapping}
    return Participant(**known, failures=failures, fast=fast, refused=refused, left_out=reason)


_TRIAL_REASONS = {
    "exposure": "exposure not as planned",
    "hidden": "page was hidden",
    "reshown": "shown twice",
    "fast": "too fast",
}


def _with_reason(vote: Vote, reason: str, design: Design) -> Vote:
    counted = [flag for flag in vote.flags if flag != "reshown" or design.exclusion.reshown]
    why = reason or next((_TRIAL_REASONS[flag] for flag in _TRIAL_REASONS if flag in counted), "")
    return replace(vote, left_out=why)


# ---- CSV


def votes_csv(records: Records) -> str:
    """A line for each vote, practice and checks too."""
    task = records.design.task
    scales = [scale.name for scale in task.scales] if isinstance(task, Rate) else []
    heads = [name for name in Vote.__dataclass_fields__ if name != "answer"]
    answers = [f"answer_{name}" for name in scales] or ["answer"]
    rows = []
    for vote in records.votes:
        given = [vote.answer[name] for name in scales] if scales else [vote.answer]
        rows.append([*(getattr(vote, name) for name in heads), *given])
    return _csv([*heads, *answers], rows)


def participants_csv(records: Records, *, ids: bool) -> str:
    """A line for each participant. ids: recruitment ids too, which may name people."""
    questions = [question.name for question in records.design.questions]
    left = {"answers", "device"} if ids else {"answers", "device", "recruitment"}
    heads = [name for name in Participant.__dataclass_fields__ if name not in left]
    device = ["refresh_hz", "width", "height", "pixel_ratio", "touch"]
    rows = [
        [
            *(getattr(one, name) for name in heads),
            *(one.device.get(name) for name in device),
            *(one.answers.get(name, "") for name in questions),
        ]
        for one in records.participants
    ]
    return _csv([*heads, *(f"screen_{name}" for name in device), *questions], rows)


def _csv(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    """Several values are joined by "; "; a text that a spreadsheet would run gets an apostrophe before it."""
    if isinstance(value, list | tuple):
        value = "; ".join(str(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value

"""The trials of a participant: the one that is due is served with a signed token, the vote on it is saved.

Every vote is on disk before it is acknowledged, and no request gets further than the trial that is due.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field
from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from mien.study.design import HypeTime, Timed
from mien.study.loaded import (
    Refused,
    Study,
    TrialToken,
    check_answer,
    completion_code,
    is_correct,
    participant_code,
    read_trial_token,
    sign,
    trial_token,
)
from mien.study.plan import CHECK, MAIN, PRACTICE, next_exposure
from mien.study.store import FINISHED, incidents, now, participants, trials, votes

_EARLY = 0.1  # of a trial's time that a rater's clock may run fast
_MOST_INCIDENTS = 200

# Built once: putting a statement together costs as much as running it.
_PARTICIPANT = select(participants).where(participants.c.code == bindparam("code")).with_for_update()
_TRIALS = (
    select(trials)
    .where(trials.c.participant_id == bindparam("owner"))
    .where(trials.c.position.between(bindparam("first"), bindparam("last")))
    .order_by(trials.c.position)
)
_BEGUN = update(trials).where(trials.c.id == bindparam("trial")).values(served=trials.c.served + 1)
_ADVANCED = update(participants).where(participants.c.id == bindparam("owner"))
_LAST_IN_BLOCK = (
    select(votes.c.exposure_ms, votes.c.correct)
    .join(trials, trials.c.id == votes.c.trial_id)
    .where(votes.c.participant_id == bindparam("owner"))
    .where((trials.c.block == bindparam("of_block")) & (trials.c.phase == MAIN))
    .order_by(trials.c.position.desc())
    .limit(1)
)


class Timing(BaseModel, extra="forbid"):
    """What the page measured. frames_planned, frames_shown: of the exposure. hidden: the tab was not seen."""

    refresh_hz: float | None = Field(None, ge=1, le=1000)
    frames_planned: int | None = Field(None, ge=0, le=100_000)
    frames_shown: int | None = Field(None, ge=0, le=100_000)
    achieved_ms: float | None = Field(None, ge=0, le=1e7)
    reaction_ms: float | None = Field(None, ge=0, le=1e9)
    hidden: bool = False


class Device(BaseModel, extra="forbid"):
    """The screen, as the page measured it at the start."""

    refresh_hz: float | None = Field(None, ge=1, le=1000)
    width: int | None = Field(None, ge=0, le=100_000)
    height: int | None = Field(None, ge=0, le=100_000)
    pixel_ratio: float | None = Field(None, ge=0, le=100)
    touch: bool | None = None


class Sessions:
    """What participants do after they enrolled. Safe from several threads."""

    def __init__(self, study: Study) -> None:
        self.study, self.store, self.design = study, study.store, study.design

    def status(self, link: str) -> dict[str, Any]:
        """How far a participant is; nothing is begun by asking. Raises Refused."""
        with self.store.reading() as connection:
            participant = self._participant(connection, link)
            return {"answered": participant.position, "finished": participant.state == FINISHED}

    def next_trial(self, link: str, device: Device | None = None) -> dict[str, Any]:
        """The trial that is due, or the end. Asking again, as after a reload, is counted. Raises Refused."""

        def serve(connection: Connection) -> dict[str, Any]:
            participant = self._participant(connection, link)
            if device is not None and not participant.device:
                mine = participants.c.id == participant.id
                connection.execute(update(participants).where(mine).values(device=device.model_dump()))
            due = self._trials(connection, participant, participant.position, participant.position)
            return self._serve(connection, participant, due[0] if due else None)

        return self.store.write(serve)

    def vote(self, link: str, token: str, answer: Any, timing: Timing) -> dict[str, Any]:
        """Save the answer to the trial that is due; what it returns holds the next one.

        The same vote again is acknowledged again and saved once. Raises Refused for a token that is forged,
        someone else's or out of order, another answer to an answered trial, an answer before the picture
        can have been seen; each is written down as an incident.
        """
        received_ms = time.time() * 1000

        def save(connection: Connection) -> dict[str, Any]:
            participant = self._participant(connection, link)
            return self._save_vote(connection, participant, token, answer, timing, received_ms)

        try:
            return self.store.write(save)
        except Refused as refused:
            self._write_down(link, refused.kind)
            raise

    def _participant(self, connection: Connection, link: str) -> Row[Any]:
        """The row of whoever has this link, locked. Raises Refused."""
        code = participant_code(self.study.key, link)
        row = None if code is None else connection.execute(_PARTICIPANT, {"code": code}).one_or_none()
        if row is None:
            words = "This link is not known here. It may be mistyped, or the data behind it were deleted."
            raise Refused(404, "unknown", words)
        if row.state != FINISHED:
            self.study.check_open()
            days = self.design.link_days
            consented = datetime.fromisoformat(row.consented_at)
            if days is not None and datetime.now(UTC) >= consented + timedelta(days=days):
                words = "This link has expired. The answers that you gave are kept; thank you."
                raise Refused(410, "expired", words)
        return row

    def _serve(
        self, connection: Connection, participant: Row[Any], trial: Row[Any] | None, *, count: bool = True
    ) -> dict[str, Any]:
        """What the page does next. trial: None at the end. count: whether the trial is begun by this."""
        if trial is None:
            return self._end(participant)
        if count:
            connection.execute(_BEGUN, {"trial": trial.id})
        exposure = self._exposure(connection, trial)
        issued = TrialToken(trial.position, exposure, int(time.time() * 1000))
        masks, task = [], self.design.task
        if exposure is not None and isinstance(task, Timed):  # the same whenever it is asked for
            known = self.study.masks
            start = int(sign(self.study.key, "masks", participant.code, trial.position)[:8], 16)
            masks = [known[(start + i) % len(known)] for i in range(task.masks)]
        return {
            "state": trial.phase,
            "block": trial.block,
            "position": trial.position,
            "total": participant.total,
            "token": trial_token(self.study.key, participant.code, issued),
            "pictures": [self.study.names[id] for id in trial.pictures],
            "exposure_ms": exposure,
            "masks": masks,
            "check": trial.expected if trial.phase == CHECK else None,
        }

    def _end(self, participant: Row[Any]) -> dict[str, Any]:
        recruitment = self.design.recruitment
        code = recruitment.completion_code or completion_code(self.study.key, participant.code)
        redirect = recruitment.redirect
        if redirect is not None:
            redirect = redirect.replace("{code}", code).replace("{id}", quote(participant.recruitment or ""))
        return {"state": "end", "total": participant.total, "code": code, "redirect": redirect}

    @staticmethod
    def _trials(connection: Connection, participant: Row[Any], first: int, last: int) -> Sequence[Row[Any]]:
        """Trials of a participant from one position to another."""
        return connection.execute(_TRIALS, {"owner": participant.id, "first": first, "last": last}).all()

    def _exposure(self, connection: Connection, trial: Row[Any]) -> float | None:
        """Exposure of a trial in ms; in a staircase it follows from the block's last answer."""
        task = self.design.task
        if not isinstance(task, HypeTime) or trial.phase != MAIN:
            exposure: float | None = trial.exposure_ms
            return exposure
        which = {"owner": trial.participant_id, "of_block": trial.block}
        last = connection.execute(_LAST_IN_BLOCK, which).one_or_none()
        return next_exposure(task, None if last is None else last.exposure_ms, bool(last and last.correct))

    def _save_vote(
        self,
        connection: Connection,
        participant: Row[Any],
        token: str,
        answer: Any,
        timing: Timing,
        received_ms: float,
    ) -> dict[str, Any]:
        issued = read_trial_token(self.study.key, participant.code, token)
        if issued is None:
            raise Refused(403, "forged", "this vote is not from the page of the study")
        answer = check_answer(self.design.task, answer)
        if issued.position < participant.position:
            return self._acknowledge_again(connection, participant, issued, answer)
        if issued.position > participant.position:
            raise Refused(409, "out-of-order", "another question is due first; reload the page")
        trial, *following = self._trials(connection, participant, issued.position, issued.position + 1)
        server_ms = received_ms - issued.issued_ms
        spare_ms = server_ms - self._least_ms(issued.exposure_ms)
        if spare_ms < -_EARLY * self._least_ms(issued.exposure_ms):
            raise Refused(425, "too-early", "this vote came before the picture can have been seen")
        correct = is_correct(self.design.task, trial.phase, trial.expected, answer)
        measured = timing.model_dump(exclude={"hidden"})
        row = {"trial_id": trial.id, "participant_id": participant.id, "answer": answer, "correct": correct}
        row |= {"exposure_ms": issued.exposure_ms, "server_ms": server_ms, "created_at": now()} | measured
        row["flags"] = " ".join(self._flags(issued, trial, timing, spare_ms))
        connection.execute(insert(votes), row)
        self._advance(connection, participant, finished=not following)
        return {
            "accepted": True,
            "correct": correct if trial.phase == PRACTICE else None,
            "next": self._serve(connection, participant, following[0] if following else None),
        }

    def _acknowledge_again(
        self, connection: Connection, participant: Row[Any], issued: TrialToken, answer: Any
    ) -> dict[str, Any]:
        """The answer to a vote that was saved before, as when its acknowledgement got lost."""
        (trial,) = self._trials(connection, participant, issued.position, issued.position)
        saved = connection.execute(select(votes).where(votes.c.trial_id == trial.id)).one()
        if saved.answer != answer:
            raise Refused(409, "replayed", "this question was answered before; the first answer stands")
        correct = saved.correct if trial.phase == PRACTICE else None
        due = self._trials(connection, participant, participant.position, participant.position)
        following = self._serve(connection, participant, due[0] if due else None, count=False)
        return {"accepted": True, "correct": correct, "next": following}

    def _least_ms(self, exposure_ms: float | None) -> float:
        """How long a timed trial takes before its question can be answered."""
        task = self.design.task
        if exposure_ms is None or not isinstance(task, Timed):
            return 0.0
        return task.fixation_ms + exposure_ms + task.masks * task.mask_ms

    def _flags(self, issued: TrialToken, trial: Row[Any], timing: Timing, spare_ms: float) -> list[str]:
        """What is odd about a vote, by name."""
        reaction = spare_ms if timing.reaction_ms is None else min(timing.reaction_ms, spare_ms)
        odd = {"fast": reaction < self.design.too_fast_ms, "hidden": timing.hidden}
        if issued.exposure_ms is not None:
            odd |= {"exposure": True, "reshown": trial.served > 1}
            planned, shown = timing.frames_planned, timing.frames_shown
            if timing.refresh_hz is not None and planned is not None and shown is not None:
                frames = max(1, round(issued.exposure_ms * timing.refresh_hz / 1000))
                tolerance = self.design.exclusion.frame_tolerance
                odd["exposure"] = abs(frames - planned) > 1 or abs(shown - planned) > tolerance
        return [name for name, is_odd in odd.items() if is_odd]

    @staticmethod
    def _advance(connection: Connection, participant: Row[Any], *, finished: bool) -> None:
        values: dict[str, Any] = {"position": participant.position + 1, "seen_at": now()}
        if finished:
            values |= {"state": FINISHED, "finished_at": now()}
        connection.execute(_ADVANCED, values | {"owner": participant.id})

    def _write_down(self, link: str, kind: str) -> None:
        """An incident, of whoever has the link; so many of one participant as anybody will read."""
        code = participant_code(self.study.key, link)

        def add(connection: Connection) -> None:
            known = select(participants).where(participants.c.code == code)
            participant = connection.execute(known).one_or_none()
            if participant is None:
                return
            mine = incidents.c.participant_id == participant.id
            count = connection.execute(select(func.count()).where(mine)).scalar_one()
            if count < _MOST_INCIDENTS:
                row = {"participant_id": participant.id, "position": participant.position, "kind": kind}
                connection.execute(insert(incidents), row | {"created_at": now()})

        self.store.write(add)

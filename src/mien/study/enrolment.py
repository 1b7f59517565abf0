"""Who takes part: enrolment with quotas and balance, return by recruitment id, and deletion."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, update

from mien.study.loaded import Refused, Study, new_code, participant_code, participant_link
from mien.study.plan import MAIN, Available, arms, draw_plan
from mien.study.store import (
    FINISHED,
    STARTED,
    Store,
    incidents,
    now,
    participants,
    pictures,
    studies,
    trials,
    votes,
)

_IDLE = timedelta(hours=2)  # after that, who has not finished no longer counts for a quota


class Enrolment:
    """The door of a study. Safe from several threads."""

    def __init__(self, study: Study) -> None:
        self.study, self.store, self.design = study, study.store, study.design

    def resume(self, recruitment: str) -> str | None:
        """The link of whoever came with this recruitment id before."""
        with self.store.reading() as connection:
            code = _code_of(connection, recruitment)
        return None if code is None else participant_link(self.study.key, code)

    def enrol(self, recruitment: str | None, answers: Mapping[str, str]) -> str:
        """Take part, with consent given; returns the participant's link. The same recruitment id resumes.

        Raises Refused where an answer is missing, the study is closed or a quota is full.
        """
        recruitment = recruitment or None
        if recruitment is None and self.design.recruitment.required:
            raise Refused(403, "recruitment", "Please open the link that you were sent; it holds your id.")
        if recruitment is not None and (known := self.resume(recruitment)):
            return known
        self.study.check_open()
        for question in self.design.questions:
            if answers.get(question.name) not in question.choices:
                raise Refused(422, "question", f"Please answer: {question.text}")
        chosen = {question.name: answers[question.name] for question in self.design.questions}

        def admit(connection: Connection) -> str:
            # A number of one's own; until the transaction ends, nobody else enrols.
            number: int = connection.execute(select(studies.c.enrolled).with_for_update()).scalar_one()
            connection.execute(update(studies).values(enrolled=number + 1))
            if recruitment is not None and (code := _code_of(connection, recruitment)):
                return code
            self._check_quotas(connection, chosen)
            return self._insert(connection, number, recruitment, chosen)

        admitted: str = self.store.write(admit)
        return participant_link(self.study.key, admitted)

    def _check_quotas(self, connection: Connection, chosen: Mapping[str, str]) -> None:
        """Raise Refused where enough have finished or are at it."""
        since = (datetime.now(UTC) - _IDLE).isoformat(timespec="milliseconds")
        counted = (participants.c.state == FINISHED) | (participants.c.seen_at >= since)
        taken = [row.answers for row in connection.execute(select(participants.c.answers).where(counted))]
        full = self.design.quota is not None and len(taken) >= self.design.quota
        for question in self.design.questions:
            most = question.quotas.get(chosen[question.name])
            same = sum(answers[question.name] == chosen[question.name] for answers in taken)
            full = full or (most is not None and same >= most)
        if full:
            raise Refused(410, "full", "This study has all the participants it needs. Thank you for coming.")

    def _insert(
        self, connection: Connection, number: int, recruitment: str | None, answers: Mapping[str, str]
    ) -> str:
        code, arm = new_code(), self._arm(connection)
        query = select(pictures.c.set, pictures.c.id, pictures.c.planned).where(pictures.c.role == "main")
        main: dict[str, list[Available]] = {one.name: [] for one in self.design.sets}
        for name, id, planned in connection.execute(query.order_by(pictures.c.id)):
            main[name].append(Available(id, planned))
        plan = draw_plan(self.design, main, self.study.practice, number=number, arm=arm)
        row = {"number": number, "code": code, "recruitment": recruitment, "arm": arm, "answers": answers}
        row |= {"state": STARTED, "position": 0, "total": len(plan), "device": {}}
        row |= {"consented_at": now(), "seen_at": now()}
        connection.execute(insert(participants), row)
        mine = select(participants.c.id).where(participants.c.code == code)
        owner = connection.execute(mine).scalar_one()
        rows = [
            {"participant_id": owner, "position": position, "served": 0} | trial._asdict()
            for position, trial in enumerate(plan)
        ]
        connection.execute(insert(trials), rows)
        _count_planned(connection, [id for one in plan if one.phase == MAIN for id in one.pictures], 1)
        return code

    def _arm(self, connection: Connection) -> str | None:
        """The set of fakes that fewest participants have."""
        counts = dict.fromkeys(arms(self.design), 0)
        if not counts:
            return None
        grouped = select(participants.c.arm, func.count()).group_by(participants.c.arm)
        counts |= dict(connection.execute(grouped).all())
        return min(counts, key=lambda arm: counts[arm])

    def withdraw(self, link: str) -> None:
        """Delete all data of the participant who asks. Raises Refused where the link is not known."""
        code = participant_code(self.study.key, link)
        if code is None or not delete_participant(self.store, code):
            raise Refused(404, "unknown", "This link is not known here; there is nothing to delete.")


def _code_of(connection: Connection, recruitment: str) -> str | None:
    met = select(participants.c.code).where(participants.c.recruitment == recruitment)
    code: str | None = connection.execute(met).scalar_one_or_none()
    return code


def delete_participant(store: Store, code: str) -> bool:
    """Delete a participant with all answers, for good; False where there is none with this code."""

    def remove(connection: Connection) -> bool:
        rows = connection.execute(select(participants.c.id).where(participants.c.code == code))
        owner = rows.scalar_one_or_none()
        if owner is None:
            return False
        shown = select(trials.c.pictures).where((trials.c.participant_id == owner) & (trials.c.phase == MAIN))
        _count_planned(connection, [id for ids in connection.execute(shown).scalars() for id in ids], -1)
        for table in (votes, incidents, trials):
            connection.execute(delete(table).where(table.c.participant_id == owner))
        connection.execute(delete(participants).where(participants.c.id == owner))
        return True

    known = store.write(remove)
    store.forget_deleted()
    return known


def _count_planned(connection: Connection, ids: Iterable[int], by: int) -> None:
    """Add `by` to each picture's count of planned trials, once for each time it is in `ids`."""
    uses = Counter(ids)
    for times in sorted(set(uses.values())):
        some = sorted(id for id, count in uses.items() if count == times)
        changed = pictures.c.planned + by * times
        connection.execute(update(pictures).where(pictures.c.id.in_(some)).values(planned=changed))

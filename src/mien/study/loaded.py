"""A study as the server knows it, which answers it takes, and the signed texts that it gives out.

A link is `code.mac`, so that nothing secret about a participant need be stored; a token is good for one trial
of one participant and says when it was issued and which exposure was asked for.
"""

import hashlib
import hmac
import secrets
from typing import Any, NamedTuple

from sqlalchemy import select

from mien.core.errors import MienError
from mien.study.design import FAKE, REAL, Attributes, Design, Prefer, Rate, Task
from mien.study.plan import CHECK
from mien.study.store import Store, pictures, studies


class Refused(MienError):  # noqa: N818 - named for what happened to the request
    """A request that is not carried out. status: of HTTP; kind: one word for programs and for the log."""

    def __init__(self, status: int, kind: str, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.kind = kind


def check_answer(task: Task, answer: Any) -> Any:
    """The answer, in one form. Raises Refused where it is none to this task."""
    if isinstance(task, Rate):
        scales = {scale.name for scale in task.scales}
        if isinstance(answer, dict) and answer.keys() == scales:
            values = {name: answer[name] for name in sorted(answer)}
            if all(type(value) is int and 1 <= value <= task.points for value in values.values()):
                return values
    elif isinstance(task, Attributes):
        if isinstance(answer, list) and all(one in task.attributes for one in answer):
            return [one for one in task.attributes if one in answer]
    elif answer in (("left", "right") if isinstance(task, Prefer) else (REAL, FAKE)):
        return answer
    raise Refused(422, "answer", "that is no answer to this question")


def is_correct(task: Task, phase: str, expected: Any, answer: Any) -> bool | None:
    """Whether a checked answer is right, None where no answer is."""
    if expected is None:
        return None
    if isinstance(task, Rate) and phase == CHECK:
        return all(value == expected for value in answer.values())
    return bool(answer == expected)


class Study:
    """One study in a database.

    key: signs links and tokens. secret: path of the researcher's pages. side: pixels of a picture.
    names: of pictures by id. masks: names of masks. practice: ids of practice pictures by set.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        with store.reading() as connection:
            study = connection.execute(select(studies)).one()
            columns = (pictures.c.id, pictures.c.name, pictures.c.set, pictures.c.role)
            rows = connection.execute(select(*columns).order_by(pictures.c.id)).all()
        self.design = Design.model_validate_json(study.design)
        self.secret: str = study.secret
        self.side: int = study.side
        self.key = bytes.fromhex(study.key)
        self.names = {row.id: row.name for row in rows}
        self.masks = [row.name for row in rows if row.role == "mask"]
        self.practice: dict[str, list[int]] = {one.name: [] for one in self.design.sets}
        for row in rows:
            if row.role == "practice":
                self.practice[row.set].append(row.id)

    def check_open(self) -> None:
        """Raise Refused where the study takes nobody any more."""
        if self.design.has_ended():
            raise Refused(410, "closed", "This study has ended. Thank you for your interest.")


_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that looks like something else
_MAC_LENGTH = 32


class TrialToken(NamedTuple):
    """What a token says. issued_ms: on the server's clock. exposure_ms: None where a trial is not timed."""

    position: int
    exposure_ms: float | None
    issued_ms: int


def new_code() -> str:
    """An anonymous code."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(10))


def sign(key: bytes, *parts: object) -> str:
    """A MAC of texts: 32 hexadecimal digits (HMAC-SHA256, cut)."""
    text = "\0".join(str(part) for part in parts)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:_MAC_LENGTH]


def participant_link(key: bytes, code: str) -> str:
    return f"{code}.{sign(key, 'participant', code)}"


def participant_code(key: bytes, link: str) -> str | None:
    """The code in a link, None where the link is forged."""
    code, _, mac = link.partition(".")
    return code if _same(mac, sign(key, "participant", code)) else None


def completion_code(key: bytes, code: str) -> str:
    """What a participant shows to be paid; it does not give away the anonymous code."""
    return sign(key, "complete", code)[:10].upper()


def trial_token(key: bytes, code: str, trial: TrialToken) -> str:
    exposure = "" if trial.exposure_ms is None else repr(trial.exposure_ms)
    body = f"{trial.position}_{exposure}_{trial.issued_ms}"
    return f"{body}_{sign(key, 'trial', code, body)}"


def read_trial_token(key: bytes, code: str, token: str) -> TrialToken | None:
    """What a token of this participant says, None where it is forged or someone else's."""
    body, _, mac = token.rpartition("_")
    if not _same(mac, sign(key, "trial", code, body)):
        return None
    position, exposure, issued = body.split("_")
    return TrialToken(int(position), float(exposure) if exposure else None, int(issued))


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())

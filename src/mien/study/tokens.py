"""Signed texts: links of participants, and a token for each trial that is served.

A link is `code.mac`, so that nothing secret about a participant need be stored; a token is good for one trial
of one participant and says when it was issued and which exposure was asked for.
"""

import hashlib
import hmac
import secrets
from typing import NamedTuple

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

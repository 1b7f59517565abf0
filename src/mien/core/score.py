"""A metric's value with its provenance, and which scores may be compared."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Subject = Literal["generator", "noise", "real-halves"]


class Score(BaseModel):
    """One value of one metric with its provenance; a line of a run's `metric-<module>.jsonl`.

    metric: key of the value ("precision"); module: the metric's file ("prdc"). low, high: its 95 % interval,
    None where the metric gives none (and in files of older versions). better: "lower", "higher" or
    None when only the reals' own value says what is good. subject: what was scored: the generator, pure
    noise, or one half of the reals against the other (the floor a perfect generator would reach).
    network, network_hash, resize: the feature network, None for metrics of pixels. dataset_hash: content,
    never a path. model_id, nimg: the generator and the number of images it was trained on, else None. seeds:
    of the fakes, as a range "0-999". psi: truncation. warnings: in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    metric: str
    module: str
    value: float
    low: float | None = None
    high: float | None = None
    better: Literal["lower", "higher"] | None
    subject: Subject = "generator"
    network: str | None
    network_hash: str | None
    resize: str | None
    num_real: int
    num_fake: int
    dataset_name: str
    dataset_hash: str
    model_id: str | None
    nimg: int | None = None
    seeds: str | None
    psi: float | None
    tool: str
    warnings: tuple[str, ...] = ()


_WHY = {
    "metric": "they are different metrics",
    "network": "the features come from different networks",
    "network_hash": "the feature network has other weights",
    "resize": "pictures were resized differently",
    "num_real": "the number of real pictures differs",
    "num_fake": "the number of generated pictures differs",
    "dataset_hash": "they were measured against different data",
    "psi": "the truncation differs",
}


def comparable(a: Score, b: Score) -> list[str]:
    """Reasons why the values of `a` and `b` must not be compared, with both values; empty if they may be.

    Two generators, or a generator and a baseline, may be compared when all else is equal: the model and the
    seeds are what a comparison is about. A baseline has no truncation. The tool's version is not a reason.
    """
    reasons = []
    for field, why in _WHY.items():
        left, right = getattr(a, field), getattr(b, field)
        if left == right or (field == "psi" and None in (left, right)):
            continue
        reasons.append(f"{why} ({_brief(left)} and {_brief(right)})")
    return reasons


def _brief(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) > 24 else text

"""Results of evaluation with their provenance, as lines of a run's metric files; which scores compare."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from mien import TOOL
from mien.core.atomic import write_text
from mien.core.errors import InputError
from mien.core.events import Event
from mien.core.run import RunFolder

Subject = Literal["generator", "noise", "real-halves"]


class Interval(BaseModel):
    """A score with its 95 % confidence interval; None stands for a score that is undefined."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float


def with_interval(score: Interval | None, form: str = "") -> str:
    """Score and interval as text: "0.953 (0.940-0.964)". form: see `value_and_interval`."""
    value, ends = value_and_interval(score, form)
    return f"{value} ({ends})" if ends else value


def value_and_interval(score: Interval | None, form: str = "") -> tuple[str, str]:
    """Score and interval as two texts: "0.953" and "0.940-0.964".

    form: of each number, as of `format`; by default three digits after the point below 10, one above.
    """
    if score is None:
        return "-", ""
    form = form or (".3f" if abs(score.value) < 10 else ".1f")
    dash = "-" if score.low >= 0 else " to "
    return f"{score.value:{form}}", f"{score.low:{form}}{dash}{score.high:{form}}"


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


class Examination(BaseModel):
    """Base class of evaluation results; each kind of network adds its scores and how they are shown.

    metric: the name of the run's file, `metric-<metric>.jsonl`. kept_out: whether these images are known to
    be held out of its training. how: which images these are, in words.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())
    metric: ClassVar[str]

    model_id: str
    nimg: int
    dataset_name: str
    dataset_hash: str
    kept_out: bool = Field(False, validation_alias=AliasChoices("kept_out", "unseen"))
    how: str = ""
    tool: str = TOOL

    def tables(self) -> list[Event]:
        """The tables and notices that show it."""
        raise NotImplementedError

    def append(self, run: RunFolder) -> None:
        """Add it as a line to the run's file, atomically."""
        append_results(run, self.metric, self)

    @classmethod
    def of_run(cls, run: RunFolder) -> Sequence[Self]:
        """All of a run, oldest first. Raises InputError naming a damaged line."""
        path = run.metric(cls.metric)
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        results = []
        for number, line in enumerate(lines, 1):
            try:
                results.append(cls.model_validate_json(line))
            except ValidationError as error:
                raise InputError(f"{path}: line {number} is not an examination") from error
        return results

    @classmethod
    def newest(cls, run: RunFolder) -> Self | None:
        """The last of a run, None where there is none. Raises InputError naming a damaged line."""
        results = cls.of_run(run)
        return results[-1] if results else None


def append_results(run: RunFolder, metric: str, *results: BaseModel) -> None:
    """Append a line for each result to the run's `metric-<metric>.jsonl`, atomically."""
    path = run.metric(metric)
    old = path.read_text("utf-8") if path.exists() else ""
    write_text(path, old + "".join(result.model_dump_json() + "\n" for result in results))

"""The design of a study, read from a TOML or JSON file: which pictures, what is asked, who takes part."""

import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from mien.core.errors import InputError, reason_of

REAL, FAKE = "real", "fake"

Count = Annotated[int, Field(ge=1, le=2000)]
Text = Annotated[str, Field(min_length=1, max_length=20_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
Milliseconds = Annotated[float, Field(gt=0, le=60_000)]


class Part(BaseModel, extra="forbid", frozen=True):
    """A table of the design file; unknown keys are refused."""


class PictureSet(Part):
    """Pictures of one origin.

    count: taken at most, at random. shows: attributes that they were made to have.
    """

    name: Name
    path: Path
    real: bool = False
    count: Count | None = None
    shows: tuple[str, ...] = ()


class Timed(Part):
    """How a timed trial runs: a cross, the picture, then masks made of scrambled pictures."""

    fixation_ms: float = Field(500, ge=0, le=10_000)
    masks: int = Field(5, ge=0, le=20)
    mask_ms: Milliseconds = 30


class Categorise(Timed):
    """Rapid categorisation: real or fake, at fixed exposures (method of constant stimuli).

    trials: at each exposure, half of them real.
    """

    kind: Literal["categorise"]
    exposures_ms: tuple[Milliseconds, ...] = Field((50, 100, 200, 400, 800), min_length=1, max_length=20)
    trials: int = Field(20, ge=2, le=500, multiple_of=2)


class HypeTime(Timed):
    """HYPE-time (Zhou et al. 2019): the exposure follows the answers and settles where 75 % are right."""

    kind: Literal["hype-time"]
    blocks: int = Field(3, ge=1, le=10)
    trials: int = Field(150, ge=2, le=500, multiple_of=2, description="of a block")
    start_ms: Milliseconds = 500
    shortest_ms: Milliseconds = 100
    longest_ms: Milliseconds = 1000
    down_ms: Milliseconds = 10
    up_ms: Milliseconds = 30

    @model_validator(mode="after")
    def _ordered(self) -> "HypeTime":
        if not self.shortest_ms <= self.start_ms <= self.longest_ms:
            raise ValueError("start_ms lies outside of shortest_ms to longest_ms")
        return self


class HypeInfinity(Part):
    """HYPE-infinity (Zhou et al. 2019): real or fake, with all the time in the world."""

    kind: Literal["hype-infinity"]
    trials: int = Field(100, ge=2, le=2000, multiple_of=2)


class Scale(Part):
    """A rating scale. low, high: what its ends mean."""

    name: Name
    text: Text
    low: str = "not at all"
    high: str = "entirely"


class Rate(Part):
    """Each picture is rated on one or more scales from 1 to `points`."""

    kind: Literal["rate"]
    scales: tuple[Scale, ...] = Field(min_length=1, max_length=10)
    points: int = Field(5, ge=2, le=9)
    trials: Count = 40


class Prefer(Part):
    """Two pictures side by side, one is chosen. compare: strengths of whole sets, or of single pictures."""

    kind: Literal["prefer"]
    question: Text = "Which face looks more real?"
    compare: Literal["sets", "pictures"] = "sets"
    trials: Count = 40


class Attributes(Part):
    """Which of these attributes does the picture show? Any number may be chosen."""

    kind: Literal["attributes"]
    attributes: tuple[Annotated[str, Field(min_length=1, max_length=80)], ...] = Field(
        min_length=1, max_length=40
    )
    question: Text = "What do you see?"
    trials: Count = 40


Task = Annotated[
    Categorise | HypeTime | HypeInfinity | Rate | Prefer | Attributes, Field(discriminator="kind")
]
KINDS = ("categorise", "hype-time", "hype-infinity", "rate", "prefer", "attributes")


class Question(Part):
    """Asked before the study. quotas: participants at most with this answer; others are not limited."""

    name: Name
    text: Text
    choices: tuple[str, ...] = Field(min_length=2, max_length=30)
    quotas: dict[str, Count] = {}


class Recruitment(Part):
    """Where participants come from. parameter: of the link's query that holds their id (PROLIFIC_PID, ...).

    required: nobody without an id takes part. completion_code: the same for all; one of their own by default.
    redirect: where they go at the end; {code} and {id} in it are filled in.
    """

    parameter: Name = "id"
    required: bool = False
    completion_code: Name | None = None
    redirect: str | None = Field(None, pattern=r"^https?://\S+$")


class Exclusion(Part):
    """Which data the results leave out; nothing is deleted.

    attention_failures: participants who failed more checks. frame_tolerance: trials whose exposure was off by
    more frames. fast_share: participants with a larger share of too fast answers. unfinished: participants
    who stopped early. reshown: timed trials that were begun twice, as after a reload.
    """

    attention_failures: int = Field(0, ge=0)
    frame_tolerance: int = Field(1, ge=0)
    fast_share: float = Field(0.2, ge=0, le=1)
    unfinished: bool = False
    reshown: bool = True


class Design(Part):
    """A study. quota: participants at most. link_days: how long a participant may take, from consent on.

    side: pixels of the longest picture side (default: the shortest that any picture has, at most 512).
    too_fast_ms: answers after less are flagged.
    """

    title: Annotated[str, Field(min_length=1, max_length=200)]
    task: Task
    sets: tuple[PictureSet, ...] = Field(min_length=1, max_length=20)
    consent: Text
    instructions: Text
    thanks: Text = "Thank you. Your answers are saved."
    questions: tuple[Question, ...] = Field((), max_length=20)
    practice: int = Field(4, ge=0, le=50)
    attention_checks: int = Field(2, ge=0, le=50)
    quota: int | None = Field(None, ge=1)
    link_days: float | None = Field(30, gt=0)
    closes: datetime | None = None
    too_fast_ms: float = Field(200, ge=0, le=10_000)
    side: int | None = Field(None, ge=16, le=2048)
    seed: int = Field(0, ge=0, lt=2**31)
    recruitment: Recruitment = Recruitment()
    exclusion: Exclusion = Exclusion()

    @model_validator(mode="after")
    def _consistent(self) -> "Design":
        names = [one.name for one in self.sets]
        if len(set(names)) < len(names):
            raise ValueError("two sets have the same name")
        if asks_real_or_fake(self.task):
            if sum(one.real for one in self.sets) != 1 or len(self.sets) < 2:
                raise ValueError("this task needs one set with real = true and one or more without")
        elif isinstance(self.task, Prefer) and self.task.compare == "sets" and len(self.sets) < 2:
            raise ValueError("comparing sets needs two or more; or say compare = 'pictures'")
        if self.closes is not None and self.closes.tzinfo is None:
            raise ValueError("closes needs a time zone, as in 2027-01-31T18:00:00+01:00")
        return self

    def has_ended(self) -> bool:
        """Whether `closes` is past."""
        return self.closes is not None and datetime.now(UTC) >= self.closes

    @property
    def real(self) -> PictureSet:
        """The set of real pictures of a task that asks for real or fake."""
        return next(one for one in self.sets if one.real)

    @property
    def fakes(self) -> tuple[PictureSet, ...]:
        return tuple(one for one in self.sets if not one.real)


def asks_real_or_fake(task: object) -> bool:
    return isinstance(task, Categorise | HypeTime | HypeInfinity)


def read_design(path: Path) -> Design:
    """Read a design; paths of its sets become absolute, from the file's folder.

    Raises InputError naming the file and the key (or line) that is wrong.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"{path}: cannot be read ({reason})") from error
    try:
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
    design = parse_design(values, str(path))
    folder = path.absolute().parent
    sets = tuple(one.model_copy(update={"path": folder / one.path}) for one in design.sets)
    return design.model_copy(update={"sets": sets})


def parse_design(values: Mapping[str, Any], where: str) -> Design:
    """Check a design. where: what messages begin with. Raises InputError for the first thing wrong."""
    try:
        return Design.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(place) for place in first["loc"] if place not in KINDS) or "design"
        raise InputError(f"{where}: {key}: {reason_of(first)}") from error

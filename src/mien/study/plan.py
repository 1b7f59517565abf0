"""The trials of a participant and their order: drawn anew for each, balanced over sets, time and people."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mien.study.design import (
    FAKE,
    REAL,
    Attributes,
    Categorise,
    Design,
    HypeInfinity,
    HypeTime,
    Prefer,
    Rate,
    asks_real_or_fake,
)

PRACTICE, MAIN, CHECK = "practice", "main", "check"
_STRATUM = 5  # trials of a condition within which the order is free


class PlannedTrial(NamedTuple):
    """A trial to come. pictures: their ids, the left one first; none in an attention check.

    expected: the right answer, None where there is none. exposure_ms: None where time does not count, and in
    a staircase, whose exposures follow the answers.
    """

    phase: str
    block: int
    pictures: tuple[int, ...]
    expected: Any
    exposure_ms: float | None


class Available(NamedTuple):
    """A picture that may be shown. planned: how many trials of all participants it is in."""

    id: int
    planned: int


class Condition(NamedTuple):
    """What a trial shows: sets, the left one first, and the exposure."""

    block: int
    sets: tuple[str, ...]
    exposure_ms: float | None = None


def arms(design: Design) -> tuple[str, ...]:
    """Sets of fakes of which each participant sees one alone; empty where all see the same sets."""
    single = isinstance(design.task, HypeTime | HypeInfinity)
    return tuple(one.name for one in design.fakes) if single else ()


def practice_sets(design: Design) -> list[tuple[str, ...]]:
    """The sets of each practice trial's pictures."""
    names = [one.name for one in design.sets]
    if asks_real_or_fake(design.task):
        fakes = itertools.cycle(one.name for one in design.fakes)
        return [(next(fakes) if i % 2 else design.real.name,) for i in range(design.practice)]
    width = 2 if isinstance(design.task, Prefer) else 1
    return [tuple(names[(i + j) % len(names)] for j in range(width)) for i in range(design.practice)]


def conditions(design: Design, number: int, arm: str | None) -> list[Condition]:
    """The conditions of participant `number`'s main trials, not yet in order."""
    task, names = design.task, [one.name for one in design.sets]
    if isinstance(task, Categorise):
        return _constant_stimuli(task, design, number)
    if isinstance(task, HypeTime | HypeInfinity):
        num_blocks = task.blocks if isinstance(task, HypeTime) else 1
        both = [(design.real.name,), (str(arm),)]
        return [Condition(block, one) for block in range(num_blocks) for one in both * (task.trials // 2)]
    if isinstance(task, Prefer):
        return _pairs_of_sets(task.trials, names, number)
    return [Condition(0, (names[(i + number) % len(names)],)) for i in range(task.trials)]


def _constant_stimuli(task: Categorise, design: Design, number: int) -> list[Condition]:
    fakes = [one.name for one in design.fakes]
    conditions, dealt = [], number
    for exposure in task.exposures_ms:
        for _ in range(task.trials // 2):
            conditions.append(Condition(0, (design.real.name,), exposure))
            conditions.append(Condition(0, (fakes[dealt % len(fakes)],), exposure))
            dealt += 1
    return conditions


def _pairs_of_sets(trials: int, names: Sequence[str], number: int) -> list[Condition]:
    """Every pair of sets equally often, on each side equally often over pairs and participants."""
    pairs = list(itertools.combinations(names, 2))
    conditions = []
    for i in range(trials):
        turn, place = divmod(i + number, len(pairs))
        left, right = pairs[place]
        conditions.append(Condition(0, (right, left) if (turn + place + number) % 2 else (left, right)))
    return conditions


def pictures_needed(design: Design) -> dict[str, int]:
    """Pictures that each set needs, those for practice included; no participant sees one twice.

    Pairs of single pictures repeat pictures, but no pair.
    """
    practice = Counter(name for trial in practice_sets(design) for name in trial)
    if _compares_pictures(design):
        return {one.name: practice[one.name] + (2 if len(design.sets) == 1 else 1) for one in design.sets}
    needed = Counter[str]()
    count = len(design.sets)
    turns = max(count, count * (count - 1) // 2)  # participants after whom the conditions repeat
    for number, arm in itertools.product(range(turns), arms(design) or (None,)):
        needed |= Counter(name for one in conditions(design, number, arm) for name in one.sets)  # the larger
    return {one.name: needed[one.name] + practice[one.name] for one in design.sets}


def pairs_available(num_pictures: int) -> int:
    return num_pictures * (num_pictures - 1) // 2


def _compares_pictures(design: Design) -> bool:
    return isinstance(design.task, Prefer) and design.task.compare == "pictures"


def draw_plan(
    design: Design,
    main: Mapping[str, Sequence[Available]],
    practice: Mapping[str, Sequence[int]],
    *,
    number: int,
    arm: str | None,
) -> list[PlannedTrial]:
    """All trials of participant `number` in order: practice, then main trials and attention checks.

    main, practice: the pictures of each set. Those that were planned least often are taken, so that all
    pictures are shown equally often, up to one. The same arguments give the same plan.
    """
    rng = np.random.default_rng((design.seed, number))
    if _compares_pictures(design):
        shown = _picture_pairs(design.task.trials, list(itertools.chain(*main.values())), rng)
        planned = [PlannedTrial(MAIN, 0, pair, None, None) for pair in shown]
    else:
        ordered = _interleaved(conditions(design, number, arm), rng)
        planned = _with_pictures(design, ordered, main, rng)
    return [*_practice(design, practice, rng), *_with_checks(design, planned, rng)]


def _interleaved(conditions: Sequence[Condition], rng: np.random.Generator) -> list[Condition]:
    """A random order in which every stretch of a block holds all conditions about equally often."""
    places: list[tuple[float, Condition]] = []
    for condition, count in Counter(conditions).items():
        for i in range(count):
            low = i // _STRATUM * _STRATUM
            width = min(_STRATUM, count - low)
            places.append((condition.block + (low + width * rng.random()) / count, condition))
    return [condition for _, condition in sorted(places, key=lambda pair: pair[0])]


def _with_pictures(
    design: Design,
    ordered: Sequence[Condition],
    main: Mapping[str, Sequence[Available]],
    rng: np.random.Generator,
) -> list[PlannedTrial]:
    """The pictures of each condition: those that were planned least often, in random order."""
    dealt = {}
    for name, count in sorted(Counter(name for one in ordered for name in one.sets).items()):
        shuffled = [main[name][i] for i in rng.permutation(len(main[name]))]
        chosen = [one.id for one in sorted(shuffled, key=lambda one: one.planned)[:count]]
        dealt[name] = iter([chosen[i] for i in rng.permutation(len(chosen))])
    trials = []
    for one in ordered:
        pictures = tuple(next(dealt[name]) for name in one.sets)
        trials.append(PlannedTrial(MAIN, one.block, pictures, _expected(design, one.sets), one.exposure_ms))
    return trials


def _expected(design: Design, sets: Sequence[str]) -> str | None:
    """The right answer to pictures of these sets."""
    if not asks_real_or_fake(design.task):
        return None
    return REAL if sets[0] == design.real.name else FAKE


def _picture_pairs(
    trials: int, pictures: Sequence[Available], rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Different pairs in which the pictures appear about equally often, on random sides."""
    uses = {one.id: one.planned for one in pictures}
    pairs = [tuple(pair) for pair in itertools.combinations(sorted(uses), 2)]
    left = [pairs[i] for i in rng.permutation(len(pairs))]
    chosen = []
    for _ in range(trials):
        pair = min(left, key=lambda pair: uses[pair[0]] + uses[pair[1]])
        left.remove(pair)
        for one in pair:
            uses[one] += 1
        chosen.append(pair if rng.random() < 0.5 else pair[::-1])
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _practice(
    design: Design, practice: Mapping[str, Sequence[int]], rng: np.random.Generator
) -> list[PlannedTrial]:
    """The same pictures for everyone, in random order; timed tasks begin at their longest exposure."""
    task = design.task
    if isinstance(task, Categorise):
        exposures: list[float | None] = list(np.resize(sorted(task.exposures_ms)[::-1], design.practice))
    else:
        exposures = [task.start_ms if isinstance(task, HypeTime) else None] * design.practice
    stacks = {name: iter(ids) for name, ids in practice.items()}
    sets = practice_sets(design)
    trials = []
    for index, exposure in zip(rng.permutation(len(sets)), exposures, strict=True):
        pictures = tuple(next(stacks[name]) for name in sets[index])
        timed = None if exposure is None else float(exposure)
        trials.append(PlannedTrial(PRACTICE, 0, pictures, _expected(design, sets[index]), timed))
    return trials


def _with_checks(design: Design, trials: list[PlannedTrial], rng: np.random.Generator) -> list[PlannedTrial]:
    """Attention checks, spread over the trials, one in each of as many equal stretches."""
    count = min(design.attention_checks, len(trials))
    places = {int((i + rng.random()) * len(trials) / count) for i in range(count)}
    planned = []
    for index, trial in enumerate(trials):
        if index in places:
            planned.append(PlannedTrial(CHECK, trial.block, (), _check(design, rng), None))
        planned.append(trial)
    return planned


def _check(design: Design, rng: np.random.Generator) -> Any:
    """The answer that a check asks for."""
    task = design.task
    if isinstance(task, Rate):
        return int(rng.integers(1, task.points + 1))
    if isinstance(task, Attributes):
        return [task.attributes[rng.integers(len(task.attributes))]]
    return str(rng.choice(("left", "right") if isinstance(task, Prefer) else (REAL, FAKE)))


def next_exposure(task: HypeTime, exposure_ms: float | None, correct: bool) -> float:
    """Exposure of a staircase's next trial in ms. exposure_ms: of the last, None at the start of a block.

    Steps of 10 ms down after a right answer and 30 ms up after a wrong one rest where 10 p = 30 (1 - p), at
    p = 75 % right (Kaernbach 1991; Zhou et al. 2019, section 3).
    """
    if exposure_ms is None:
        return task.start_ms
    changed = exposure_ms - task.down_ms if correct else exposure_ms + task.up_ms
    return min(max(changed, task.shortest_ms), task.longest_ms)

"""Labels as a user asks for them ("smiling=1", "sex=female", "blond") turned into what a generator takes.

What is not asked for is drawn, by the picture's seed, from labels that the generator learnt from and that
agree with what is asked, so that the combinations are such as occur.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from mien.core.checkpoint import NetworkHeader
from mien.core.errors import InputError
from mien.core.types import Spec
from mien.labels import encoding
from mien.labels.encoding import Target, place_of
from mien.labels.values import NO, YES, parse_number

T = TypeVar("T")
_CLASS = "class"  # the label whose values are columns without a name before them
_STREAM = 1  # of a seed's random numbers: the latent has another


def label_vectors(header: NetworkHeader, requests: Sequence[str], seeds: Sequence[int]) -> Tensor | None:
    """float32 [len(seeds), label_dim] for a conditional generator; None for one without labels.

    requests: NAME, NAME=1, NAME=no, NAME=VALUE. Raises InputError where nothing is asked of a conditional
    generator, or anything of another, for unknown names (listing the known), and for contradictions.
    """
    spec = header.spec
    if not spec.label_dim:
        if requests:
            raise InputError("--label: this model was trained without labels")
        return None
    if not requests:
        raise InputError(f"this model is conditional; say which with --label: {known(spec)}")
    rows = np.array(header.label_rows, np.float32).reshape(-1, spec.label_dim)
    requested = _requested(spec, requests, rows)
    return torch.from_numpy(_drawn(requested, rows, seeds))


def plain_requests(header: NetworkHeader, requests: Sequence[str]) -> tuple[str, ...]:
    """The requests in one spelling: "Calm", "0" and "class=calm" are "calm". Raises as `label_vectors`."""
    spec = header.spec
    rows = np.array(header.label_rows, np.float32).reshape(-1, spec.label_dim or 1)
    targets = _grouped(spec, rows)
    plain = (_plain_request(*_read(text, targets, spec, rows)) for text in requests)
    return tuple(dict.fromkeys(plain))


def _plain_request(target: Target, values: Sequence[float]) -> str:
    if target.kind == "one-of":
        value = target.values[list(values).index(1)]
        return value if target.name == _CLASS else f"{target.name}={value}"
    return target.name if target.kind == "yes-no" and values[0] == 1 else f"{target.name}={values[0]:g}"


def known(spec: Spec) -> str:
    """What can be asked for, in a line."""
    return ", ".join(_describe(target) for target in encoding.parse(spec.column_names))


def _describe(target: Target) -> str:
    name = target.name.removesuffix(":number")
    return f"{name}={'|'.join(target.values)}" if target.kind == "one-of" else name


def _requested(spec: Spec, requests: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """float32 [label_dim]: what is asked for, NaN in the columns that are left open."""
    targets = _grouped(spec, rows)
    requested = np.full(spec.label_dim, np.nan, np.float32)
    set_by: dict[int, str] = {}  # column -> the words that set it
    for text in requests:
        target, values = _read(text, targets, spec, rows)
        for place, value in zip(range(target.columns.start, target.columns.stop), values, strict=True):
            if place in set_by and requested[place] != value:
                raise InputError(f"--label {set_by[place]} and --label {text} contradict each other")
            set_by[place], requested[place] = text, value
    return requested


def _grouped(spec: Spec, rows: np.ndarray) -> tuple[Target, ...]:
    """The labels; columns of which exactly one is 1 in every row are the values of one, "class"."""
    names = spec.column_names
    one_hot = len(rows) > 0 and np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all()
    if one_hot and len(names) > 1 and not any("=" in name for name in names):
        return (Target(_CLASS, "one-of", 0, names),)
    return encoding.parse(names)


def _read(
    text: str, targets: Sequence[Target], spec: Spec, rows: np.ndarray
) -> tuple[Target, Sequence[float]]:
    """The label that `text` speaks of, and what it puts into its columns."""
    if text.strip().isdecimal() and int(text) < spec.label_dim:  # a class by its number
        place: int | None = int(text)
    else:
        column = _match(text, spec.class_names, lambda name: name)  # also a lone column named "a=b"
        place = None if column is None else spec.class_names.index(column)
    if place is not None:
        target = next(t for t in targets if t.columns.start <= place < t.columns.stop)
        return target, _hot(target, place - target.start)
    name, equals, value = text.partition("=")
    if not equals:
        return _lone_value(text, targets, spec)
    target_named = _match(name, targets, lambda target: target.name)
    if target_named is None:
        raise InputError(f"--label {text}: no label {name.strip()!r}; choose from {known(spec)}")
    return target_named, _valued(text, value.strip(), target_named, rows)


def _lone_value(text: str, targets: Sequence[Target], spec: Spec) -> tuple[Target, Sequence[float]]:
    """ "black" for "hair_colour=black"."""
    options = [(target, place) for target in targets for place in range(len(target.values))]
    option = _match(text, options, lambda one: one[0].values[one[1]])
    if option is None:
        raise InputError(f"--label {text}: not known; choose from {known(spec)}")
    return option[0], _hot(*option)


def _valued(text: str, value: str, target: Target, rows: np.ndarray) -> Sequence[float]:
    if target.kind == "one-of":
        place = _match(value, range(len(target.values)), lambda index: target.values[index])
        if place is None and (number := parse_number(value)) is not None:
            place = place_of(target.values, number)  # into a bin: age=35
        if place is None:
            raise InputError(f"--label {text}: choose from {_describe(target)}")
        return _hot(target, place)
    column = rows[:, target.start]
    if (number := parse_number(value)) is not None and not np.isin(column, (0, 1)).all():
        return (number,)
    if value.casefold() in YES | NO:
        return (float(value.casefold() in YES),)
    raise InputError(
        f"--label {text}: {target.name} is a yes or no; write {target.name}=1 or {target.name}=0"
    )


def _hot(target: Target, place: int) -> Sequence[float]:
    return [float(index == place) for index in range(max(len(target.values), 1))]


def _match(text: str, options: Sequence[T], name_of: Callable[[T], str]) -> T | None:
    """The option named so, in whatever case; None if there is none. InputError where it fits several."""
    text = text.strip()
    exact = [option for option in options if name_of(option) == text]
    loose = exact or [option for option in options if _plain(name_of(option)) == _plain(text)]
    if len(loose) > 1:
        raise InputError(f"--label {text}: may mean {' or '.join(name_of(option) for option in loose)}")
    return loose[0] if loose else None


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")


def _drawn(requested: np.ndarray, rows: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """A row for each seed out of those that agree best with `requested`, which is then put over it."""
    given = ~np.isnan(requested)
    if not len(rows):  # a file from before they were kept
        rows = np.zeros((1, len(requested)), np.float32)
    distance = np.abs(rows[:, given] - requested[given]).sum(axis=1)
    agreeing = rows[distance <= distance.min()]
    places = [np.random.default_rng([seed, _STREAM]).integers(len(agreeing)) for seed in seeds]
    drawn: np.ndarray = agreeing[places]
    drawn[:, given] = requested[given]
    return drawn

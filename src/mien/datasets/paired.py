"""Both sides of pairs, aligned: what a translator from picture to picture learns from."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mien.core.errors import InputError
from mien.core.events import Tick
from mien.core.types import Dataset, Spec
from mien.core.views import View
from mien.datasets.layout import read_index
from mien.datasets.layouts import pairs, sd18
from mien.datasets.opening import open_dataset, open_index
from mien.labels.columns import text_of

_NAMED = 10


@dataclass(frozen=True, eq=False, repr=False)
class PairedDataset:
    """Pairs of pictures, sorted by name. The same index always means the same pair.

    roles: of input and target, as ("front", "profile"). names: of the pairs. people: who is shown in each
    ("" where not known). spec: of the pictures on either side, without labels.
    """

    name: str
    spec: Spec
    roles: tuple[str, str]
    names: tuple[str, ...]
    people: tuple[str, ...]
    both: Dataset
    first: np.ndarray  # int64: where the inputs stand in `both`
    second: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        side = f"{self.spec.resolution}x{self.spec.resolution}x{self.spec.channels}"
        return f"<{self.name}: {len(self):,} pairs of {side}, {self.roles[0]} to {self.roles[1]}>"

    @property
    def content_hash(self) -> str:
        """SHA-256 of pictures, direction and choice of pairs."""
        identity = json.dumps([self.both.content_hash, self.roles, self.names])
        return hashlib.sha256(identity.encode()).hexdigest()

    @property
    def inputs(self) -> Dataset:
        """The first side as a dataset of its own, which goes by the pairs' hash."""
        return self._side(self.first)

    @property
    def targets(self) -> Dataset:
        """The second side, in the same order."""
        return self._side(self.second)

    def images(self, indexes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(inputs, targets), each uint8 [len(indexes), C, H, W]: copies that may be flipped alike."""
        at = np.asarray(indexes, np.int64)
        return self.both.images(self.first[at]), self.both.images(self.second[at])

    def _side(self, at: np.ndarray) -> Dataset:
        side = View(self.both, at, labels=None, class_names=())
        side.content_hash = self.content_hash
        return side

    def subset(self, indexes: Sequence[int]) -> "PairedDataset":
        """The pairs at `indexes` alone, in that order."""
        at = np.asarray(indexes, np.int64)
        return replace(
            self,
            names=tuple(self.names[i] for i in at),
            people=tuple(self.people[i] for i in at),
            first=self.first[at],
            second=self.second[at],
        )


def open_pairs(source: str, *, direction: str = "", progress: Tick | None = None) -> PairedDataset:
    """Open pairs to train on: a folder of pairs, "pairs:FOLDER?size=128&split=train", or a dataset whose
    records tell "role" and what belongs together (`mien render --pairs`, "sd18:...").

    direction: "front-profile" makes fronts the input and profiles the target; by default the sides in
    alphabetical order. Raises InputError, naming every file concerned, for pictures without partner, pairs of
    different sizes or of which one side is gray, an empty side, a picture that cannot be read.
    """
    path = Path(source)
    packed = (path / "dataset.json").exists() or any(path.glob("*/dataset.json"))
    if path.is_dir() and not packed and pairs.may_be(path):
        source = f"pairs:{source}"
    name, _, where = source.partition(":")
    if name == "pairs" and not Path(source).exists():
        index, options = read_index("pairs", pairs.index, where)
        pairs.check(index, gray=options.channels == "1")
    dataset = open_dataset(source, progress=progress)
    if name == "sd18" and not Path(source).exists():
        views = sd18.pairs(open_index(source))
        return _of_views(dataset, views, direction=direction, where=source)
    return pair_up(dataset, direction=direction, where=source)


def pair_up(dataset: Dataset, *, direction: str = "", where: str) -> PairedDataset:
    """Align the two roles of `dataset` by what its records say belongs together, sorted by name."""
    groups: dict[str, dict[str, int]] = {}
    people: dict[str, str] = {}
    roles: set[str] = set()
    for at, record in enumerate(dataset.records):
        person, role = text_of(record, "person"), text_of(record, "role")
        group = str(record.get("group") or text_of(record, "pair") or person)
        if not group or not role:
            raise InputError(f"{where}: picture {at} has no pair and role in its record; these are no pairs")
        if role in groups.setdefault(group, {}):
            raise InputError(f"{where}: pair {group} has two pictures of the role {role}")
        groups[group][role] = at
        people[group] = person
        roles.add(role)
    one, two = _direction(roles, direction, where)
    _check_whole(groups, (one, two), dataset, where)
    # Numbers by size, then names by letter.
    names = tuple(sorted(groups, key=lambda name: (len(name) if name.isdecimal() else 1 << 30, name)))
    first, second = (np.array([groups[name][role] for name in names], np.int64) for role in (one, two))
    persons = tuple(people[name] for name in names)
    spec = dataset.spec.unlabelled()
    return PairedDataset(dataset.name, spec, (one, two), names, persons, dataset, first, second)


def _of_views(dataset: Dataset, views: Sequence[sd18.Pair], *, direction: str, where: str) -> PairedDataset:
    """Fronts and profiles of SD18, where one front may have several profiles."""
    at = {record["source"]: number for number, record in enumerate(dataset.records)}
    roles = _direction({"front", "profile"}, direction, where)
    whole = [view for view in views if all(entry.file in at for entry in view)]
    if not whole:
        raise InputError(f"{where}: there is no front with a profile of the same person in it")
    first, second = ([at[getattr(view, role).file] for view in whole] for role in roles)
    return PairedDataset(
        dataset.name,
        dataset.spec.unlabelled(),
        roles,
        tuple(view.profile.file for view in whole),
        tuple(view.profile.person for view in whole),
        dataset,
        np.array(first, np.int64),
        np.array(second, np.int64),
    )


def _direction(roles: set[str], direction: str, where: str) -> tuple[str, str]:
    directions = {f"{one}-{two}": (one, two) for one in sorted(roles) for two in sorted(roles) if one != two}
    if len(roles) != 2:
        raise InputError(f"{where}: pairs need two roles; there are: {', '.join(sorted(roles)) or 'none'}")
    if direction and direction not in directions:
        raise InputError(f"{where}: there is no direction {direction!r}; choose {' or '.join(directions)}")
    return directions[direction] if direction else next(iter(directions.values()))


def _check_whole(
    groups: dict[str, dict[str, int]], roles: tuple[str, str], dataset: Dataset, where: str
) -> None:
    halves = [f"{name} has no {role}" for name in groups for role in roles if role not in groups[name]]
    if halves:
        more = f" and {len(halves) - _NAMED} more" if len(halves) > _NAMED else ""
        notes = "".join(f"; {note}" for note in getattr(dataset, "notes", ()))
        raise InputError(f"{where}: pairs that are not whole: {', '.join(halves[:_NAMED])}{more}{notes}")

"""Training and test sets of `mien worth`: one label, one image size, no person in both."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch

from mien.core.errors import InputError, make_squares
from mien.core.events import Tick
from mien.core.family import GENERATOR
from mien.core.network import load_network
from mien.core.sampling import draw, latents
from mien.core.types import Dataset, Generator
from mien.core.views import View
from mien.datasets.opening import open_dataset
from mien.datasets.stored import StoredDataset
from mien.evaluation.worth_scores import GAZE
from mien.labels import encoding
from mien.labels.conditions import with_predictions
from mien.labels.encoding import Target
from mien.labels.split import in_line, person_of, split_people
from mien.training.kinds import kind_at

REAL = "real"  # names of arms
AUGMENTED = "real, augmented"
BESIDE = "real + "
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}")
_ROUGH = 10  # people to test on, below which the interval over them is rough
_BATCH = 64
_COLOURS = {1: "gray", 3: "coloured"}


@dataclass(frozen=True)
class Sets:
    """All images of the experiment, with the label in question as label columns, every one known.

    train: real pictures to learn from. test: those of other people. people: who is shown in `test`, a name
    for each picture. notes: lines for the user.
    """

    targets: tuple[Target, ...]
    train: View
    test: View
    synthetic: Mapping[str, View]
    people: tuple[str, ...]
    how: str
    notes: tuple[str, ...]


def open_sets(
    real: str,
    synthetic: Sequence[str],
    label: str,
    *,
    held_out: float,
    drawn: int,
    progress: Tick | None = None,
) -> Sets:
    """Open and check everything. synthetic: like "refined=refined.zip". Raises InputError.

    held_out: share of the real pictures that is tested on, whole people. drawn: pictures to draw where a
    set is a conditional generator.
    """
    sources = named(synthetic)
    dataset = open_dataset(real, progress=progress)
    targets = _chosen(dataset, label)
    train, test, people, how = _split(dataset, targets, held_out)
    tested = frozenset(people)
    notes = [
        f"real: {len(train):,} pictures to learn from; tests on {len(test):,} of {len(tested):,} others,"
        f" {how}"
    ]
    if len(tested) < _ROUGH:
        notes.append(f"only {len(tested)} people to test on: the interval over people is rough")
    views: dict[str, View] = {}
    for name, source in sources.items():
        opened = _opened(source, drawn, progress)
        _check_like(name, opened, dataset)
        views[name], remarks = _labelled(name, opened, targets, label, tested)
        notes += remarks
    return Sets(targets, train, test, views, people, how, tuple(notes))


def named(synthetic: Sequence[str]) -> dict[str, str]:
    """Parse "NAME=DATASET" into datasets by name. Raises InputError for anything else, or a name twice."""
    sources: dict[str, str] = {}
    for text in synthetic:
        name, equals, source = text.partition("=")
        name = name.strip()
        if not equals or not source or not _NAME.fullmatch(name):
            raise InputError(f"--synthetic {text}: write NAME=DATASET, as in refined=refined.zip")
        if name.casefold() == REAL or name in sources:
            raise InputError(f"--synthetic {text}: {name!r} is taken; choose another name")
        sources[name] = source
    return sources


def subset(train: View, count: int | None, seed: int) -> View:
    """`count` of the pictures, as many of one person as there are before the next; people drawn by `seed`."""
    if count is None or count == len(train):
        return train
    if count > len(train):
        raise InputError(f"--real-count {count}: there are {len(train)} real pictures to learn from")
    places: dict[str, list[int]] = {}
    for index, owner in enumerate(_owners(train)):
        places.setdefault(owner, []).append(index)
    line = [index for person in in_line(places, seed) for index in places[person]]
    chosen = np.sort(line[:count])
    assert train.labels is not None
    return View(train, chosen, labels=train.labels[chosen], class_names=train.spec.class_names)


def _chosen(dataset: Dataset, label: str) -> tuple[Target, ...]:
    """One label; "gaze" is both its angles. Raises InputError."""
    name = label.strip()
    if not name or "," in name:
        raise InputError(f"--label {label!r}: name one label (or gaze, for gaze_yaw and gaze_pitch together)")

    def is_known(part: str) -> bool:
        return any(value is not None for value in encoding.values_of(dataset, part))

    if name == "gaze" and not is_known(name) and all(map(is_known, GAZE)):
        name = ",".join(f"{part}:number" for part in GAZE)
    return encoding.choose(dataset, name)


def _split(
    dataset: Dataset, targets: tuple[Target, ...], share: float
) -> tuple[View, View, tuple[str, ...], str]:
    split = split_people(dataset.records, share=share)
    rows, owners = encoding.encode(dataset, targets), _owners(dataset)
    known = ~np.isnan(rows).any(axis=1)
    train, test = (_view(dataset, view[known[view]], rows, targets) for view in (split.train, split.held_out))
    name = targets[0].name
    for view, purpose in ((train, "to learn from"), (test, "to test on")):
        if not len(view):
            raise InputError(f"{dataset.name}: of no real picture {purpose} is {name} known")
        assert view.labels is not None
        if len(np.unique(view.labels, axis=0)) < 2:
            raise InputError(f"{dataset.name}: {name} is the same in all {len(view)} real pictures {purpose}")
    people = tuple(owners[index] for index in test.indexes)
    if len(set(people)) < 2:
        raise InputError(
            f"{dataset.name}: too few people, {len(set(people))} to test on; it takes two or more"
            " (more pictures, or a larger --held-out)"
        )
    return train, test, people, split.how


def _opened(source: str, drawn: int, progress: Tick | None) -> Dataset:
    path = Path(source)
    if path.suffix == ".safetensors" or (path / "config.json").is_file():
        return draw_labelled(path, drawn, progress=progress)
    return open_dataset(source, progress=progress)


def draw_labelled(source: Path, count: int, *, progress: Tick | None = None) -> Dataset:
    """`count` images of a conditional generator, labelled with the condition of each.

    Conditions are drawn from the labels that it was trained on. Raises InputError where it is no such
    generator.
    """
    if (kind := kind_at(source)) != GENERATOR:
        raise InputError(f"{source}: it holds '{kind}', and here a 'generator' is needed")
    loaded = load_network(source)
    if not loaded.header.label_rows:
        raise InputError(
            f"{source}: this generator knows no labels; train one with --labels NAME, or annotate pictures"
        )
    rows = np.array(loaded.header.label_rows, np.float32)
    labels = rows[np.random.default_rng(0).integers(len(rows), size=count)]
    generator, parts = cast(Generator, loaded.network), []
    for start in range(0, count, _BATCH):
        seeds = list(range(start, min(start + _BATCH, count)))
        images = draw(generator, latents(seeds, generator.z_dim), torch.from_numpy(labels[seeds]), psi=1.0)
        parts.append(images.cpu().numpy())
        if progress:
            progress(seeds[-1] + 1, count)
    records = [{"source": f"{loaded.model}/{seed}"} for seed in range(count)]
    return StoredDataset(
        *(loaded.path.name, loaded.header.spec, f"{loaded.model}-{count}"),
        *(labels, records, np.concatenate(parts)),
    )


def _check_like(name: str, dataset: Dataset, real: Dataset) -> None:
    spec, real_spec = dataset.spec, real.spec
    if spec.resolution != real_spec.resolution:
        raise InputError(
            f"--synthetic {name}: {spec.resolution} px, and the real pictures have {real_spec.resolution} px;"
            f" make both alike first ({make_squares(real_spec.resolution)})"
        )
    if spec.channels != real_spec.channels:
        raise InputError(
            f"--synthetic {name}: its pictures are {_COLOURS[spec.channels]}, the real ones"
            f" {_COLOURS[real_spec.channels]}; make both alike first"
        )
    if dataset.content_hash == real.content_hash:
        raise InputError(f"--synthetic {name}: it is the real set itself")


def _labelled(
    name: str, dataset: Dataset, targets: tuple[Target, ...], label: str, tested: frozenset[str]
) -> tuple[View, list[str]]:
    """The images with a known label of people who are not tested on, and notes on those left out."""
    rows = encoding.encode(dataset, targets)
    notes = []
    if np.isnan(rows).any(axis=1).all():
        rows = encoding.encode(with_predictions(dataset), targets)
        notes = [f"{name}: its labels are what a model read off the pictures"]
    known = ~np.isnan(rows).any(axis=1)
    if not known.any():
        _explain(name, dataset, targets, label)
    apart = np.array([person_of(record) not in tested for record in dataset.records])
    keep = np.flatnonzero(known & apart)
    if not len(keep):
        raise InputError(f"--synthetic {name}: all of its people are among those to test on")
    if missing := int((~known).sum()):
        notes.append(f"{name}: {missing:,} of {len(known):,} pictures left out, whose label is not known")
    if shared := int((known & ~apart).sum()):
        notes.append(f"{name}: {shared:,} pictures left out, of people who are tested on (by their name)")
    return _view(dataset, keep, rows, targets), notes


def _explain(name: str, dataset: Dataset, targets: tuple[Target, ...], label: str) -> None:
    """Raise InputError for a set of which the label is not known, or is another kind of label."""
    known = with_predictions(dataset)
    if all(value is None for value in encoding.values_of(known, targets[0].name)):
        try:
            _chosen(known, label)
        except InputError as error:  # it lists the labels that there are
            raise InputError(f"--synthetic {name}: {error}") from error
    kinds = {
        "yes-no": "a yes or no",
        "one-of": f"one of {', '.join(targets[0].values)}",
        "number": "a number",
    }
    raise InputError(
        f"--synthetic {name}: no picture of it has a {label} as the real ones have: {kinds[targets[0].kind]}"
    )


def _view(dataset: Dataset, indexes: np.ndarray, rows: np.ndarray, targets: Sequence[Target]) -> View:
    names = tuple(name for target in targets for name in target.column_names)
    return View(dataset, indexes, labels=rows[indexes], class_names=names)


def _owners(dataset: Dataset) -> list[str]:
    """Who is shown, by name; a picture of somebody unknown has a name of its own."""
    return [person_of(record) or f"picture {index}" for index, record in enumerate(dataset.records)]

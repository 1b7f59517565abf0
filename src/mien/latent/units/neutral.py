"""Each person's neutral face, against which their expressions are read.

Films of expressions begin with it (CK+, Lucey et al. 2010); what differs from it says less of who is shown,
which action units are not about (person-specific normalisation: Baltrusaitis, Mahmoud and Robinson 2015).
"""

from collections import defaultdict
from typing import Literal

import numpy as np

from mien.core.errors import InputError
from mien.core.types import Dataset
from mien.labels.columns import text_of
from mien.labels.split import person_of

Neutral = Literal["auto", "use", "ignore"]

_ENOUGH = 0.9  # share of the pictures whose person has a neutral one, from which differences are read unasked
_ROLE = "neutral"

Floats = np.ndarray
Rows = list[list[int]]


def chosen_rows(dataset: Dataset, neutral: Neutral) -> Rows | None:
    """For each picture the rows of its neutral ones; None where faces are read as they are.

    Raises InputError where neutral faces are asked for and there are none.
    """
    if neutral == "ignore":
        return None
    rows = neutral_rows(dataset)
    known, expressive = sum(map(bool, rows)), sum(text_of(r, "role") != _ROLE for r in dataset.records)
    if neutral == "use" and not known:
        raise InputError(f'{dataset.name}: no picture whose person has another with "role": "neutral"')
    return rows if neutral == "use" or (known and known >= _ENOUGH * expressive) else None


def neutral_rows(dataset: Dataset) -> Rows:
    """For each picture the rows of the neutral pictures of that film, else of that person; else none.

    Neutral is what the records' "role" calls so; those pictures themselves have none.
    """
    neutral = [text_of(record, "role") == _ROLE for record in dataset.records]
    films: dict[str, list[int]] = defaultdict(list)
    people: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(neutral).tolist():
        record = dataset.records[row]
        films[text_of(record, "group")].append(row)
        people[person_of(record)].append(row)
    films.pop("", None)
    people.pop("", None)
    return [
        [] if neutral[row] else films.get(text_of(record, "group")) or people.get(person_of(record)) or []
        for row, record in enumerate(dataset.records)
    ]


def against(features: Floats, rows: Rows) -> Floats:
    """Features [N, F] less the mean of those of their neutral pictures; NaN where there is none."""
    differences = np.full(features.shape, np.nan)
    for index, others in enumerate(rows):
        seen = [other for other in others if np.isfinite(features[other]).all()]
        if seen:
            differences[index] = features[index] - features[seen].mean(axis=0)
    return differences

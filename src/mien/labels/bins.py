"""Bins of a number as the values of a label: "<20", "20-40", "40+"."""

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mien.core.errors import InputError

_BIN = re.compile(r"<(?P<below>-?[^-+<]+)|(?P<low>-?[^-+<]+)-(?P<high>-?[^+<]+)|(?P<above>-?[^-+<]+)\+")


def bin_names(values: np.ndarray, edges_text: str, *, where: str) -> list[str]:
    """Names of the bins between the edges given, or quartiles for "bins"."""
    try:
        edges = (
            np.quantile(values, (0.25, 0.5, 0.75)).round(6)
            if edges_text == "bins"
            else np.array([float(edge) for edge in edges_text.split("/")])
        )
    except ValueError as error:
        raise InputError(
            f"labels={where}: after the colon write number, bins (quartiles), or edges like 20/40/60"
        ) from error
    if not np.all(np.diff(edges) > 0) or not np.isfinite(edges).all():
        raise InputError(f"labels={where}: edges must rise")
    texts = [f"{edge:g}" for edge in edges]
    return [f"<{texts[0]}", *(f"{a}-{b}" for a, b in itertools.pairwise(texts)), f"{texts[-1]}+"]


def place_of(values: Sequence[str], value: Any) -> int | None:
    """Which of a one-of's values that is, a number by its bin; None if it is none of them."""
    if str(value) in values:
        return values.index(str(value))
    if not isinstance(value, int | float):
        return None
    for place, text in enumerate(values):
        bounds = bounds_of(text)
        if bounds and bounds[0] <= value < bounds[1]:
            return place
    return None


def bounds_of(text: str) -> tuple[float, float] | None:
    """From (inclusive) and to of the bin that a value's name stands for; None if it is none."""
    match = _BIN.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    low, high = parts["low"] or parts["above"], parts["high"] or parts["below"]
    try:
        return (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    except ValueError:  # a value's name that only looks like a bin
        return None

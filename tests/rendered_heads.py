"""A few computer-generated heads, rendered once per test run, with their true landmarks."""

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from forked import SHARED
from mien.core.atomic import locked, write_text
from mien.render.heads import render_one
from mien.render.people import render_people
from mien.render.person import sample_person
from mien.render.shot import Shot

SIZE = 160
_USUAL = 8


@cache
def heads(count: int = _USUAL) -> tuple[list[np.ndarray], list[dict[str, tuple[float, float]]]]:
    """Pictures uint8 [160, 160, 3] and, for each, where the five points of a `Face` truly are."""
    images, labels = _rendered(max(count, _USUAL), SIZE, 3)
    pictures = [np.ascontiguousarray(image.transpose(1, 2, 0)) for image in images[:count]]
    return pictures, [_five(label["landmarks"]) for label in labels[:count]]


def small_heads(count: int) -> np.ndarray:
    """Of as many people, 120 at most, uint8 [count, 3, 64, 64]."""
    assert count <= 120
    return _rendered(120, 64, 5)[0][:count].copy()


@cache
def _rendered(count: int, size: int, seed: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """By whichever process of this test run asks first."""
    if SHARED not in os.environ:
        return render_people(count, size=size, seed=seed)
    path = Path(os.environ[SHARED], f"heads-{count}-{size}-{seed}.npy")
    about = path.with_suffix(".json")
    with locked(path.with_suffix(".lock")):
        if not about.exists():
            images, labels = render_people(count, size=size, seed=seed)
            np.save(path, images)
            write_text(about, json.dumps(labels))
        return np.load(path), json.loads(about.read_text())


def head(person: int, shot: Shot | None = None, *, beard: str | None = None) -> np.ndarray:
    """A person in a shot (default: plain, from the front), uint8 [160, 160, 3]."""
    who = sample_person(person)
    if beard is not None:
        who = replace(who, male=True, beard=beard)
    image = render_one(who, shot or Shot(seed=person), size=SIZE).image
    return np.ascontiguousarray(image.transpose(1, 2, 0))


def _five(points: dict[str, list[float]]) -> dict[str, tuple[float, float]]:
    def mean(one: str, two: str) -> tuple[float, float]:
        return (points[one][0] + points[two][0]) / 2, (points[one][1] + points[two][1]) / 2

    return {
        "eye_left": mean("eye_left_inner", "eye_left_outer"),
        "eye_right": mean("eye_right_inner", "eye_right_outer"),
        "nose": (points["nose_tip"][0], points["nose_tip"][1]),
        "mouth_left": (points["mouth_left"][0], points["mouth_left"][1]),
        "mouth_right": (points["mouth_right"][0], points["mouth_right"][1]),
    }

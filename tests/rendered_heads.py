"""A few computer-generated heads, rendered once per test run, with their true landmarks."""

from dataclasses import replace
from functools import cache

import numpy as np

from mien.render.heads import render_one
from mien.render.people import render_people
from mien.render.person import sample_person
from mien.render.shot import Shot

SIZE = 160


@cache
def heads(count: int = 8) -> tuple[list[np.ndarray], list[dict[str, tuple[float, float]]]]:
    """Pictures uint8 [160, 160, 3] and, for each, where the five points of a `Face` truly are."""
    images, labels = render_people(count, size=SIZE, seed=3, progress=None)
    pictures = [np.ascontiguousarray(image.transpose(1, 2, 0)) for image in images]
    return pictures, [_five(label["landmarks"]) for label in labels]


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

"""Close-up images of one eye, with known gaze."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.core.errors import InputError
from mien.render.heads import render_one
from mien.render.layout import lay_out
from mien.render.person import Person
from mien.render.shot import Shot
from mien.render.trace import make_camera

_ZOOM = 4.6  # an eye picture is this much narrower than a portrait: about 0.6 decimetres across


def render_eye(
    person: Person, shot: Shot, side: str, *, size: int
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Picture uint8 [3, size, size] of one eye, and labels as of the whole head plus "eye": side.

    side: "left" or "right" of the picture. Landmarks are in pixels of the eye picture. Raises InputError for
    another side.
    """
    if side not in ("left", "right"):
        raise InputError(f'an eye is "left" or "right", not {side!r}')
    face = lay_out(person, shot)
    x = face.eye[0] if side == "right" else -face.eye[0]
    point = np.array([[x, face.eye[1], face.eye[2] + face.eye_radius]])
    close = replace(shot, zoom=shot.zoom * _ZOOM, shift_x=0.0, shift_y=0.0)
    (centre,), _ = make_camera(close).project(point, 1)
    close = replace(close, shift_x=float(0.5 - centre[0]), shift_y=float(0.5 - centre[1]))
    rendered = render_one(person, close, size=size)
    return rendered.image, {**rendered.labels, "eye": side}

"""A sitting: one person before one camera, at first neutral, then with one expression after another.

Like the films that action units are studied on (CK+, Lucey et al. 2010): from the front, before a plain wall,
evenly lit, nothing worn on the face; clothes, light and hair stay. Closer than portraits are, since it is the
face that counts.
"""

from dataclasses import replace

import numpy as np

from mien.render.shot import EXPRESSIONS, Shot

MOST = 1000  # pictures of a sitting

# The emotions of the films, and what their mouths and lids do besides; each picture draws one.
_PEAKS = ("smile", "broad_smile", "surprise", "anger", "disgust", "sadness", "fear", "grimace", "asleep")
_EXTRA = (1, 2, 4, 5, 9, 12, 15, 20, 25)
_DROPPED, _ADDED = 0.15, 0.3  # odds that a unit of an expression stays away, and that another one comes

Units = tuple[tuple[int, float], ...]


def peak_units(seed: int, number: int) -> Units:
    """Action units of peak `number` (from 1) of a sitting: an expression, some units dropped, some added.

    Intensities are 1 (a trace) to 5.
    """
    rng = np.random.default_rng([seed, 0x517, number])
    strength = float(rng.uniform(0.8, 1.3))
    drawn = EXPRESSIONS[_PEAKS[int(rng.integers(len(_PEAKS)))]]
    left = {unit: value for unit, value in drawn.items() if rng.random() >= _DROPPED}
    units = {unit: value * strength for unit, value in (left or drawn).items()}
    if rng.random() < _ADDED and 43 not in units:
        extra = int(rng.choice(_EXTRA))
        units[extra] = max(units.get(extra, 0.0), float(rng.uniform(2, 4.5)))
    return tuple((unit, round(float(np.clip(value, 1, 5)), 2)) for unit, value in sorted(units.items()))


def seated(shot: Shot, number: int) -> Shot:
    """Picture `number` of a sitting whose clothes and colours are those of `shot`.

    The light is the same in all of them; the head moves a little from one to the next.
    """
    light, head = np.random.default_rng([shot.seed, 0x518]), np.random.default_rng([shot.seed, 0x519, number])
    yaw, pitch, roll = (float(np.clip(v, -6, 6)) for v in head.normal(0, 2, 3))
    gray = float(light.uniform(0.12, 0.45))
    return replace(
        shot,
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        eye_yaw=-yaw,
        eye_pitch=-pitch,
        glasses="none",
        hat="none",
        key_yaw=float(light.uniform(-30, 30)),
        key_pitch=float(light.uniform(15, 35)),
        key_strength=float(light.uniform(1.5, 1.9)),
        fill=float(light.uniform(0.65, 0.9)),
        rim=0.0,
        warmth=float(light.uniform(-0.1, 0.2)),
        background="wall",
        background_colour=(gray, gray, gray),
        background_second=(0.8 * gray, 0.8 * gray, 0.8 * gray),
        exposure=float(light.uniform(0.95, 1.1)),
        distance=15.0,
        zoom=1.2,
        shift_x=float(np.clip(head.normal(0, 0.005), -0.01, 0.01)),
        shift_y=-0.03 + float(np.clip(head.normal(0, 0.005), -0.01, 0.01)),
    )

"""A shot: the parameters of an image besides the person, such as pose, light and camera."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mien.render.geometry import rotation

Colour = tuple[float, float, float]

ACTION_UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 20, 25, 26, 43)
GLASSES = ("none", "round", "square", "wide", "sun")
HATS = ("none", "beanie", "cap", "brim")
BACKGROUNDS = ("studio", "gradient", "wall", "bokeh", "outdoors", "panels")


@dataclass(frozen=True)
class Shot:
    """The parameters of a shot.

    yaw, pitch, roll: degrees, head against camera (signs in `heads`). eye_yaw, eye_pitch: degrees, eyes
    against head. action_units: FACS number -> intensity 0 (absent) to 5 (strongest); absent numbers are 0.
    lipstick, makeup: 0..1. key_*: the main light, degrees from the camera's axis. warmth -1 (cool) to 1
    (warm). distance: of the camera in decimetres. zoom: factor on the framing; shift_x, shift_y: fraction
    of the picture.
    """

    seed: int
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    eye_yaw: float = 0.0
    eye_pitch: float = 0.0
    action_units: dict[int, float] = field(default_factory=dict)
    glasses: str = "none"
    glasses_colour: Colour = (0.02, 0.02, 0.02)
    hat: str = "none"
    hat_colour: Colour = (0.1, 0.1, 0.3)
    earrings: bool = False
    lipstick: float = 0.0
    lipstick_colour: Colour = (0.45, 0.03, 0.06)
    makeup: float = 0.0
    key_yaw: float = 35.0
    key_pitch: float = 35.0
    key_strength: float = 2.1
    fill: float = 0.55
    rim: float = 0.3
    warmth: float = 0.1
    background: str = "studio"
    background_colour: Colour = (0.25, 0.28, 0.33)
    background_second: Colour = (0.08, 0.09, 0.11)
    clothes_colour: Colour = (0.1, 0.15, 0.3)
    clothes_second: Colour = (0.6, 0.6, 0.6)
    collar: str = "crew"
    exposure: float = 1.0
    noise: float = 0.004
    distance: float = 14.0
    zoom: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def au(self, number: int) -> float:
        """Intensity of an action unit scaled to 0..1."""
        return self.action_units.get(number, 0.0) / 5.0

    def gaze(self) -> tuple[float, float]:
        """(yaw, pitch) of the line of sight against the camera's axis, degrees; (0, 0) looks at it."""
        turn = rotation(self.eye_yaw, self.eye_pitch, 0.0)[:, 2]
        x, y, z = rotation(self.yaw, self.pitch, self.roll) @ turn
        return float(np.degrees(np.arctan2(x, z))), float(np.degrees(np.arcsin(np.clip(y, -1, 1))))


# Expressions as FACS describes them: action unit -> typical intensity.
EXPRESSIONS: dict[str, dict[int, float]] = {
    "neutral": {},
    "smile": {12: 3.0, 6: 2.0},
    "broad_smile": {12: 4.2, 6: 3.2, 25: 3.2, 26: 0.8},
    "surprise": {1: 4.0, 2: 4.0, 5: 3.5, 25: 3.0, 26: 3.5},
    "anger": {4: 4.0, 5: 1.5, 9: 1.0},
    "disgust": {9: 4.0, 4: 2.0, 15: 1.5, 25: 1.0},
    "sadness": {1: 3.5, 4: 2.5, 15: 3.5},
    "fear": {1: 3.0, 2: 2.0, 4: 2.0, 5: 3.5, 20: 3.5, 25: 2.5},
    "talking": {25: 3.0, 26: 2.0},
    "grimace": {20: 4.0, 25: 3.5},
    "asleep": {43: 5.0},
}
_ODDS = {"neutral": 0.3, "smile": 0.22, "broad_smile": 0.2, "surprise": 0.05, "anger": 0.04, "disgust": 0.03,
         "sadness": 0.04, "fear": 0.03, "talking": 0.05, "grimace": 0.02, "asleep": 0.02}  # fmt: skip


def expression(name: str, strength: float = 1.0) -> dict[int, float]:
    """Action units of an expression ("smile", ...), intensities times `strength`, at most 5."""
    return {number: min(value * strength, 5.0) for number, value in EXPRESSIONS[name].items()}


def _colour(rng: np.random.Generator, low: float, high: float, saturation: float) -> Colour:
    """A colour of random hue with mean light between low and high."""
    hue = rng.random() * 2 * np.pi
    wheel = 1 + saturation * rng.random() * np.cos(hue + np.array([0, 2.1, 4.2]))
    rgb = rng.uniform(low, high) * wheel / wheel.mean()
    return float(rgb[0]), float(rgb[1]), float(rgb[2])


def _sample_units(rng: np.random.Generator) -> dict[int, float]:
    name = str(rng.choice(list(_ODDS), p=list(_ODDS.values())))
    units = expression(name, float(rng.uniform(0.7, 1.25)))
    if rng.random() < 0.2 and name != "asleep":
        extra = int(rng.choice([1, 2, 4, 5, 20, 25]))
        units[extra] = max(units.get(extra, 0.0), float(rng.uniform(1, 3)))
    return {number: round(value, 2) for number, value in sorted(units.items())}


def _sample_pose(rng: np.random.Generator) -> dict[str, Any]:
    """Mostly near the front, as portraits are; one in twelve beyond 45 degrees."""
    wide = rng.random() < 0.08
    yaw = rng.uniform(45, 90) * rng.choice([-1, 1]) if wide else np.clip(rng.normal(0, 14), -45, 45)
    pitch, roll = np.clip(rng.normal(0, 6), -18, 18), np.clip(rng.normal(0, 4), -12, 12)
    at_camera = rng.random() < 0.7 and not wide
    eye_yaw = np.clip(-yaw + rng.normal(0, 2), -28, 28) if at_camera else rng.uniform(-22, 22)
    eye_pitch = np.clip(-pitch + rng.normal(0, 2), -15, 15) if at_camera else rng.uniform(-14, 12)
    return {"yaw": float(yaw), "pitch": float(pitch), "roll": float(roll), "eye_yaw": float(eye_yaw),
            "eye_pitch": float(eye_pitch)}  # fmt: skip


def _sample_things(rng: np.random.Generator, male: bool) -> dict[str, Any]:
    """What the person wears; lipstick and earrings mostly on women, as in portraits."""
    wear = rng.random(4)
    makeup = float(rng.uniform(0.5, 1)) if not male and wear[0] < 0.4 else 0.0
    lipstick = float(rng.uniform(0.6, 1)) if not male and (makeup or wear[1] < 0.15) else 0.0
    return {
        "glasses": str(rng.choice(GLASSES, p=[0.82, 0.05, 0.06, 0.04, 0.03])),
        "glasses_colour": _colour(rng, 0.005, 0.08, 0.6),
        "hat": str(rng.choice(HATS, p=[0.92, 0.03, 0.03, 0.02])),
        "hat_colour": _colour(rng, 0.02, 0.5, 0.8),
        "earrings": bool(wear[2] < (0.04 if male else 0.35)),
        "lipstick": lipstick,
        "lipstick_colour": tuple(
            float(c) for c in np.array([0.42, 0.03, 0.05]) * rng.uniform(0.6, 1.5) * rng.uniform(0.8, 1.25, 3)
        ),
        "makeup": makeup,
        "clothes_colour": _colour(rng, 0.01, 0.55, 0.8),
        "clothes_second": _colour(rng, 0.02, 0.7, 0.5),
        "collar": str(rng.choice(["crew", "vee", "shirt", "turtle"], p=[0.4, 0.25, 0.25, 0.1])),
    }


def _sample_light(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "key_yaw": float(rng.uniform(-65, 65)),
        "key_pitch": float(rng.uniform(8, 58)),
        "key_strength": float(rng.uniform(1.5, 2.5)),
        "fill": float(rng.uniform(0.35, 0.85)),
        "rim": float(rng.uniform(0, 0.8)),
        "warmth": float(rng.uniform(-0.5, 0.8)),
        "background": str(rng.choice(BACKGROUNDS)),
        "background_colour": _colour(rng, 0.03, 0.7, 0.6),
        "background_second": _colour(rng, 0.02, 0.5, 0.6),
        "exposure": float(rng.uniform(0.85, 1.2)),
        "noise": float(rng.uniform(0, 0.008)),
        "distance": float(rng.uniform(9, 20)),
        "zoom": float(rng.uniform(0.94, 1.05)),
        "shift_x": float(np.clip(rng.normal(0, 0.01), -0.02, 0.02)),
        "shift_y": float(np.clip(rng.normal(0, 0.01), -0.02, 0.02)),
    }


def sample_shot(seed: int, *, male: bool = False) -> Shot:
    """Draw the circumstances of a picture; the same seed is always the same shot.

    male: only changes how often make-up and earrings are drawn, never any other choice.
    """
    pose, units, things, light = (np.random.default_rng([seed, 0x5407, k]) for k in range(4))
    return Shot(
        seed=seed,
        action_units=_sample_units(units),
        **_sample_pose(pose),
        **_sample_things(things, male),
        **_sample_light(light),
    )


def facing(shot: Shot, yaw: float) -> Shot:
    """The same shot with the head turned to `yaw` degrees, level, looking straight ahead of the head."""
    return replace(shot, yaw=yaw, pitch=0.0, roll=0.0, eye_yaw=0.0, eye_pitch=0.0)


def with_changes(
    shot: Shot, *, yaw: float | None = None, units: tuple[tuple[int, float], ...] | None = None
) -> Shot:
    """The same shot turned to `yaw` (see `facing`) and with other action units, where given."""
    if yaw is not None:
        shot = facing(shot, yaw)
    return shot if units is None else replace(shot, action_units=dict(units))

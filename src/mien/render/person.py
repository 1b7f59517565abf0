"""A person: the parameters of a head that are the same in all their images."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Colour = tuple[float, float, float]  # linear light, each about 0..1

BEARDS = ("none", "stubble", "mustache", "goatee", "full", "sideburns")

# Skin from the palest to the darkest, linear light; read off the usual range of measured reflectances.
_SKIN = np.array(
    [
        [0.80, 0.56, 0.46],
        [0.70, 0.45, 0.34],
        [0.58, 0.35, 0.24],
        [0.42, 0.235, 0.145],
        [0.25, 0.128, 0.075],
        [0.115, 0.058, 0.038],
    ]
)
_HAIR: dict[str, tuple[Colour, Colour]] = {
    "black": ((0.008, 0.007, 0.007), (0.022, 0.017, 0.015)),
    "brown": ((0.045, 0.022, 0.011), (0.13, 0.068, 0.032)),
    "red": ((0.16, 0.045, 0.015), (0.30, 0.10, 0.03)),
    "blond": ((0.40, 0.27, 0.11), (0.66, 0.50, 0.25)),
    "gray": ((0.26, 0.26, 0.265), (0.62, 0.62, 0.62)),
}
_IRIS: tuple[Colour, ...] = (
    (0.10, 0.045, 0.018),
    (0.055, 0.025, 0.012),
    (0.16, 0.09, 0.03),
    (0.10, 0.15, 0.06),
    (0.10, 0.19, 0.30),
    (0.18, 0.24, 0.28),
)


@dataclass(frozen=True)
class Person:
    """One person. Sizes are factors around 1 or offsets in decimetres unless stated; see `sample_person`.

    seed: the person id. age in years. melanin 0 (palest) to 1 (darkest). Fractions (`freckles`, `rosy`,
    `bags`, `receding`, `chubby`, `wave`) go from 0 (none) to 1 (strong). Colours are linear light.
    """

    seed: int
    male: bool
    age: float
    skull_width: float
    skull_height: float
    face_width: float
    face_length: float
    jaw_width: float
    chin_width: float
    chin_out: float
    chubby: float
    cheekbone: float
    brow_ridge: float
    nose_length: float
    nose_width: float
    nose_out: float
    nose_tip: float
    nose_hump: float
    nose_up: float
    eye_distance: float
    eye_width: float
    eye_open: float
    eye_tilt: float
    eye_depth: float
    bags: float
    iris: Colour
    brow_thickness: float
    brow_arch: float
    brow_height: float
    lip_width: float
    lip_upper: float
    lip_lower: float
    ear_size: float
    ear_out: float
    neck_width: float
    melanin: float
    skin: Colour
    redness: float
    freckles: float
    rosy: float
    texture: float
    hair_colour: str
    hair: Colour
    hair_style: str
    hair_volume: float
    hair_length: float
    hairline: float
    receding: float
    parting: float
    wave: float
    beard: str
    asymmetry: float

    @property
    def wrinkles(self) -> float:
        """How lined the skin is, 0 (young) to 1 (old)."""
        return min(max((self.age - 32) / 45, 0.0), 1.0)


def _near(rng: np.random.Generator, spread: float, mean: float = 1.0) -> float:
    """A normal number around `mean`, truncated at two standard deviations."""
    return float(mean + spread * np.clip(rng.standard_normal(), -2, 2))


def _sex(male: bool, man: float, woman: float) -> float:
    return man if male else woman


def _shape(rng: np.random.Generator, male: bool) -> dict[str, Any]:
    """Bones and flesh."""
    lips = _near(rng, 0.22)
    return {
        "skull_width": _near(rng, 0.03),
        "skull_height": _near(rng, 0.03),
        "face_width": _near(rng, 0.045, _sex(male, 1.01, 0.98)),
        "face_length": _near(rng, 0.035, _sex(male, 1.02, 0.97)),
        "jaw_width": _near(rng, 0.07, _sex(male, 1.06, 0.93)),
        "chin_width": _near(rng, 0.14, _sex(male, 1.12, 0.88)),
        "chin_out": _near(rng, 0.025, _sex(male, 0.015, -0.005)),
        "chubby": float(rng.beta(1.3, 3.5)),
        "cheekbone": _near(rng, 0.35, _sex(male, 0.9, 1.1)),
        "brow_ridge": _near(rng, 0.3, _sex(male, 1.25, 0.5)),
        "nose_length": _near(rng, 0.07, _sex(male, 1.02, 0.97)),
        "nose_width": _near(rng, 0.13, _sex(male, 1.04, 0.93)),
        "nose_out": _near(rng, 0.13, _sex(male, 1.05, 0.95)),
        "nose_tip": _near(rng, 0.13),
        "nose_hump": _near(rng, 0.012, _sex(male, 0.008, -0.004)),
        "nose_up": _near(rng, 0.022, _sex(male, -0.004, 0.012)),
        "eye_distance": _near(rng, 0.035),
        "eye_width": _near(rng, 0.06, _sex(male, 0.98, 1.05)),
        "eye_open": _near(rng, 0.15, _sex(male, 0.96, 1.1)),
        "eye_tilt": _near(rng, 0.012, _sex(male, 0.008, 0.014)),
        "eye_depth": _near(rng, 0.3),
        "brow_thickness": _near(rng, 0.22, _sex(male, 1.25, 0.82)),
        "brow_arch": _near(rng, 0.5, _sex(male, 0.5, 1.2)),
        "brow_height": _near(rng, 0.02, _sex(male, -0.012, 0.012)),
        "lip_width": _near(rng, 0.08),
        "lip_upper": lips * _near(rng, 0.15, _sex(male, 0.85, 1.12)),
        "lip_lower": lips * _near(rng, 0.15, _sex(male, 0.92, 1.12)),
        "ear_size": _near(rng, 0.09),
        "ear_out": _near(rng, 0.25),
        "neck_width": _near(rng, 0.05, _sex(male, 1.08, 0.88)),
        "asymmetry": _near(rng, 0.012, 0.0),
    }


def _skin(rng: np.random.Generator) -> tuple[float, Colour]:
    melanin = float(rng.beta(1.0, 1.35))
    position = melanin * (len(_SKIN) - 1)
    low = min(int(position), len(_SKIN) - 2)
    tone = _SKIN[low] + (_SKIN[low + 1] - _SKIN[low]) * (position - low)
    tone = tone * (1 + rng.normal(0, 0.04, 3) * [0.6, 0.8, 1.4])
    return melanin, (float(tone[0]), float(tone[1]), float(tone[2]))


def _hair_colour(rng: np.random.Generator, melanin: float, age: float) -> tuple[str, Colour]:
    if rng.random() < min(max((age - 42) / 34, 0.0), 0.92):
        name = "gray"
    elif melanin > 0.55:
        name = "black" if rng.random() < 0.85 else "brown"
    else:
        name = str(rng.choice(["black", "brown", "red", "blond"], p=[0.25, 0.37, 0.1, 0.28]))
    dark, light = (np.array(c) for c in _HAIR[name])
    colour = dark + (light - dark) * rng.random()
    return name, (float(colour[0]), float(colour[1]), float(colour[2]))


def _hair_style(rng: np.random.Generator, male: bool, age: float) -> str:
    if male:
        old = min(max((age - 30) / 40, 0.0), 1.0)
        weights = {
            **{"bald": 0.05 + 0.12 * old, "horseshoe": 0.16 * old, "buzz": 0.12, "crop": 0.24},
            **{"side_part": 0.2, "slick": 0.13, "quiff": 0.13, "curly": 0.09, "bob": 0.03, "long": 0.06},
        }
    else:
        weights = {
            **{"buzz": 0.02, "crop": 0.04, "side_part": 0.05, "slick": 0.04, "curly": 0.1, "bob": 0.15},
            **{"fringe_bob": 0.12, "long": 0.23, "long_fringe": 0.11, "bun": 0.07, "ponytail": 0.07},
        }
    total = sum(weights.values())
    return str(rng.choice(list(weights), p=[w / total for w in weights.values()]))


def _hair(rng: np.random.Generator, male: bool, age: float, melanin: float) -> dict[str, Any]:
    colour_name, colour = _hair_colour(rng, melanin, age)
    style = _hair_style(rng, male, age)
    beards = [0.48, 0.16, 0.09, 0.1, 0.13, 0.04]
    return {
        "hair_colour": colour_name,
        "hair": colour,
        "hair_style": style,
        "hair_volume": float(rng.uniform(0.7, 1.35)),
        "hair_length": float(rng.uniform(0.75, 1.6)),
        "hairline": _near(rng, 0.035, 0.0),
        "receding": float(rng.beta(1, 2)) if male and age > 28 else 0.0,
        "parting": float(rng.choice([-1, 1]) * rng.uniform(0.0, 0.4)),
        "wave": float(rng.choice([0.0, rng.uniform(0.5, 1.0)], p=[0.55, 0.45])),
        "beard": str(rng.choice(BEARDS, p=beards)) if male else "none",
    }


def sample_person(seed: int) -> Person:
    """Draw a person; the same seed is always the same person.

    Independent of any shot. Sexes, ages (18 to 80), skin tones and hair styles are spread widely, hair colour
    follows age and skin as it roughly does in people.
    """
    rng = np.random.default_rng([seed, 0x9E50])
    male = bool(rng.random() < 0.5)
    age = float(np.clip(18 + 62 * rng.beta(1.1, 1.9), 18, 80))
    melanin, skin = _skin(rng)
    iris = _IRIS[int(rng.integers(0, 3 if melanin > 0.5 else len(_IRIS)))]
    return Person(
        seed=seed,
        male=male,
        age=age,
        melanin=melanin,
        skin=skin,
        iris=iris,
        bags=float(np.clip(rng.beta(1, 4) + 0.5 * max(age - 45, 0) / 35, 0, 1)),
        redness=float(rng.uniform(0, 1)),
        freckles=float(rng.uniform(0.4, 1)) if melanin < 0.35 and rng.random() < 0.25 else 0.0,
        rosy=float(rng.uniform(0.5, 1)) if melanin < 0.5 and rng.random() < 0.25 else 0.0,
        texture=float(rng.uniform(0.4, 1.2)),
        **_shape(rng, male),
        **_hair(rng, male, age, melanin),
    )

"""Labels of a rendered image: CelebA's attributes, action units, pose, gaze."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.render.hair import STYLES
from mien.render.person import Person
from mien.render.shot import ACTION_UNITS, Shot
from mien.render.surface import PART, PARTS

# The CelebA attributes (Liu et al. 2015) that our heads can show, in CelebA's order. Left out: Attractive,
# Blurry, Wearing_Necklace, Wearing_Necktie.
ATTRIBUTES = (
    *("5_o_Clock_Shadow", "Arched_Eyebrows", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose"),
    *("Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses"),
    *("Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache"),
    *("Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline"),
    *("Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings"),
    *("Wearing_Hat", "Wearing_Lipstick", "Young"),
)
_ENOUGH = 0.01  # share of the picture that hair must cover before its colour counts as visible


def _shape_attributes(p: Person) -> dict[str, bool]:
    lips = (p.lip_upper + p.lip_lower) / 2
    return {
        "Arched_Eyebrows": p.brow_arch > 1.25,
        "Bags_Under_Eyes": p.bags > 0.4,
        "Big_Lips": lips > 1.18,
        "Big_Nose": p.nose_width > 1.13 or (p.nose_out > 1.14 and p.nose_length > 1.0),
        "Bushy_Eyebrows": p.brow_thickness > 1.35,
        "Chubby": p.chubby > 0.5,
        "Double_Chin": p.chubby > 0.62,
        "High_Cheekbones": p.cheekbone > 1.25,
        "Male": p.male,
        "Oval_Face": p.jaw_width < 0.98 and p.face_length > 0.97 and p.chubby < 0.45,
        "Pale_Skin": p.melanin < 0.12,
        "Pointy_Nose": p.nose_width < 0.92 and p.nose_tip < 1.0,
        "Rosy_Cheeks": p.rosy > 0.5,
        "Young": p.age < 42,
    }


def _hair_attributes(p: Person, shot: Shot, share: dict[str, float]) -> dict[str, bool]:
    style = STYLES.get(p.hair_style)
    visible = share["hair"] > _ENOUGH
    hatless = shot.hat == "none"
    texture = visible and style is not None and style.lift > 0.02
    curly = style is not None and style.curl > 0
    wavy = curly or p.wave > 0.3
    frontal = abs(shot.yaw) < 75
    return {
        "Bald": p.hair_style in ("bald", "horseshoe") and hatless,
        "Bangs": visible and style is not None and style.bangs and hatless and frontal,
        "Black_Hair": visible and p.hair_colour == "black",
        "Blond_Hair": visible and p.hair_colour == "blond",
        "Brown_Hair": visible and p.hair_colour == "brown",
        "Gray_Hair": visible and p.hair_colour == "gray",
        "Receding_Hairline": hatless and p.receding > 0.4 and p.hair_style not in ("bald", "horseshoe"),
        "Straight_Hair": texture and not wavy,
        "Wavy_Hair": texture and wavy,
    }


def _beard_attributes(p: Person) -> dict[str, bool]:
    return {
        "5_o_Clock_Shadow": p.beard == "stubble",
        "Goatee": p.beard in ("goatee", "full"),
        "Mustache": p.beard in ("mustache", "goatee", "full"),
        "No_Beard": p.beard in ("none",),
        "Sideburns": p.beard in ("sideburns", "full"),
    }


def attributes(person: Person, shot: Shot, parts: NDArray[np.uint8]) -> dict[str, bool]:
    """The true value of each of ATTRIBUTES in one image; things worn count only where `parts` shows them.

    Smiling: AU 12 of at least 2 (of 5). Mouth_Slightly_Open: AU 25 of at least 1.5 or AU 26 of at least 1.
    """
    counts = np.bincount(parts.ravel(), minlength=len(PARTS)) / parts.size
    share = {name: float(counts[PART[name]]) for name in PARTS}
    au = shot.action_units
    opened = person.eye_open * (1 - 0.25 * shot.au(12)) < 0.87
    out = _shape_attributes(person) | _hair_attributes(person, shot, share) | _beard_attributes(person)
    out |= {
        "Eyeglasses": share["glasses"] > 0.0005,
        "Heavy_Makeup": shot.makeup > 0.4,
        "Mouth_Slightly_Open": au.get(25, 0) >= 1.5 or au.get(26, 0) >= 1,
        "Narrow_Eyes": bool(opened) or au.get(43, 0) >= 2.5,
        "Smiling": au.get(12, 0) >= 2,
        "Wearing_Earrings": share["earring"] > 0.0002,
        "Wearing_Hat": share["hat"] > 0.005,
        "Wearing_Lipstick": shot.lipstick > 0.4 and share["lips"] > 0.0005,
    }
    return {name: bool(out[name]) for name in ATTRIBUTES}


def describe(person: Person, shot: Shot, parts: NDArray[np.uint8]) -> dict[str, Any]:
    """All labels of one picture that need no tracing; plain JSON values. Angles in degrees, see `heads`."""
    gaze_yaw, gaze_pitch = shot.gaze()
    return {
        "person": person.seed,
        "shot": shot.seed,
        "yaw": round(shot.yaw, 4),
        "pitch": round(shot.pitch, 4),
        "roll": round(shot.roll, 4),
        "gaze_yaw": round(gaze_yaw, 4),
        "gaze_pitch": round(gaze_pitch, 4),
        "age": math.floor(person.age),
        "hair_style": person.hair_style,
        "hair_colour": person.hair_colour,
        "beard": person.beard,
        "action_units": {f"AU{number:02d}": shot.action_units.get(number, 0.0) for number in ACTION_UNITS},
        "attributes": attributes(person, shot, parts),
    }


def label_vector(labels: dict[str, Any]) -> list[float]:
    """1.0 or 0.0 for each of ATTRIBUTES, in order."""
    return [1.0 if labels["attributes"][name] else 0.0 for name in ATTRIBUTES]

"""Notes of UnityEyes: one JSON beside each picture; vectors are texts "(x, y, z)" and y counts from below."""

import json
import math
import re
from itertools import islice
from pathlib import Path
from typing import Any

from mien.core.errors import InputError
from mien.datasets.header import read_header
from mien.datasets.index import Box
from mien.datasets.layouts._gaze import gaze_angles, rounded

_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?")


def numbered(root: Path, *, most: int | None = None) -> dict[str, str]:
    """Picture -> note, by number, relative to `root`; either may be missing. Notes of other programs do not
    count: where the first note tells no line of sight, there are none. most: so many at most.
    """
    base = root / "imgs" if (root / "imgs").is_dir() else root
    prefix = "imgs/" if base != root else ""
    stems = {path.stem for path in base.glob("*.json") if path.stem.isdecimal()}
    first = min(stems, key=int, default=None)
    if first is None or "look_vec" not in (base / f"{first}.json").read_text("utf-8", "replace"):
        return {}
    stems |= {path.stem for path in base.glob("*.jpg") if path.stem.isdecimal()}
    names = islice(sorted(stems, key=lambda stem: (int(stem), stem)), most)
    return {f"{prefix}{name}.jpg": f"{prefix}{name}.json" for name in names}


def read_note(picture: Path, note: Path, *, grow: float) -> tuple[dict[str, float], Box]:
    """Labels in degrees, and the square around the eye of `grow` times the eye's width.

    Raises InputError (without the file's name in front) for what is missing.
    """
    if not picture.is_file():
        raise InputError(f"it is not there, {note.name} is")
    if not note.is_file():
        raise InputError(f"it is not there, so {picture.name} has no line of sight and is left out")
    try:
        fields = json.loads(note.read_text("utf-8"))
        look = _vector(fields["eye_details"]["look_vec"])
        points = [_vector(text) for text in (*fields["interior_margin_2d"], *fields.get("caruncle_2d", ()))]
        head = _head(_vector(fields["head_pose"])) if "head_pose" in fields else {}
        box = _around([(x, y) for x, y, *_ in points], read_header(picture, where=picture.name).height, grow)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(f"no note of UnityEyes ({type(error).__name__}: {error}); it is left out") from error
    # Unity's camera looks along +z and its y points up: only y differs from the camera's axes here.
    gaze = gaze_angles(look[0], -look[1], look[2])
    if gaze is None:
        raise InputError("its line of sight is no direction; it is left out")
    return gaze | head, box


def _vector(text: Any) -> list[float]:
    """The numbers of "(x, y, z)". Raises ValueError for fewer than two."""
    found = [float(number) for number in _NUMBER.findall(text)]
    if len(found) < 2 or not all(map(math.isfinite, found)):
        raise ValueError(f"{str(text)[:40]!r} is no vector")
    return found


def _head(turns: list[float]) -> dict[str, float]:
    """Unity's Euler angles: x turns down, y is 180 where the head faces the camera."""
    pitch, yaw = turns[0], turns[1] - 180
    return rounded(head_pitch=-math.radians(_half_turn(pitch)), head_yaw=-math.radians(_half_turn(yaw)))


def _half_turn(degrees: float) -> float:
    """The same angle in [-180, 180)."""
    return (degrees + 180) % 360 - 180


def _around(points: list[tuple[float, float]], height: int, grow: float) -> Box:
    """The square around points whose y counts from the lower edge of a picture `height` high."""
    xs, ys = [x for x, _ in points], [height - y for _, y in points]
    side = grow * (max(xs) - min(xs))
    if side <= 0:
        raise ValueError("the eye's corners are one point")
    return (min(xs) + max(xs) - side) / 2, (min(ys) + max(ys) - side) / 2, side, side

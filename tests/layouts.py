"""Miniatures of layouts: folders as the real datasets have them, filled with rendered heads and eyes."""

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from mien.render.people import render_views
from mien.render.render import plan
from rendered_heads import heads


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def head(number: int, *, size: int = 48, gray: bool = False) -> np.ndarray:
    """A rendered head, uint8 [size, size, 3] or [size, size]."""
    picture = Image.fromarray(heads()[0][number % 8]).resize((size, size))
    return np.asarray(picture.convert("L") if gray else picture)


@cache
def rendered_eyes() -> list[tuple[np.ndarray, float, float]]:
    """(uint8 [64, 64, 3], gaze yaw, gaze pitch) of eight eyes; the renderer's signs, degrees."""
    views = [view for view, _ in plan(4, 0, None, True)]
    found = render_views(views, size=64, progress=None)
    return [
        (np.ascontiguousarray(image.transpose(1, 2, 0)), labels["gaze_yaw"], labels["gaze_pitch"])
        for image, labels in found
    ]


def paired_folders(root: Path, *, sides: tuple[str, str] = ("front", "profile"), count: int = 4) -> Path:
    """Two folders of heads; the second side is the first one in negative."""
    for number in reversed(range(count)):
        save(root / sides[0] / f"{number:03d}.png", head(number))
        save(root / sides[1] / f"{number:03d}.png", 255 - head(number))
    return root


def halves(root: Path, count: int = 4) -> Path:
    """Heads with their negative to the right, split as pix2pix's facades are."""
    for number in range(count):
        split = "val" if number == 0 else "train"
        save(root / split / f"{number}.png", np.hstack([head(number), 255 - head(number)]))
    return root


def sight(yaw: float, pitch: float) -> tuple[float, float, float]:
    """The line of sight of the renderer's angles, in the camera's axes (x right, y down, z away from it)."""
    a, b = math.radians(yaw), math.radians(pitch)
    return math.sin(a) * math.cos(b), -math.sin(b), -math.cos(a) * math.cos(b)


def unityeyes(root: Path, count: int = 6) -> Path:
    """Pictures of 80 x 60 pixels with the eye from x = 20 to 60, y = 20 to 40 (from above)."""
    for number in range(1, count + 1):
        eye, yaw, pitch = rendered_eyes()[number]
        canvas = np.full((60, 80, 3), 127, np.uint8)
        canvas[10:50, 20:60] = np.asarray(Image.fromarray(eye).resize((40, 40)))
        save(root / f"{number}.jpg", canvas)
        x, y, z = sight(yaw, pitch)
        corners = [(20.0, 30.0), (40.0, 20.0), (60.0, 30.0), (40.0, 40.0)]
        note = {
            "interior_margin_2d": [f"({x:.4f}, {60 - y:.4f}, 9.6326)" for x, y in corners],
            "eye_details": {"look_vec": f"({x:.4f}, {-y:.4f}, {z:.4f}, 0.0000)"},
            "head_pose": "(355.0000, 190.0000, 0.0000)",
        }
        (root / f"{number}.json").write_text(json.dumps(note))
    return root


def mpiigaze(root: Path, *, people: int = 2, frames: int = 3) -> Path:
    """Days of a few frames; the left eye's pictures differ from the right's."""
    for person in range(people):
        eyes = {}
        for side, shift in (("left", 0), ("right", 4)):
            drawn = [rendered_eyes()[(person + frame + shift) % 8] for frame in range(frames)]
            wide = [
                np.asarray(Image.fromarray(eye).convert("L").resize((60, 60)))[12:48] for eye, _, _ in drawn
            ]
            eyes[side] = {
                "gaze": np.array([sight(yaw, pitch) for _, yaw, pitch in drawn]),
                "image": np.stack(wide),
                "pose": np.zeros((frames, 3)),
            }
        path = root / "Data" / "Normalized" / f"p{person:02d}" / "day01.mat"
        path.parent.mkdir(parents=True)
        savemat(path, {"data": eyes, "filenames": np.array([f"{n}.jpg" for n in range(frames)], object)})
        with open(path, "r+b") as file:
            file.write(b"MATLAB 5.0 MAT-file, a miniature of MPIIGaze".ljust(116))  # it held the time
    return root


def labelled(root: Path, count: int = 6) -> Path:
    """Heads with labels.csv: age (a number), smiling (yes and no), hair (text), person."""
    rows = ["file,age,smiling,hair,person"]
    for number in range(count):
        save(root / "pictures" / f"{number}.png", head(number))
        hair = "fair" if number < 2 else "dark"
        rows.append(f"pictures/{number}.png,{20 + number},{number % 2 == 0},{hair},p{number // 2}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root

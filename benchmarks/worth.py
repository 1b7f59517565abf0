"""Does a refiner make rendered eyes more useful to a model that reads the direction of gaze?

    python benchmarks/worth.py [--out worth-eyes]

"Real" pictures are eyes of other rendered people, seen through a camera (`camera`): other colours and
contrast, vignette, blur, noise, JPEG.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from mien.core.packed import PackWriter, encode_png
from mien.render.dataset import record_of
from mien.render.eyes import render_eye
from mien.render.people import person_id
from mien.render.person import sample_person
from mien.render.shot import sample_shot

_TINT = np.array([0.8, 1.0, 0.85])
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def eyes(count: int, *, size: int, seed: int) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Both eyes of `count` people, open, each with a gaze of its own: uint8 [3, size, size] and labels."""
    for index in range(count):
        number = person_id(seed, index)
        person = sample_person(number)
        for place, side in enumerate(("left", "right")):
            rng = np.random.default_rng([number, place, 0x6A2E])
            shot = replace(
                sample_shot(2 * number + place, male=person.male),
                yaw=float(rng.uniform(-20, 20)),
                pitch=float(rng.uniform(-8, 8)),
                eye_yaw=float(rng.uniform(-25, 25)),
                eye_pitch=float(rng.uniform(-15, 15)),
                action_units={},
                glasses="none",
            )
            yield render_eye(person, shot, side, size=size)


def camera(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture uint8 [3, S, S] as a cheap camera in poor light takes it; `rng` is of this shot alone."""
    light = (image / 255.0) ** rng.uniform(1.0, 1.3)
    gray = light.mean(axis=0, keepdims=True)
    light = gray + rng.uniform(0.3, 0.5) * (light - gray)
    light = light * _TINT[:, None, None] * rng.uniform(0.9, 1.1)
    light = 0.16 + 0.62 * light
    side = np.linspace(-1, 1, image.shape[1])
    distance = side[:, None] ** 2 + side**2
    light = light * (1 - rng.uniform(0.15, 0.3) * distance / 2)
    blur = rng.uniform(0.45, 0.7) * image.shape[1] / 32
    light = ndimage.gaussian_filter(light, (0, blur, blur), mode="nearest")
    light = light + rng.normal(0, rng.uniform(0.012, 0.022), light.shape)
    return jpeg((light.clip(0, 1) * 255).round().astype(np.uint8), int(rng.integers(60, 85)))


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """uint8 [3, S, S] through a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer, formats=("JPEG",))).transpose(2, 0, 1)


def write_eyes(out: Path, count: int, *, size: int, seed: int, change: Change | None = None) -> None:
    """Pack the eyes of `count` people, seen through `change`; nothing where the file is there already."""
    if out.exists():
        return
    with PackWriter(out) as pack:
        for place, (image, labels) in enumerate(eyes(count, size=size, seed=seed)):
            rng = np.random.default_rng([seed, place])
            seen = image if change is None else change(image, rng)
            pack.add_png(encode_png(seen.transpose(1, 2, 0)), record=record_of(labels, {}, size))

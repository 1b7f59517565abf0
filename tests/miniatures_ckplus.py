"""A small CK+ of rendered heads, laid out as the real one, with everything in it known."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from mien.render.people import View, render_view

EMOTIONS = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
SIDE = 400  # of the head in the film's picture
LEFT, TOP = 130, 50


@dataclass(frozen=True)
class Film:
    """One sequence. units: FACS number -> intensity at the peak; 0 where FACS says only that it is there."""

    subject: str
    name: str
    frames: int
    units: tuple[tuple[int, float], ...]
    emotion: str | None
    colour: bool = False
    height: int = 490


FILMS = (
    Film("S005", "001", 3, ((6, 3.0), (12, 4.0), (25, 2.0)), "happy"),
    Film("S005", "002", 2, ((4, 4.0), (9, 0.0)), "disgust"),
    Film("S010", "001", 3, ((1, 4.0), (2, 4.0), (5, 0.0), (26, 4.0)), "surprise", height=480),
    Film("S010", "004", 2, ((1, 2.0), (15, 3.0)), None),
    Film("S011", "001", 2, ((12, 2.0),), "happy", colour=True, height=480),
    Film("S052", "003", 2, ((4, 3.0), (20, 3.0)), None),
)


@cache
def film_frames(film: Film) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Pictures uint8 [H, 640(, 3)] and landmarks float [68, 2], from the neutral face to the peak."""
    person = int(film.subject[1:])
    frames = []
    for number in range(film.frames):
        share = number / (film.frames - 1)
        units = tuple((unit, (value or 3.0) * share) for unit, value in film.units)
        image, labels = render_view(View(person, person, 0.0, units), 96)
        head = Image.fromarray(image.transpose(1, 2, 0)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        canvas = np.full((film.height, 640, 3), 90, np.uint8)
        canvas[TOP : TOP + SIDE, LEFT : LEFT + SIDE] = np.asarray(head)
        picture = Image.fromarray(canvas)
        points = sixty_eight(labels["landmarks"]) * (SIDE / 96) + (LEFT, TOP)
        frames.append((np.asarray(picture if film.colour else picture.convert("L")), points))
    return tuple(frames)


def sixty_eight(named: dict[str, list[float]]) -> np.ndarray:
    """The usual 68 points on lines through the renderer's own, float [68, 2]."""
    centre = (np.array(named["lip_upper_edge"]) + named["lip_lower_edge"]) / 2
    named = named | {"lip_middle": centre.tolist()}

    def line(count: int, *names: str) -> np.ndarray:
        points = np.array([named[name] for name in names])
        at = np.linspace(0, len(points) - 1, count)
        knots = np.arange(len(points))
        return np.stack([np.interp(at, knots, points[:, axis]) for axis in (0, 1)], axis=1)

    eyes = [line(6, f"eye_{s}_{a}", f"eye_{s}_{b}", f"eye_{s}_{a}") for s, a, b in _EYES]
    return np.concatenate(
        [
            line(17, "ear_left", "jaw_left", "chin", "jaw_right", "ear_right"),
            line(5, "brow_left_outer", "brow_left_middle", "brow_left_inner"),
            line(5, "brow_right_inner", "brow_right_middle", "brow_right_outer"),
            line(4, "nose_root", "nose_tip"),
            line(5, "nostril_left", "nostril_right"),
            *eyes,
            line(12, "mouth_left", "lip_top", "mouth_right", "lip_bottom", "mouth_left"),
            line(8, "mouth_left", "lip_middle", "mouth_right", "lip_middle", "mouth_left"),
        ]
    )


_EYES = (("left", "outer", "inner"), ("right", "inner", "outer"))


def write_ckplus(root: Path, films: tuple[Film, ...] = FILMS) -> Path:
    """Write `films` below `root` as CK+'s four archives unpack."""
    for film in films:
        place = f"{film.subject}/{film.name}"
        stem = f"{film.subject}_{film.name}_"
        frames = film_frames(film)
        for number, (image, points) in enumerate(frames, 1):
            path = _folder(root / "cohn-kanade-images" / place) / f"{stem}{number:08d}.png"
            Image.fromarray(image).save(path, compress_level=1)
            path = _folder(root / "Landmarks" / place) / f"{stem}{number:08d}_landmarks.txt"
            path.write_text("".join(f"   {x:.7e}   {y:.7e}\n" for x, y in points))
        peak = f"{stem}{len(frames):08d}"
        facs = "".join(f"   {unit:.7e}   {value:.7e}\n" for unit, value in film.units)
        (_folder(root / "FACS" / place) / f"{peak}_facs.txt").write_text(facs)
        folder = _folder(root / "Emotion" / place)  # the folder is there even where the file is not
        if film.emotion is not None:
            code = EMOTIONS.index(film.emotion)
            (folder / f"{peak}_emotion.txt").write_text(f"   {code:.7e}\n")
    return root


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path

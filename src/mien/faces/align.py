"""Where to cut a face out of its picture, and the cutting."""

import cv2
import numpy as np
from PIL import Image

from mien.core.errors import InputError
from mien.core.picture import Pixels
from mien.faces.crop import Square, cut, whole_step
from mien.faces.face import Face

LAYOUTS = ("ffhq", "center", "wild", "eyes")

_CENTER_SIDE = 1.75  # side of the upright crop over the face's size: frames a face about as "ffhq" does
_CENTER_RISE = 0.1  # of the face's size, upwards: the box ends at the forehead, hair needs room
_WILD_ROOM = 1.1  # a picture too small for its face is padded to this much more than the face's box
_EYE_SIDE = 0.9  # side of an eye's crop over the distance between the eyes: lid to lid, with the brow
_FADE = 0.1  # share of the crop's side beyond the picture's edge over which the mirrored margin blurs


def layout_squares(face: Face, layout: str, width: int, height: int) -> dict[str, Square]:
    """What to cut out of a picture of width x height pixels, by role: "" for the face, or one for each eye.

    "ffhq" is turned level, "center" upright around the face, "wild" as much of the picture as a square
    holds, "eyes" both eyes level ("eye-left", "eye-right" as seen). Raises InputError for another layout.
    """
    if layout == "ffhq":
        return {"": ffhq_square(face)}
    if layout == "center":
        x, y, across, down = face.box
        middle = (x + across / 2, y + down / 2 - _CENTER_RISE * face.size)
        return {"": Square(middle, (_CENTER_SIDE * face.size, 0.0))}
    if layout == "wild":
        return {"": _wild_square(face, width, height)}
    if layout == "eyes":
        return {"eye-left": _eye_square(face, face.eye_left), "eye-right": _eye_square(face, face.eye_right)}
    raise InputError(f"{layout!r} is no layout; choose from: {', '.join(LAYOUTS)}")


def _wild_square(face: Face, width: int, height: int) -> Square:
    """As large as the picture's shorter side and inside it, as near to the face as that allows."""
    x, y, across, down = face.box
    side = max(float(min(width, height)), _WILD_ROOM * max(across, down))
    places = []
    for middle, length in ((x + across / 2, width), (y + down / 2, height)):
        reach = side / 2
        places.append(min(max(middle, reach), length - reach) if length >= side else middle)
    return Square((places[0], places[1]), (side, 0.0))


def _eye_square(face: Face, eye: tuple[float, float]) -> Square:
    (x0, y0), (x1, y1) = face.eye_left, face.eye_right
    return Square(eye, (_EYE_SIDE * (x1 - x0), _EYE_SIDE * (y1 - y0)))


def ffhq_square(face: Face) -> Square:
    """The crop of CelebA-HQ and FFHQ (Karras et al. 2018, "Progressive growing of GANs", appendix C).

    With eyes e0, e1 and mouth corners m0, m1: x' = e1 - e0, y' = (e0 + e1)/2 - (m0 + m1)/2,
    c = (e0 + e1)/2 - 0.1 y', s = max(4.0 |x'|, 3.6 |y'|), x = x' - rotate90(y') normalised.
    """
    eye_left, eye_right, mouth = (np.asarray(p) for p in (face.eye_left, face.eye_right, face.mouth))
    eyes = (eye_left + eye_right) / 2
    along, up = eye_right - eye_left, eyes - mouth
    right = along + np.array([-up[1], up[0]])  # `up` turned to point right: with y down, -rotate90(y')
    side = max(4.0 * float(np.hypot(*along)), 3.6 * float(np.hypot(*up)))
    right *= side / max(float(np.hypot(*right)), 1e-6)
    centre = eyes - 0.1 * up
    return Square((float(centre[0]), float(centre[1])), (float(right[0]), float(right[1])))


def crop(image: Pixels, square: Square, size: int) -> Pixels:
    """Cut `square` as uint8 [size, size, 3], antialiased (area average, then Lanczos).

    What lies beyond the picture's edge is mirrored and blurs with distance, so that no second chin or
    sharp seam is learned.
    """
    larger = size * min(whole_step(square.side / size), 4)
    pixels = cut(image, square, larger)
    if larger > size:
        pixels = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS))
    height, width = image.shape[:2]
    beyond = square.overhang(width, height) * size
    return pixels if beyond < 0.5 else _soften_margin(pixels, square, width, height)


def _soften_margin(pixels: Pixels, square: Square, width: int, height: int) -> Pixels:
    """Blend into a blurred copy and on into the mean colour the farther a pixel lies off the picture."""
    size = pixels.shape[0]
    beyond = _distance_beyond(square, size, width, height)[..., np.newaxis] / _FADE
    sharp = pixels.astype(np.float32)
    blurred = cv2.GaussianBlur(sharp, (0, 0), sigmaX=max(size * 0.02, 0.5))
    inside = beyond[..., 0] <= 0
    mean = sharp[inside].mean(axis=0) if inside.any() else sharp.mean(axis=(0, 1))
    mixed = sharp + (blurred - sharp) * np.minimum(3 * beyond, 1)
    mixed += (mean - mixed) * np.minimum(beyond / 4, 0.8)
    return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)


def _distance_beyond(square: Square, size: int, width: int, height: int) -> np.ndarray:
    """float32 [size, size]: how far each pixel lies off the picture, as a share of the square's side."""
    middles = (np.arange(size) + 0.5) / size
    grid = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    places = square.to_picture(grid)
    off = np.maximum(np.maximum(-places, places - (width, height)), 0)
    return np.asarray(np.hypot(off[:, 0], off[:, 1]) / square.side, np.float32).reshape(size, size)

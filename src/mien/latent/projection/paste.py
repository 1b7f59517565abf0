"""A face put back into the photo it was cut from: placed, coloured like its surroundings, seams feathered."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.core.picture import Pixels
from mien.faces.crop import Square
from mien.latent.projection.targets import face_mask

_GROWN = 0.12  # by which the mask reaches over the mesh's outline: brows and chin lie just inside it
_FEATHER = 0.04  # of the square's side: width of the seam, half of which is its blur's deviation
_EDGE = 0.04  # of the square's side at its border where nothing is pasted
_CONTRAST = (0.7, 1.15)  # least and most factor on a colour's deviation: more would enlarge errors
_OVAL = (0.5, 0.58, 0.27, 0.36)  # centre and half axes of the mask where there is no mesh
_MASK_SIDE = 512


def paste_face(
    photo: Pixels, face: Pixels, square: Square, points: NDArray[np.float64] | None, *, match: bool = True
) -> Pixels:
    """The photo uint8 [H, W, 3] with `face` [S, S, 3] at `square`, inside the outline of the mesh alone.

    points: float64 [468, 2] of the face in the photo, as shares of the square; None: an oval. match: give the
    face the mean and deviation of each colour (CIELAB) that the photo has there (Reinhard et al. 2001).
    """
    (left, top), (right, bottom) = (
        np.clip(end, 0, photo.shape[1::-1]).astype(int)
        for end in (np.floor(square.corners.min(axis=0)), np.ceil(square.corners.max(axis=0)))
    )
    if right <= left or bottom <= top:
        return photo.copy()
    part = photo[top:bottom, left:right]
    placed = _placed(face, square, (left, top), part.shape)
    mask = _placed(_soft_mask(points), square, (left, top), part.shape)[..., None]
    if match:
        placed = _matched(placed, part, mask[..., 0])
    blended = part + (placed.astype(np.float32) - part) * mask
    result = photo.copy()
    result[top:bottom, left:right] = np.clip(blended + 0.5, 0, 255).astype(np.uint8)
    return result


def _soft_mask(points: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """float32 [512, 512] in the square: 1 in the face, fading to 0 at its outline and before the border."""
    if points is None:
        mask = np.zeros((_MASK_SIDE, _MASK_SIDE), np.float32)
        across, down, half_x, half_y = (round(value * _MASK_SIDE) for value in _OVAL)
        cv2.ellipse(mask, (across, down), (half_x, half_y), 0, 0, 360, (1,), -1)
    else:
        mask = face_mask(points, _MASK_SIDE, grown=_GROWN)
    edge = round(_EDGE * _MASK_SIDE)
    mask[:edge] = mask[-edge:] = 0
    mask[:, :edge] = mask[:, -edge:] = 0
    deviation = _FEATHER * _MASK_SIDE / 2
    width = 2 * round(2 * deviation) + 1
    inner = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    return np.asarray(cv2.GaussianBlur(inner, (0, 0), deviation, borderType=cv2.BORDER_CONSTANT), np.float32)


def _placed(
    image: NDArray[Any], square: Square, origin: tuple[int, int], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """The square's image as it lies in the part of the photo that begins at `origin`."""
    side = image.shape[0]
    if square.side < side:  # averaged down first, so that no pixel is skipped
        side = max(1, round(square.side))
        image = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))
    corners = square.to_picture(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    axes = np.stack([corners[1] - corners[0], corners[2] - corners[0]], axis=1) / side
    matrix = np.empty((2, 3))
    matrix[:, :2] = axes
    # Pixel centres lie at one half in both.
    matrix[:, 2] = corners[0] + axes @ (0.5, 0.5) - origin - 0.5
    warped = cv2.warpAffine(
        image.astype(np.float32),
        matrix,
        (shape[1], shape[0]),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE if image.ndim == 3 else cv2.BORDER_CONSTANT,
    )
    return np.asarray(np.clip(warped, 0, 255 if image.ndim == 3 else 1), np.float32)


def _matched(face: NDArray[np.float32], photo: Pixels, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """`face` with the photo's mean and deviation of each CIELAB channel, weighed by the mask."""
    total = float(mask.sum())
    if total < 1:
        return face
    ours, theirs = (cv2.cvtColor(np.asarray(x, np.float32) / 255, cv2.COLOR_RGB2LAB) for x in (face, photo))
    weights = mask[..., None] / total
    means = [(x * weights).sum(axis=(0, 1)) for x in (ours, theirs)]
    spreads = [
        np.sqrt(((x - mean) ** 2 * weights).sum(axis=(0, 1)))
        for x, mean in zip((ours, theirs), means, strict=True)
    ]
    factor = np.clip(spreads[1] / np.maximum(spreads[0], 1e-3), *_CONTRAST)
    matched = (ours - means[0]) * factor + means[1]
    return np.asarray(np.clip(cv2.cvtColor(matched.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1) * 255)

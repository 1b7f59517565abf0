"""Facial landmarks: their positions on the head and in the image, and whether they are visible.

Left and right are the picture's (the side they are on when the face looks at the camera).
"""

import numpy as np
from numpy.typing import NDArray

from mien.render.paint import gaze_direction
from mien.render.scene import Scene
from mien.render.surface import PART
from mien.render.trace import Camera

Array = NDArray[np.float64]


def _front_points(scene: Scene) -> dict[str, tuple[float, float]]:
    """(x, y) of the points that lie on the front, reached by going in along -z."""
    f = scene.face

    def at(curve: int, x: float) -> float:
        return float(f.lips(np.array([x], np.float32))[curve][0])

    def brow(x: float) -> float:
        return float(f.brow_line(np.array([x], np.float32))[0])

    inner, outer = f.eye[0] - f.eye_half_width, f.eye[0] + f.eye_half_width
    ends = f.brow_start, f.brow_start + 0.18, f.brow_start + 0.35
    out: dict[str, tuple[float, float]] = {}
    for side, sign in (("left", -1.0), ("right", 1.0)):
        corner = f.mouth_y + f.corner_rise + sign * f.mouth_skew
        out[f"eye_{side}_inner"] = (sign * inner, f.eye[1] - f.eye_tilt)
        out[f"eye_{side}_outer"] = (sign * outer, f.eye[1] + f.eye_tilt)
        for name, x in zip(("inner", "middle", "outer"), ends, strict=True):
            out[f"brow_{side}_{name}"] = (sign * x, brow(x))
        out[f"nostril_{side}"] = (sign * f.wing[0], f.wing[1])
        out[f"mouth_{side}"] = (sign * f.mouth_half, corner)
    out["nose_root"] = (0.0, f.nose_root[1])
    out["nose_tip"] = (0.0, f.nose_tip[1])
    out["lip_top"], out["lip_bottom"] = (0.0, at(0, 0.0)), (0.0, at(3, 0.0))
    out["lip_upper_edge"], out["lip_lower_edge"] = (0.0, at(1, 0.0)), (0.0, at(2, 0.0))
    out["chin"] = (0.0, f.chin_y - 0.04)
    out["forehead"] = (0.0, 0.42)
    return out


def _fall_in(scene: Scene, start: Array, step: Array) -> Array:
    """Move points [K, 3] along their unit directions until they meet the skin."""
    p = start.astype(np.float32)
    d = step.astype(np.float32)
    for _ in range(6):
        x, y, z = p[:, 0], p[:, 1], p[:, 2]
        p = p + d * np.minimum(scene.head.skin(x, np.abs(x), y, z), 0.4)[:, None]
    return p.astype(np.float64)


def head_points(scene: Scene) -> dict[str, Array]:
    """Positions [3] of all landmarks in head coordinates."""
    front = _front_points(scene)
    start = [(x, y, 1.12) for x, y in front.values()]
    step = [(0.0, 0.0, -1.0)] * len(front)
    names = list(front)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        for name, y, z in (
            ("cheek", -0.25, 0.42),
            ("jaw", -0.78 * scene.face.face_length - 0.5 * scene.face.jaw, 0.35),
        ):
            names.append(f"{name}_{side}")
            start.append((sign * 0.9, y, z))
            step.append((-sign, 0.0, 0.0))
    points = dict(zip(names, _fall_in(scene, np.array(start), np.array(step)), strict=True))
    gaze = np.array(gaze_direction(scene))
    ear = scene.head.ear_centre
    for side, sign in (("left", -1.0), ("right", 1.0)):
        points[f"pupil_{side}"] = (
            np.array([sign * scene.face.eye[0], *scene.face.eye[1:]]) + gaze * scene.face.eye_radius
        )
        points[f"ear_{side}"] = np.array([sign * (ear[0] + 0.06), ear[1], ear[2]])
    return points


def find_landmarks(
    scene: Scene, camera: Camera, depth: NDArray[np.float32], parts: NDArray[np.uint8]
) -> tuple[dict[str, list[float]], dict[str, bool]]:
    """Pixel positions and visibility.

    depth: distance to the first hit along each ray [R, R] (inf: none). parts: [size, size]. A point is
    visible when it is inside the picture and nothing is before it; a pupil also needs an open eye.
    """
    points = head_points(scene)
    size, rays = parts.shape[0], depth.shape[0]
    where, far = camera.project(np.array(list(points.values())), size)
    positions: dict[str, list[float]] = {}
    visible: dict[str, bool] = {}
    for name, (x, y), distance in zip(points, where, far, strict=True):
        positions[name] = [round(float(x), 3), round(float(y), 3)]
        is_visible = 0 <= x < size and 0 <= y < size
        if is_visible:  # by the farthest of the 3 x 3 rays about it, so that points on an outline count
            column, row = int(x * rays / size), int(y * rays / size)
            patch = depth[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            is_visible = distance < float(patch.max()) + 0.06
        if is_visible and name.startswith("pupil"):
            is_visible = int(parts[int(y), int(x)]) in (PART["eye"], PART["iris"])
        visible[name] = bool(is_visible)
    return positions, visible

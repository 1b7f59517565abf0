"""Days of MPIIGaze: .mat files of both eyes, normalised to 36 x 60 pixels."""

import io
import re
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from mien.core.picture import BadPicture, Pixels, read_bytes
from mien.datasets.layouts._gaze import gaze_angles, head_angles

HEIGHT, WIDTH = 36, 60
EYES = ("left", "right")
_DAY = re.compile(r"p[0-9]+/[^/]+\.mat", re.IGNORECASE)
_one_at_a_time = threading.Lock()  # or every thread would load the same day


def days(root: Path) -> list[str]:
    """The .mat files under `root` (or its Data/Normalized) by person and day, relative to `root`."""
    inside = root / "Data" / "Normalized"
    base = inside if inside.is_dir() else root / "Normalized" if (root / "Normalized").is_dir() else root
    found = (path.relative_to(base).as_posix() for path in base.glob("p*/*.mat"))
    prefix = "" if base == root else base.relative_to(root).as_posix() + "/"
    return sorted(prefix + name for name in found if _DAY.fullmatch(name))


def read_day(path: Path) -> dict[str, dict[str, float] | None]:
    """ "FRAME:EYE" -> labels in degrees, or None where the line of sight is no direction.

    Raises BadPicture where the day cannot be read.
    """
    eyes = {eye: _Eye(*arrays) for eye, arrays in _load(path).items()}
    out: dict[str, dict[str, float] | None] = {}
    for frame in range(max(len(eye) for eye in eyes.values())):
        for name, eye in eyes.items():
            if frame < len(eye):
                out[f"{frame}:{name}"] = eye.labels(frame)
    return out


def read_eye(path: Path, part: str) -> Pixels:
    """The eye "FRAME:EYE" of a day, uint8 [36, 60]. Raises BadPicture."""
    frame, _, eye = part.partition(":")
    with _one_at_a_time:
        pictures = _pictures(path, path.stat().st_mtime_ns)
    return np.array(pictures[eye][int(frame)])


class _Eye:
    """gaze: [N, 3]. pictures: uint8 [N, 36, 60]. pose: [N, 3] Rodrigues vectors, or None."""

    def __init__(self, gaze: np.ndarray, pictures: np.ndarray, pose: np.ndarray | None) -> None:
        self.gaze, self.pictures, self.pose = gaze, pictures, pose

    def __len__(self) -> int:
        return len(self.gaze)

    def labels(self, frame: int) -> dict[str, float] | None:
        gaze = gaze_angles(*map(float, self.gaze[frame]))
        head = {} if self.pose is None else head_angles([float(value) for value in self.pose[frame]])
        return None if gaze is None else gaze | head


@lru_cache(maxsize=4)
def _pictures(path: Path, changed: int) -> dict[str, np.ndarray]:
    return {eye: pictures for eye, (_, pictures, _) in _load(path).items()}


def _load(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Arrays of each eye; frames and pixels as they are in the file, never reshaped."""
    name = path.name
    data = read_bytes(path, where=name)
    if data.startswith(b"\x89HDF") or b"MATLAB 7.3" in data[:128]:
        detail = "a MATLAB 7.3 (HDF5) file, which is not read; save it with -v7"
        raise BadPicture(name, "unreadable", detail)
    try:
        day = loadmat(io.BytesIO(data), struct_as_record=False)["data"][0, 0]
        return {eye: _arrays(getattr(day, eye)[0, 0], f"{name}: {eye}") for eye in EYES}
    except BadPicture:
        raise
    except Exception as error:  # scipy raises nearly anything for a damaged file
        reason = " ".join(str(error).split())[:100]
        detail = f"no day of MPIIGaze (data.left and data.right with gaze, image and pose): {reason}"
        raise BadPicture(name, "unreadable", detail) from error


def _arrays(eye: Any, where: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    gaze, pictures = np.asarray(eye.gaze, np.float64), np.asarray(eye.image)
    pose = np.asarray(eye.pose, np.float64) if hasattr(eye, "pose") else None
    if pictures.ndim == 2 and len(gaze) == 1:
        pictures = pictures[None]  # MATLAB drops a single frame's axis
    if pictures.shape[1:] == (WIDTH, HEIGHT):
        raise BadPicture(where, "unreadable", f"{where}: height and width are swapped, {pictures.shape[1:]}")
    fits = pictures.ndim == 3 and pictures.shape[1:] == (HEIGHT, WIDTH) and pictures.dtype == np.uint8
    if not fits or gaze.shape != (len(pictures), 3) or (pose is not None and pose.shape != gaze.shape):
        found = f"image {pictures.dtype} {pictures.shape}, gaze {gaze.shape}"
        raise BadPicture(
            where, "unreadable", f"{where}: expected image uint8 (N, 36, 60), gaze (N, 3); {found}"
        )
    return gaze, pictures, pose

"""Pictures of one eye with the direction of gaze: UnityEyes (rendered) and MPIIGaze (real).

    unityeyes/1.jpg, 1.json                 what the UnityEyes program writes, perhaps into `imgs`
    MPIIGaze/Data/Normalized/p00/day01.mat  both eyes of each frame, 36 pixels high and 60 wide, gray

Labels, in degrees: gaze_pitch = asin(-y) and gaze_yaw = atan2(-x, -z) of the line of sight in the camera's
axes (x to the picture's right, y down, z away from the camera). So gaze_pitch is positive for looking up, and
gaze_yaw for looking to the picture's LEFT, as is usual for these datasets; `yaw_towards=right` turns its
sign, which makes it what `mien render` writes. head_pitch and head_yaw follow the same rule.

Opened as squares: of UnityEyes the square around the eye; of MPIIGaze the whole width, the outer rows
repeated above and below. `fit=crop` instead cuts out what is as wide as 36x60 is high, and so loses both
corners of the eye. `picture_36x60` gives either dataset unpadded.
"""

import io
import json
import math
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from scipy.io import loadmat

from mien.core.errors import InputError
from mien.core.picture import BadPicture, Pixels, decode, read_bytes
from mien.datasets.header import read_header
from mien.datasets.index import Box, Entry, Index, Problem
from mien.datasets.layout import open_layout

LICENCE = "UnityEyes: research only, see its site; MPIIGaze: CC BY-NC-SA 4.0"
CITATION = (
    "Wood et al., Learning an appearance-based gaze estimator from one million synthesised images, ETRA 2016;"
    " Zhang et al., Appearance-based gaze estimation in the wild, CVPR 2015"
)

_LICENCES = {"UnityEyes": "research only", "MPIIGaze": "CC BY-NC-SA 4.0"}
_MARGIN = 1.3  # side of the square around an eye, in widths of the eye

_NUMBER = r"\s*[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?\s*"
_VECTOR = re.compile(rf"\s*\(({_NUMBER}(?:,{_NUMBER})*)\)\s*")
HEIGHT, WIDTH = 36, 60
EYES = ("left", "right")
_DAY = re.compile(r"p[0-9]+/[^/]+\.mat", re.IGNORECASE)
_one_at_a_time = threading.Lock()  # or every thread would load the same day


def recognise(root: Path) -> bool:
    """Days of MPIIGaze, or numbered pictures each with a note of UnityEyes."""
    return bool(_kind(root))


def index(
    root: Path, *, yaw_towards: Literal["left", "right"] = "left", fit: Literal["pad", "crop"] = "pad"
) -> Index:
    """UnityEyes by number; MPIIGaze by person, day, frame and eye.

    yaw_towards: where in the picture somebody looks whose gaze_yaw is positive. fit: as the module says.

    Named and left out: pictures without note, notes without picture or direction, days that cannot be read,
    lines of sight that are none. Raises InputError where the folder is neither.
    """
    kind = _kind(root)
    if not kind:
        raise InputError(
            f"{root}: neither UnityEyes (1.jpg, 1.json) nor MPIIGaze (Data/Normalized/p00/*.mat)"
        )
    problems: list[Problem] = []
    entries = (_unityeyes if kind == "UnityEyes" else _mpiigaze)(root, problems)
    if yaw_towards == "right":
        for at, entry in enumerate(entries):
            labels = {name: -v if name.endswith("_yaw") else v for name, v in entry.labels.items()}
            entries[at] = replace(entry, labels=labels)
    if fit == "crop":
        entries = [replace(entry, box=_inner(entry.box)) for entry in entries]
    people = len({entry.person for entry in entries} - {""})
    counts = {"pictures": len(entries)} | ({"people": people} if people else {})
    return Index(
        "eyes",
        root,
        tuple(entries),
        tuple(problems),
        notes=(kind,),
        counts=counts,
        licence=_LICENCES[kind],
        channels=3 if kind == "UnityEyes" else 1,
        label_names=("gaze_pitch", "gaze_yaw"),
    )


def read(root: Path, entry: Entry) -> Pixels:
    """The picture of an entry: RGB of UnityEyes, gray and padded to 60x60 of MPIIGaze. Raises BadPicture."""
    if not entry.part:
        return decode(root / entry.file, where=entry.file).pixels
    above = (WIDTH - HEIGHT) // 2
    return np.pad(read_eye(root / entry.file, entry.part), ((above, above), (0, 0)), mode="edge")


open = partial(open_layout, "eyes", index, read=read)  # labelled with gaze_pitch and gaze_yaw


def as_stored(root: Path, entry: Entry) -> Pixels:
    """The picture as the dataset has it, of whatever size."""
    return read_eye(root / entry.file, entry.part) if entry.part else read(root, entry)


def picture_36x60(root: Path, entry: Entry) -> Pixels:
    """The eye as MPIIGaze has it, uint8 [36, 60], nothing padded; of UnityEyes cut out and made gray."""
    if entry.part:
        return read_eye(root / entry.file, entry.part)
    whole = Image.fromarray(decode(root / entry.file, where=entry.file).pixels).convert("L")
    if entry.box is None:
        raise BadPicture(entry.file, "unreadable", "where the eye is in it is not known")
    x, y, side, _ = entry.box
    height = side * HEIGHT / WIDTH
    top = y + (side - height) / 2
    box = (max(x, 0), max(top, 0), min(x + side, whole.width), min(top + height, whole.height))
    return np.asarray(whole.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS, box=box))


def _kind(root: Path) -> str:
    if days(root):
        return "MPIIGaze"
    return "UnityEyes" if numbered(root, most=1) else ""


def _unityeyes(root: Path, problems: list[Problem]) -> list[Entry]:
    pictures = numbered(root)
    entries = []
    for picture, note in pictures.items():
        try:
            labels, box = read_note(root / picture, root / note, grow=_MARGIN)
        except InputError as error:
            problems.append(Problem(note if (root / picture).is_file() else picture, str(error)))
            continue
        entries.append(Entry(picture, labels, box=box))
    return entries


def _mpiigaze(root: Path, problems: list[Problem]) -> list[Entry]:
    entries = []
    for file in days(root):
        try:
            eyes = read_day(root / file)
        except BadPicture as error:
            problems.append(Problem(file, error.detail))
            continue
        person = Path(file).parent.name
        for part, labels in eyes.items():
            if labels is None:
                problems.append(
                    Problem(f"{file}#{part}", "its line of sight is no direction; it is left out")
                )
            else:
                entries.append(Entry(file, labels, person=person, part=part))
    return entries


def _inner(box: Box | None) -> Box:
    """The middle of a square (by default the padded 60x60), as large as 36x60 is high."""
    x, y, side, _ = box or (0, 0, WIDTH, WIDTH)
    cut = side * (1 - HEIGHT / WIDTH) / 2
    return x + cut, y + cut, side - 2 * cut, side - 2 * cut


def gaze_angles(x: float, y: float, z: float) -> dict[str, float] | None:
    """gaze_pitch and gaze_yaw in degrees of a direction in the camera's axes; None where it is none.

    x to the picture's right, y down, z away from the camera: pitch = asin(-y), yaw = atan2(-x, -z).
    """
    length = math.sqrt(x * x + y * y + z * z)
    if not math.isfinite(length) or length < 1e-6:
        return None
    return rounded(
        gaze_pitch=math.asin(max(-1.0, min(1.0, -y / length))), gaze_yaw=math.atan2(-x / length, -z / length)
    )


def head_angles(rotation: Sequence[float]) -> dict[str, float]:
    """head_pitch and head_yaw in degrees of a Rodrigues vector, by the head's own axis towards its back.

    As MPIIGaze's authors define them: z is the third column of the rotation, pitch = asin(z_y), yaw =
    atan2(z_x, z_z).
    """
    angle = math.sqrt(sum(value * value for value in rotation))
    if not math.isfinite(angle):
        return {}
    a, b, c = (value / angle for value in rotation) if angle > 1e-12 else (0.0, 0.0, 1.0)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y, z = a * c * (1 - cos) + b * sin, b * c * (1 - cos) - a * sin, c * c * (1 - cos) + cos
    return rounded(head_pitch=math.asin(max(-1.0, min(1.0, y))), head_yaw=math.atan2(x, z))


def rounded(**radians: float) -> dict[str, float]:
    """Radians as degrees with four decimals."""
    return {name: round(math.degrees(value), 4) for name, value in radians.items()}


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
    """The numbers of "(x, y, z)". Raises ValueError for fewer than two, and where anything else is in it."""
    found = _VECTOR.fullmatch(text)
    numbers = [float(number) for number in found[1].split(",")] if found else []
    if len(numbers) < 2 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{str(text)[:40]!r} is no vector")
    return numbers


def _head(turns: list[float]) -> dict[str, float]:
    """Unity's Euler angles: x turns down, y is 180 where the head faces the camera."""
    pitch, yaw = ((turn + 180) % 360 - 180 for turn in (turns[0], turns[1] - 180))  # -180 to 180
    return rounded(head_pitch=-math.radians(pitch), head_yaw=-math.radians(yaw))


def _around(points: list[tuple[float, float]], height: int, grow: float) -> Box:
    """The square around points whose y counts from the lower edge of a picture `height` high."""
    xs, ys = [x for x, _ in points], [height - y for _, y in points]
    side = grow * (max(xs) - min(xs))
    if side <= 0:
        raise ValueError("the eye's corners are one point")
    return (min(xs) + max(xs) - side) / 2, (min(ys) + max(ys) - side) / 2, side, side


def days(root: Path) -> list[str]:
    """The .mat files under `root` (or its Data/Normalized) by person and day, relative to `root`."""
    inside = root / "Data" / "Normalized"
    base = inside if inside.is_dir() else root / "Normalized" if (root / "Normalized").is_dir() else root
    names = (path.relative_to(base).as_posix() for path in base.glob("p*/*.mat"))
    prefix = "" if base == root else base.relative_to(root).as_posix() + "/"
    return sorted(prefix + name for name in names if _DAY.fullmatch(name))


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
        shapes = f"image {pictures.dtype} {pictures.shape}, gaze {gaze.shape}"
        raise BadPicture(
            where, "unreadable", f"{where}: expected image uint8 (N, 36, 60), gaze (N, 3); {shapes}"
        )
    return gaze, pictures, pose

"""All faces of a photo: the picture again in tiles, as long as there are faces small enough to be missed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mien.faces.face import Bytes, Face, Finder, Point

MOST_FACES = 200  # counted in one photo
FACES = ("largest", "central", "all")  # which of them are taken

_SEEN = 1 / 8  # of a view's longer side: faces as large are not missed in it
_PLAIN = 0.2  # of a tile's side is the smallest face that is known
_OVERLAP = 1.6  # of neighbouring tiles, in sizes of the smallest face: each face lies whole in one
_LEAST = 0.75  # score in a tile: small tiles show more that is no face
_ROUNDS, _MOST_TILES, _SMALLEST_TILE = 3, 256, 96
_SAME_FACE = 0.4  # intersection over the smaller box from which two boxes are one face
_NEIGHBOUR = 0.25  # of the largest face's size: smaller ones are no choice for "central"


def find_faces(finder: Finder, image: Bytes, *, thorough: bool) -> list[Face]:
    """The faces in an RGB picture uint8 [H, W, 3], largest first; [] if there is none.

    A finder that looks at a whole picture misses faces under an eighth of it. So where one as small is found,
    the picture is searched again in tiles in which that is plainly seen, until no smaller one turns up.
    thorough: search tiles, too, where only larger ones are found.
    """
    longer = max(image.shape[:2])
    faces = finder.find(image, most=MOST_FACES)
    looked = float(longer)
    for number in range(_ROUNDS if faces else 0):
        smallest = min(face.size for face in faces)
        if thorough and number == 0:
            smallest = min(smallest, longer * _SEEN * 0.75)
        if smallest > _SEEN * looked:
            break
        looked = max(smallest / _PLAIN, _SMALLEST_TILE)
        rows, columns = (_starts(length, round(looked), _OVERLAP * smallest) for length in image.shape[:2])
        if len(rows) * len(columns) > _MOST_TILES:
            break
        tiles = ((x, y) for y in rows for x in columns)
        in_tiles = (face for x, y in tiles for face in _in_tile(finder, image, x, y, round(looked)))
        faces = distinct_faces([*faces, *in_tiles])
    return sorted(faces, key=lambda face: -face.size)[:MOST_FACES]


def choose_faces(faces: Sequence[Face], which: str, width: int, height: int) -> list[Face]:
    """Those of `faces` (largest first, not empty) to take from a picture of this size; see `FACES`."""
    if which == "all":
        return list(faces)
    if which == "largest":
        return list(faces[:1])

    def off_middle(face: Face) -> float:
        x, y, across, down = face.box
        return float(np.hypot(x + across / 2 - width / 2, y + down / 2 - height / 2))

    near = [face for face in faces if face.size >= _NEIGHBOUR * faces[0].size]
    return [min(near, key=off_middle)]


def distinct_faces(faces: Sequence[Face]) -> list[Face]:
    """Of overlapping faces the surest."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(_overlap(face, other) < _SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """Where tiles of that side begin along a side of the picture, so that they cover it."""
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / max(side - overlap, side / 4))) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def _in_tile(finder: Finder, image: Bytes, x: int, y: int, side: int) -> Iterator[Face]:
    """Faces that lie whole in a tile, in the picture's pixels."""
    tile = np.ascontiguousarray(image[y : y + side, x : x + side])
    down, across = tile.shape[:2]
    height, width = image.shape[:2]
    for face in finder.find(tile, most=MOST_FACES):
        left, top, wide, high = face.box
        cut = (left <= 0 < x) or (top <= 0 < y)
        cut |= (left + wide >= across and x + across < width) or (top + high >= down and y + down < height)
        if face.score >= _LEAST and not cut:
            yield _moved(face, x, y)


def _moved(face: Face, x: int, y: int) -> Face:
    def move(point: Point) -> Point:
        return point[0] + x, point[1] + y

    left, top, width, height = face.box
    return replace(
        face,
        box=(left + x, top + y, width, height),
        eye_left=move(face.eye_left),
        eye_right=move(face.eye_right),
        nose=move(face.nose),
        mouth_left=move(face.mouth_left),
        mouth_right=move(face.mouth_right),
        points=None if face.points is None else face.points + np.array([x, y, 0], np.float32),
    )


def _overlap(one: Face, other: Face) -> float:
    """Intersection of two boxes over the smaller of them."""
    (x0, y0, w0, h0), (x1, y1, w1, h1) = one.box, other.box
    across = max(0.0, min(x0 + w0, x1 + w1) - max(x0, x1))
    down = max(0.0, min(y0 + h0, y1 + h1) - max(y0, y1))
    return across * down / max(min(w0 * h0, w1 * h1), 1e-9)

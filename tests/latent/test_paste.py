"""Faces cut out of photos as training data is, and put back."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mien.core.artefacts import artefact_path
from mien.core.errors import InputError
from mien.core.events import Event, Events, Notice
from mien.core.packed import encode_png
from mien.core.picture import Pixels, decode
from mien.faces.align import crop, ffhq_square
from mien.faces.crop import Square, scaled
from mien.faces.face import Face
from mien.faces.finder import needed_artefacts
from mien.latent.projection.paste import paste_face
from mien.latent.projection.targets import (
    PhotoFace,
    Target,
    collect_faces,
    face_mask,
    faces_of,
    with_meshes,
)
from mien.prepare.extract import CropConfig, extract
from mien.prepare.sources import Reader, list_inputs
from rendered_heads import heads


class KnownFaces:
    """Finds faces where the test knows them to be, by the picture's size: number of faces by width."""

    name = "known"

    def __init__(self, faces: dict[tuple[int, int], list[Face]]) -> None:
        self._faces = faces

    def find(self, image: Pixels, *, most: int = 8) -> list[Face]:
        return self._faces.get(image.shape[:2], [])[:most]


def known_face(points: dict[str, tuple[float, float]], shift: float = 0, scale: float = 1.0) -> Face:
    """A face at true landmarks, with a mesh of two rings about its middle."""
    placed = {name: (x * scale + shift, y * scale) for name, (x, y) in points.items()}
    middle = np.mean(list(placed.values()), axis=0)
    side = 2.6 * math.dist(placed["eye_left"], placed["eye_right"])
    turns = np.linspace(0, 2 * math.pi, 468, endpoint=False)
    ring = middle + np.stack([np.cos(turns), np.sin(turns) * 1.3], axis=1) * side * 0.45
    mesh = np.concatenate([ring, np.zeros((468, 1))], axis=1).astype(np.float32)
    x, y = middle - side / 2
    return Face(box=(float(x), float(y), side, side), size=side, score=0.99, points=mesh, **placed)


@pytest.fixture
def photo(tmp_path: Path) -> tuple[Path, KnownFaces]:
    pictures, points = heads(2)
    path = tmp_path / "photo.png"
    path.write_bytes(encode_png(pictures[0]))
    return path, KnownFaces({pictures[0].shape[:2]: [known_face(points[0])]})


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_face_is_cut_out_as_prepare_does(tmp_path: Path, suffix: str) -> None:
    """Bit for bit, from a photo larger than finding needs too."""
    pictures, points = heads(1)
    big = Image.fromarray(pictures[0]).resize((1600, 1600), Image.Resampling.BICUBIC)
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / f"big.{suffix}"
    big.save(path, quality=90)
    seen = decode(path, near=640).pixels
    finder = KnownFaces({seen.shape[:2]: [known_face(points[0], scale=seen.shape[0] / 160)]})
    inputs = list_inputs(tmp_path / "in")
    with Reader(tmp_path / "in") as reader:
        extracted = extract(inputs.files[0], reader, finder, CropConfig((256,)))
    (face,) = faces_of(path, finder, 256)
    (png,) = [data for key, data in extracted.crops.items() if 256 in key]
    assert np.array_equal(face.crop, decode(png).pixels)
    assert face.square.side == pytest.approx(
        extracted.record["faces"][0]["measurements"]["crop_side"], abs=0.01
    )


def test_a_small_face_of_a_large_jpeg_is_cut_out_of_the_whole_file(tmp_path: Path) -> None:
    """It is found in a smaller decoding, or in a larger one where that shows none."""
    pictures, points = heads(1)
    path = tmp_path / "big.jpg"
    Image.fromarray(pictures[0]).resize((1600, 1600), Image.Resampling.BICUBIC).save(path, quality=90)
    whole, seen = decode(path).pixels, decode(path, near=640).pixels
    assert len(seen) < len(whole) == 1600

    def cut(side: int, name: str, known: int) -> PhotoFace:
        finder = KnownFaces({(known, known): [known_face(points[0], scale=known / 160)]})
        finder.name = name
        return faces_of(path, finder, side)[0]

    face = cut(1024, "known", len(seen))
    assert face.square.side == pytest.approx(ffhq_square(known_face(points[0], scale=10)).side, abs=0.1)
    assert np.array_equal(face.crop, crop(whole, face.square, 1024))
    coarse = crop(seen, scaled(face.square, len(seen) / 1600), 1024)
    assert not np.array_equal(face.crop, coarse)
    again = cut(256, "mesh", 1600)
    assert np.array_equal(again.crop, crop(whole, again.square, 256))
    with pytest.raises(InputError, match="no face found in it"):
        cut(256, "known", 1600)  # such a finder gains nothing by more pixels


@pytest.mark.skipif(
    any(artefact_path(name) is None for name in needed_artefacts("mesh")), reason="the mesh is not cached"
)
def test_drawn_faces_get_their_mesh_and_what_shows_none_is_named() -> None:
    """Shares of the side, near to where the head was rendered; a photo's own mesh stays as it is."""
    pictures, points = heads(1)
    images = [torch.from_numpy(pixels.transpose(2, 0, 1).copy()) for pixels in pictures]
    gray = torch.full((3, 160, 160), 127, dtype=torch.uint8)
    known = np.full((468, 2), 0.5)
    targets = [Target("a", images[0], "seed 1"), Target("b", gray, "seed 2"), Target("c", gray, "seed 3")]
    targets[2] = replace(targets[2], points=known)
    heard: list[Event] = []
    first, second, third = with_meshes(targets, Events(heard.append))
    assert first.points is not None
    assert first.points.shape == (468, 2)
    nose, left, right = first.points[[1, 33, 263]] * 160
    assert np.hypot(*(nose - points[0]["nose"])) < 8
    assert left[0] < points[0]["eye_left"][0] < points[0]["eye_right"][0] < right[0]
    assert second.points is None
    assert third.points is known
    (line,) = [event.text for event in heard if isinstance(event, Notice)]
    assert line == "seed 2: no mesh of its face; all of it counts alike"


def test_several_faces_are_named_and_all_taken_on_request(tmp_path: Path) -> None:
    pictures, points = heads(2)
    both = np.concatenate(pictures[:2], axis=1)
    path = tmp_path / "both.png"
    path.write_bytes(encode_png(both))
    finder = KnownFaces({both.shape[:2]: [known_face(points[1], 160), known_face(points[0])]})
    (largest,) = faces_of(path, finder, 32)
    assert (largest.number, largest.count) == (1, 2)
    first, second = faces_of(path, finder, 32, "all")
    assert np.array_equal(first.crop, largest.crop)
    assert first.square.centre[0] > 160 > second.square.centre[0]
    (named,) = faces_of(path, finder, 32, "2")
    assert np.array_equal(named.crop, second.crop)
    with pytest.raises(InputError, match=r"both\.png: --face 3, and the number of faces found in it is 2"):
        faces_of(path, finder, 32, "3")
    for bad in ("0", "-1", "both", "²", ""):
        with pytest.raises(InputError, match="largest, all, or a number"):
            collect_faces([path], 32, Events(), bad)


def test_what_cannot_be_used_is_named_and_the_rest_goes_on(
    tmp_path: Path, photo: tuple[Path, KnownFaces], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, finder = photo
    monkeypatch.setattr("mien.latent.projection.targets.open_face_finder", lambda events: finder)
    (tmp_path / "none.png").write_bytes(encode_png(np.zeros((40, 60, 3), np.uint8)))
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    heard: list[Event] = []
    paths = [tmp_path / name for name in ("none.png", "text.jpg", "gone.jpg", "empty.jpg", "photo.png")]
    assert [face.path for face in collect_faces(paths, 32, Events(heard.append))] == [path]
    told = [event.text for event in heard if isinstance(event, Notice)]
    for name, why in (
        ("none.png", "no face found"),
        ("text.jpg", "no picture"),
        ("gone.jpg", "cannot be read"),
    ):
        assert any(name in text and why in text for text in told), name
    with pytest.raises(InputError, match=r"none\.png: no face found in it \(and 1 more\)"):
        collect_faces(paths[:2], 32, Events())


SQUARES = {
    "level": Square((80.0, 80.0), (100.0, 0.0)),
    "turned": Square((82.5, 77.25), (70.0, 30.0)),
    "over the edge": Square((140.0, 60.0), (90.0, -10.0)),
    "small": Square((60.0, 60.0), (40.0, 3.0)),
}
RING = 0.5 + 0.3 * np.stack([np.cos(np.arange(468)), np.sin(np.arange(468))], axis=1)


@pytest.mark.parametrize("points", [RING, None], ids=["mesh", "oval"])
@pytest.mark.parametrize("name", SQUARES)
def test_its_own_face_put_back_changes_hardly_anything(name: str, points: np.ndarray | None) -> None:
    picture, square = heads(1)[0][0], SQUARES[name]
    own = crop(picture, square, 512)
    pasted = paste_face(picture, own, square, points)
    difference = np.abs(pasted.astype(int) - picture)
    assert difference.max() < 40, "at an edge, sampled twice"
    assert difference.mean() < 0.5
    grid = np.stack(np.meshgrid(np.arange(160) + 0.5, np.arange(160) + 0.5), axis=-1).reshape(-1, 2)
    places = square.to_square(grid)
    outside = ((places < 0.03) | (places > 0.97)).any(axis=1).reshape(160, 160)
    assert difference[outside].max(initial=0) == 0, "outside the square not a bit changes"


def test_a_face_beyond_the_picture_changes_nothing() -> None:
    picture = heads(1)[0][0]
    face = np.full((64, 64, 3), 200, np.uint8)
    for away in (Square((-300.0, 80.0), (100.0, 0.0)), Square((80.0, 900.0), (70.0, 30.0))):
        pasted = paste_face(picture, face, away, RING)
        assert np.array_equal(pasted, picture)
        assert pasted is not picture
    corner = Square((-48.0, -48.0), (100.0, 0.0))  # two pixels of it, where there is no face any more
    assert np.array_equal(paste_face(picture, face, corner, RING), picture)


def test_a_new_face_fills_the_outline_and_takes_on_the_colours() -> None:
    picture, square = heads(1)[0][0], SQUARES["turned"]
    own = crop(picture, square, 256)
    rng = np.random.default_rng(0)
    other = np.clip(own.astype(int) // 2 + rng.integers(0, 60, own.shape) + (60, 0, 0), 0, 255).astype(
        np.uint8
    )
    plain = paste_face(picture, other, square, RING, match=False)
    matched = paste_face(picture, other, square, RING)
    grid = np.stack(np.meshgrid(np.arange(160) + 0.5, np.arange(160) + 0.5), axis=-1).reshape(-1, 2)
    middle = (np.linalg.norm(square.to_square(grid) - 0.5, axis=1) < 0.2).reshape(160, 160)
    assert np.abs(plain[middle].astype(int) - picture[middle]).mean() > 10
    wanted, found, unmatched = (x[middle].mean(axis=0) for x in (picture, matched, plain))
    assert np.abs(found - wanted).max() < 6 < np.abs(unmatched - wanted).max()


def test_the_seam_is_soft() -> None:
    """A white face on black: no step between neighbours is larger than a few of the feather's pixels ask."""
    black, white = np.zeros((200, 200, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    square = Square((100.0, 100.0), (160.0, 0.0))
    pasted = paste_face(black, white, square, RING, match=False)[..., 0].astype(int)
    assert pasted[100, 100] == 255
    steps = max(np.abs(np.diff(pasted, axis=0)).max(), np.abs(np.diff(pasted, axis=1)).max())
    assert 5 < steps < 60


def test_a_mask_is_the_outlines_area() -> None:
    square = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75], [0.5, 0.5]])
    assert face_mask(square, 64).mean() == pytest.approx(0.25, abs=0.03)
    assert face_mask(square, 64, grown=0.2).mean() == pytest.approx(0.36, abs=0.03)

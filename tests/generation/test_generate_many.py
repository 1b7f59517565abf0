"""Drawing however many faces holds no more than a batch of them, and a grid of them is the same picture."""

import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from mien.core.errors import InputError
from mien.core.events import Event, Progress
from mien.core.image import grid
from mien.core.network import load_network
from mien.core.provenance import verify
from mien.core.sampling import draw, latents
from mien.generation.generate import generate
from packaged_model import package

COUNT = 320


class Alive:
    """Counts the pictures of drawn batches that somebody still holds."""

    def __init__(self) -> None:
        self.now = self.most = self.drawn = 0

    def __call__(self, *arguments: object, **options: object) -> Tensor:
        pictures = draw(*arguments, **options)  # type: ignore[arg-type]
        self.now += len(pictures)
        self.drawn += len(pictures)
        self.most = max(self.most, self.now)
        weakref.finalize(pictures, self._gone, len(pictures))
        return pictures

    def _gone(self, count: int) -> None:
        self.now -= count


@pytest.mark.parametrize("as_grid", [False, True])
def test_no_more_than_two_batches_are_held(
    assets: Path, monkeypatch: pytest.MonkeyPatch, as_grid: bool
) -> None:
    package(assets)
    alive = Alive()
    monkeypatch.setattr("mien.generation.batches.draw", alive)
    written = generate(out=Path("o"), seeds=f"0-{COUNT - 1}", grid=as_grid).run()
    assert len(written) == (1 if as_grid else COUNT)
    assert alive.drawn == COUNT
    assert alive.most <= 2 * 64 < COUNT  # the next is drawn while the last is still named
    assert alive.now <= 64


@pytest.mark.parametrize("count", [1, 2, 3, 10, 130])
def test_a_grid_is_what_its_faces_laid_out_are(assets: Path, count: int) -> None:
    package(assets)
    (path,) = generate(out=Path("o"), seeds=f"5-{4 + count}", grid=True).run()
    network = load_network().network
    faces = draw(network, latents(list(range(5, 5 + count)), network.z_dim))  # type: ignore[arg-type]
    with Image.open(path, formats=["PNG"]) as picture:
        pixels = np.asarray(picture).astype(int)
    expected = grid(faces).astype(int)
    assert pixels.shape == expected.shape
    assert abs(pixels - expected).max() <= 1  # batches of other sizes may round otherwise
    mark = verify(path)
    assert mark is not None
    assert mark.model.startswith("lite-")


def test_grids_of_other_formats_have_an_end(assets: Path) -> None:
    package(assets)
    (path,) = generate(out=Path("o"), seeds="0-3", grid=True, format="webp").run()
    with Image.open(path, formats=["WEBP"]) as picture:
        assert picture.size == (32, 32)
    with pytest.raises(InputError, match="--format png has no such limit"):
        generate(out=Path("o"), seeds=f"0-{513**2}", grid=True, format="jpg").run()


def test_progress_counts_every_face(assets: Path) -> None:
    package(assets)
    heard: list[Event] = []
    generate(out=Path("o"), seeds="0-99", grid=True).run(heard.append)
    counted = [(event.done, event.total) for event in heard if isinstance(event, Progress)]
    assert counted == [(64, 100), (100, 100)]

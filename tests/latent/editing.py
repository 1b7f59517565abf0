"""A tiny generator with directions, and servers of `mien edit --serve`, for tests."""

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from projecting import enliven
from test_paste import KnownFaces, known_face

from mien.core.checkpoint import save_generator
from mien.core.packed import encode_png
from mien.core.types import Spec
from mien.generation.drawing import Drawing
from mien.latent.codes import shape_of, space_of
from mien.latent.directions.direction import Direction, Directions, default_path
from mien.latent.editing.editor import Command, Editor
from packaged_model import CONFIG, package
from rendered_heads import heads
from served import served, started

SECRET = "secret"
NAMES = ("smile", "yaw", "a <b>age</b>")
EFFECTS = {"smile": {"smile": 1.0, "yaw": 0.31, "age": -0.12}, "yaw": {"yaw": 1.0, "smile": 0.02}}
REACHES = {"smile": (-1.0, 2.0)}


def model_with_directions(folder: Path, *, side: int = 64) -> Path:
    """An untrained lite whose images vary, as a file, and three random directions beside it."""
    path = package(folder, spec=Spec(side), config=CONFIG)
    drawing = Drawing.of(path, trunc=1.0, label=())
    enliven(drawing.loaded.network, "lite")
    save_generator(path, drawing.loaded.network.state_dict(), drawing.loaded.header)
    drawing = Drawing.of(path, trunc=1.0, label=())
    rng = torch.Generator().manual_seed(0)
    several = tuple(
        Direction.of(
            torch.randn(shape_of(drawing), generator=rng) / 8,
            name,
            effects=EFFECTS.get(name, {}),
            reach=REACHES.get(name),
        )
        for name in NAMES
    )
    known = Directions(several, space_of(drawing), drawing.loaded.model)
    known.save(default_path(path))
    return path


def editor_of(model: Path, out: Path) -> Editor:
    """The editor of a model with its directions."""
    drawing = Drawing.of(model, trunc=1.0, label=())
    return Editor(drawing, Directions.read(default_path(model)), out, Command(model))


def photo(folder: Path, *, faces: int) -> tuple[Path, KnownFaces]:
    """A picture of none, one or two rendered heads, and who finds them."""
    pictures, points = heads(2)
    images = {
        0: np.full((170, 170, 3), 90, np.uint8),
        1: pictures[0],
        2: np.concatenate(pictures[:2], axis=1),
    }
    path = folder / f"me{faces}.png"
    path.write_bytes(encode_png(images[faces]))
    known = {(160, 160): [known_face(points[0])]}
    known[160, 320] = [known_face(points[0]), known_face(points[1], shift=160)]
    return path, KnownFaces(known)


@contextmanager
def serving(editor: Editor, finder: Any = None, *, steps: int = 20) -> Iterator[str]:
    """A server in a thread of this process; gives its address."""
    from mien.latent.editing.web import build_app
    from mien.latent.editing.work import Works

    works = Works(editor, steps=steps, finder=finder)
    try:
        with served(build_app(editor, works, secret=SECRET, hosts=frozenset({"127.0.0.1"}))) as address:
            yield f"{address}{SECRET}/"
    finally:
        works.close()


def running(model: Path, out: Path) -> AbstractContextManager[tuple["subprocess.Popen[str]", str]]:
    """`mien edit --serve` as a user starts it; gives the process and its address."""
    return started("-m", "mien", "edit", model, "--serve", "--out", out)

"""The commands as functions of Python: plain keyword arguments in, results out.

They show their progress where somebody looks on (a terminal, a notebook), and are silent elsewhere. Seeds
may be numbers (3, range(16)), settings a mapping (set={"smile": 2}). `train` gives its job, whose events can
be iterated over.
"""

import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien import TOOL
from mien.core.events import Job
from mien.core.image import grid
from mien.core.network import LoadedNetwork, load_network
from mien.core.provenance import Provenance, encode_picture
from mien.core.seeds import check_psi, parse_seeds, write_seeds
from mien.generation.drawing import Drawing, as_labels
from mien.terminal import show_if_watched
from mien.training.settings import pick_device

_BATCH = 64


class ShownJob(Job[Any]):
    """A job that shows itself when it is run whole."""

    def run(self, listen: Any = None) -> Any:
        return super().run(listen) if listen is not None else show_if_watched(Job(self._name, self._body))


def train(data: str | None = None, /, **options: Any) -> ShownJob:
    """Training on `data`: iterate over it for its events, or .run() it; the same call again goes on.

    options: the fields of `mien.training.command.TrainOptions`, as minutes=5, model="lite", out="runs";
    start is what `--from` is. The result is the run's folder. Raises InputError, ValidationError.
    """
    from mien.training.command import TrainOptions
    from mien.training.command import train as start

    given = {name: _as_typed(name, value) for name, value in options.items()}
    job = start(None if data is None else str(data), options=TrainOptions(**given))
    return ShownJob(job._name, job._body)


class Images(np.ndarray[Any, Any]):
    """uint8 [N, H, W, C]; a notebook shows them as a grid, marked as what a model made."""

    model = ""

    def __array_finalize__(self, other: Any) -> None:
        self.model = getattr(other, "model", "")

    def _repr_png_(self) -> bytes | None:
        if self.ndim != 4 or not len(self):
            return None
        channels_first = torch.from_numpy(np.ascontiguousarray(self).transpose(0, 3, 1, 2))
        return encode_picture(grid(channels_first), ".png", Provenance(self.model, None, TOOL))


class DrawingNetwork(LoadedNetwork[Any]):
    """A generator ready to draw."""

    def draw(self, seeds: str | int | Iterable[int] = "0-15", *, psi: float = 1.0, label: Any = ()) -> Images:
        """Images of seeds, uint8 [N, H, W, C]. seeds: "0,1,4-6" or numbers. psi, label: as of `generate`."""
        chosen = parse_seeds(seeds) if isinstance(seeds, str) else _numbers(seeds)
        drawing = Drawing(self, check_psi(psi), as_labels(label))
        parts = [drawing.faces(chosen[at : at + _BATCH]) for at in range(0, len(chosen), _BATCH)]
        images = torch.cat(parts).permute(0, 2, 3, 1).numpy().view(Images)
        images.model = self.model
        return images


def load(source: Path | str | None = None, *, device: str = "cpu") -> DrawingNetwork:
    """A run's newest generator, a generator file, or the packaged one. Raises InputError.

    device: where it draws: cpu, cuda, mps or auto.
    """
    return DrawingNetwork(**vars(load_network(source, device=pick_device(device))))


def _numbers(seeds: int | Iterable[int]) -> list[int]:
    return [int(seed) for seed in seeds] if isinstance(seeds, Iterable) else [int(seeds)]


def _as_typed(name: str, value: Any) -> Any:
    """An argument as the command line has it: seeds as text, a mapping's settings as NAME=VALUE."""
    if name == "seeds" and isinstance(value, int | Iterable) and not isinstance(value, str):
        return write_seeds(_numbers(value))
    return tuple(f"{key}={each}" for key, each in value.items()) if isinstance(value, Mapping) else value


def _whole(place: str) -> Callable[..., Any]:
    """The job at "module:function" as a function that does it and returns its result."""
    module, _, name = place.partition(":")
    start = getattr(importlib.import_module(module), name)

    @functools.wraps(start)
    def run(*args: Any, **kwargs: Any) -> Any:
        typed = {key: _as_typed(key, value) for key, value in kwargs.items()}
        return show_if_watched(start(*args, **typed))

    return run


_WHOLE = {
    "collect_photos": "mien.collect.collect:collect",
    "prepare_photos": "mien.prepare.prepare:prepare",
    "generate": "mien.generation.generate:generate",
    "evaluate": "mien.evaluation.evaluate:evaluate",
    "audit": "mien.evaluation.audit:audit",
    "modes": "mien.evaluation.modes:modes",
    "write_report": "mien.evaluation.report:report",
    "annotate": "mien.attributes.annotate:annotate",
    "translate": "mien.translation.commands:translate",
    "denoise": "mien.translation.commands:denoise",
    "refine": "mien.translation.commands:refine",
    "project_photos": "mien.latent.projection.project:real",
    "edit": "mien.latent.editing.edit:edit",
    "vary": "mien.latent.vary:vary",
    "detect": "mien.detection.detect:detect",
}


def __getattr__(name: str) -> Any:
    if name not in _WHOLE:
        raise AttributeError(f"module 'mien.python' has no attribute {name!r}")
    return _whole(_WHOLE[name])

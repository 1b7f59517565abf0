"""`mien generate`: faces from a run, a generator file or an exported ONNX file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from mien import TOOL
from mien.apps.asked_labels import label_vectors
from mien.core.checkpoint import NetworkHeader, model_id
from mien.core.errors import InputError
from mien.core.image import grid, to_hwc
from mien.core.provenance import Provenance, save_picture
from mien.core.run import RunFolder
from mien.core.sampling import check_psi, draw, latents, parse_seeds
from mien.core.types import Generator
from mien.interop.onnx_file import OnnxGenerator
from mien.models._load import load_generator_network

FORMATS = ("png", "jpg", "webp")
_BATCH = 64


@dataclass(frozen=True)
class Loaded:
    """A generator ready to draw, and what its file says."""

    network: nn.Module
    header: NetworkHeader
    path: Path
    model: str


def load(source: Path) -> Loaded:
    """Load a run's newest generator, or a generator file. Raises InputError."""
    path = RunFolder.open(source).newest_generator() if source.is_dir() else source
    network, header = load_generator_network(path)
    return Loaded(network, header, path, model_id(path))


def generate(
    source: Path,
    out: Path,
    *,
    seeds: str = "0-15",
    trunc: float = 1.0,
    label: str | Sequence[str] = (),
    as_grid: bool = False,
    image_format: str = "png",
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write one picture a seed (`seed0000.png`), or all of them as one grid; return the paths.

    seeds: like "0,1,4-6". trunc: psi in [0, 1]; below 1 trades variety for safety. label: of a conditional
    model a class ("light"), or what it is to show: ("smiling=1", "hair_colour=black"); what is not said is
    drawn from labels that it learnt from. Every picture says in its XMP that a model made it.
    """
    check_psi(trunc)
    if image_format not in FORMATS:
        raise InputError(f"--format {image_format}: choose from {', '.join(FORMATS)}")
    wanted = parse_seeds(seeds)
    drawing = _opened(source)
    labels = label_vectors(drawing.header, (label,) if isinstance(label, str) else label, wanted)
    written, pictures = [], []
    for start in range(0, len(wanted), _BATCH):
        piece = wanted[start : start + _BATCH]
        drawn = _draw(drawing, piece, None if labels is None else labels[start : start + _BATCH], trunc)
        if as_grid:
            pictures.append(drawn)
        else:
            written += [
                _save(drawing.model, out, image_format, s, p) for s, p in zip(piece, drawn, strict=True)
            ]
        if progress:
            progress(start + len(piece), len(wanted))
    if as_grid:
        path = out / f"grid-{wanted[0]:04d}-{wanted[-1]:04d}.{image_format}"
        save_picture(path, grid(torch.cat(pictures)), Provenance(drawing.model, None, TOOL))
        written.append(path)
    return written


class _Drawing(NamedTuple):
    """What draws, whether torch or onnxruntime runs it."""

    generator: Generator
    header: NetworkHeader
    model: str


def _opened(source: Path) -> _Drawing:
    if source.suffix == ".onnx":
        exported = OnnxGenerator(source)
        return _Drawing(exported, exported.header, exported.model)
    loaded = load(source)
    return _Drawing(cast(Generator, loaded.network), loaded.header, loaded.model)


def _draw(drawing: _Drawing, seeds: list[int], labels: Tensor | None, psi: float) -> Tensor:
    return draw(drawing.generator, latents(seeds, drawing.generator.z_dim), labels, psi=psi)


def _save(model: str, out: Path, image_format: str, seed: int, picture: Tensor) -> Path:
    path = out / f"seed{seed:04d}.{image_format}"
    save_picture(path, to_hwc(picture), Provenance(model, seed, TOOL))
    return path

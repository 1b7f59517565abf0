"""`mien generate`: faces from a run, a generator file, an exported ONNX file, or the packaged generator."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from torch import Tensor

from mien import TOOL
from mien.core.checkpoint import NetworkHeader
from mien.core.errors import InputError
from mien.core.image import grid_rows, to_hwc
from mien.core.network import load_network
from mien.core.packaged import source_of
from mien.core.png_rows import png_rows
from mien.core.provenance import Provenance, save_picture
from mien.core.sampling import check_psi, draw, latents, parse_seeds
from mien.core.types import Generator
from mien.labels.asked import label_vectors

FORMATS = ("png", "jpg", "webp")
_BATCH = 64
_MOST_SIDE = 8192  # pixels of a grid that is not a PNG, which is held as a whole


def generate(
    source: Path | None = None,
    out: Path = Path("faces"),
    *,
    seeds: str = "0-15",
    trunc: float = 1.0,
    label: str | Sequence[str] = (),
    as_grid: bool = False,
    image_format: str = "png",
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write one picture a seed (`seed0000.png`), or all of them as one grid; return the paths.

    source: a run folder, a generator file or .onnx; None or "packaged" for the generator that comes with
    mien. seeds: like "0,1,4-6". trunc: psi in [0, 1]; below 1 trades variety for safety. label: of a
    conditional model a class ("light"), or what it is to show: ("smiling=1", "hair_colour=black"); what is
    not said is drawn from labels that it learnt from. Every picture says in its XMP that a model made it.
    However many: a batch of pictures is held at a time, of a PNG grid a row too; a grid of another format is
    held as a whole, and refused above 8,192 pixels a side.
    """
    check_psi(trunc)
    if image_format not in FORMATS:
        raise InputError(f"--format {image_format}: choose from {', '.join(FORMATS)}")
    wanted = parse_seeds(seeds)
    drawing = _opened(source_of(source))
    labels = label_vectors(drawing.header, (label,) if isinstance(label, str) else label, wanted)
    batches = _batches(drawing, wanted, labels, trunc, progress)
    if as_grid:
        path = out / f"grid-{wanted[0]:04d}-{wanted[-1]:04d}.{image_format}"
        _write_grid(path, batches, len(wanted), drawing)
        return [path]
    written = []
    for piece, drawn in batches:
        written += [_save(drawing.model, out, image_format, s, p) for s, p in zip(piece, drawn, strict=True)]
    return written


class _Drawing(NamedTuple):
    """What draws, whether torch or onnxruntime runs it."""

    generator: Generator
    header: NetworkHeader
    model: str


def _opened(source: Path) -> _Drawing:
    if source.suffix == ".onnx":
        from mien.interop.onnx_file import OnnxGenerator  # here, since few need it and it costs every start

        exported = OnnxGenerator(source)
        return _Drawing(exported, exported.header, exported.model)
    loaded = load_network(source)
    return _Drawing(cast(Generator, loaded.network), loaded.header, loaded.model)


def _batches(
    drawing: _Drawing,
    seeds: list[int],
    labels: Tensor | None,
    psi: float,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[list[int], Tensor]]:
    """Seeds and their pictures, uint8 [n, C, H, W], a batch at a time; progress after each."""
    for start in range(0, len(seeds), _BATCH):
        piece = seeds[start : start + _BATCH]
        shown = None if labels is None else labels[start : start + _BATCH]
        yield piece, draw(drawing.generator, latents(piece, drawing.generator.z_dim), shown, psi=psi)
        if progress:
            progress(start + len(piece), len(seeds))


def _save(model: str, out: Path, image_format: str, seed: int, picture: Tensor) -> Path:
    path = out / f"seed{seed:04d}.{image_format}"
    save_picture(path, to_hwc(picture), Provenance(model, seed, TOOL))
    return path


def _write_grid(
    path: Path, batches: Iterable[tuple[list[int], Tensor]], count: int, drawing: _Drawing
) -> None:
    """About a square of `count` faces; a PNG goes to disk row by row."""
    columns = math.ceil(math.sqrt(count))
    side = drawing.header.spec.resolution
    width, height = columns * side, math.ceil(count / columns) * side
    mark = Provenance(drawing.model, None, TOOL)
    if path.suffix != ".png" and width > _MOST_SIDE:
        raise InputError(f"{path}: a grid of {width}x{height} pixels; --format png has no such limit")
    rows = grid_rows((drawn for _, drawn in batches), columns)
    if path.suffix != ".png":
        save_picture(path, np.concatenate(list(rows)), mark)
        return
    with png_rows(path, width, height, mark) as png:
        for row in rows:
            png.write(row)

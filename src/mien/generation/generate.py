"""`mien generate`: faces from a run, a generator file, an exported ONNX file, or the packaged generator."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
from torch import Tensor

from mien import TOOL
from mien.core.checkpoint import NetworkHeader
from mien.core.errors import InputError
from mien.core.events import Events, Tick, job
from mien.core.image import grid_rows, to_hwc
from mien.core.network import load_network
from mien.core.packaged import source_of
from mien.core.png_rows import png_rows
from mien.core.provenance import Provenance, save_picture
from mien.core.sampling import check_psi, draw, latents, parse_seeds
from mien.core.types import Generator
from mien.generation.drawing import as_labels
from mien.labels.asked import label_vectors

FORMATS = ("png", "jpg", "webp")
_BATCH = 64
_MOST_SIDE = 8192  # pixels of a grid that is not a PNG, which is held as a whole


@job
def generate(
    events: Events,
    source: Path | None = None,
    /,
    *,
    out: Path,
    seeds: str = "0-15",
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
    grid: bool = False,
    format: Literal["png", "jpg", "webp"] = "png",
) -> list[Path]:
    """Draw new faces from a run folder, a generator file, or the model that comes with mien.

    Returns the files written. Every picture says in its XMP that a model made it. However many there are, a
    batch is held at a time, of a PNG grid a row too; a grid of another format is held whole, and refused
    above 8,192 pixels a side. Raises InputError.

    Parameters
    ----------
    source
        A run folder (its newest generator), a .safetensors or an exported .onnx file; the model that comes
        with mien by default (also called packaged).
    out
        Folder for the pictures.
    seeds
        Like 0,1,4-6, or @kept.txt for a file of seeds: one picture each.
    trunc
        Truncation psi from 0 to 1: lower is safer and less varied.
    label
        Of a model trained with --cond or --labels, what to show: a class, or NAME=VALUE, like smiling=1,
        hair_colour=black; may be repeated. What is not said is drawn from labels that it learnt from.
    grid
        One picture of them all instead of one file each.
    format
        File format.
    """
    check_psi(trunc)
    if format not in FORMATS:
        raise InputError(f"--format {format}: choose from {', '.join(FORMATS)}")
    chosen = parse_seeds(seeds)
    drawing = _opened(source_of(source))
    labels = label_vectors(drawing.header, as_labels(label), chosen)
    batches = _batches(drawing, chosen, labels, trunc, events.progress("drawing"))
    if grid:
        path = out / f"grid-{chosen[0]:04d}-{chosen[-1]:04d}.{format}"
        _write_grid(path, batches, len(chosen), drawing)
        written = [path]
    else:
        written = [
            _save(drawing.model, out, format, seed, picture)
            for piece, drawn in batches
            for seed, picture in zip(piece, drawn, strict=True)
        ]
    events.note(f"wrote {len(written)} file(s) to {out}")
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
    progress: Tick,
) -> Iterator[tuple[list[int], Tensor]]:
    """Seeds and their pictures, uint8 [n, C, H, W], a batch at a time; progress after each."""
    for start in range(0, len(seeds), _BATCH):
        piece = seeds[start : start + _BATCH]
        shown = None if labels is None else labels[start : start + _BATCH]
        yield piece, draw(drawing.generator, latents(piece, drawing.generator.z_dim), shown, psi=psi)
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

"""`mien generate`: faces from a run, a generator file, an exported ONNX file, or the packaged generator."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from mien import TOOL
from mien.core.atomic import write_bytes
from mien.core.checkpoint import NetworkHeader
from mien.core.errors import InputError, MienError
from mien.core.events import Events, Tick, job
from mien.core.image import grid_rows, to_hwc
from mien.core.network import load_network
from mien.core.packaged import source_of
from mien.core.png_rows import png_rows
from mien.core.provenance import Provenance, encode_picture, save_picture
from mien.core.sampling import batch_for, check_psi, draw, latents, parse_seeds, psi_note
from mien.core.types import Generator
from mien.generation.drawing import as_labels
from mien.generation.file_names import ending_of, free_path, with_ending
from mien.labels.vectors import label_vectors

FORMATS = ("png", "jpg", "webp")
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

    Returns the files written: seed0000.png, or seed0000-woman.png where this model drew that seed with other
    labels there before. Every picture says in its XMP that a model made it. However many there are, a batch
    is held at a time, of a PNG grid a row too; a grid of another format is held whole, and refused above
    8,192 pixels a side. Raises InputError, and MienError that says how many were written where the disk is
    full.

    Parameters
    ----------
    source
        A run folder (its newest generator), a .safetensors or an exported .onnx file; the model that comes
        with mien by default (also called packaged).
    out
        Folder for the pictures.
    seeds
        Like 0,1,4-6, or @kept.txt for a file of seeds: one picture each, the same seed once.
    trunc
        Truncation psi, usually from 0 to 1: lower is safer and less varied.
    label
        Of a model trained with --cond or --labels, what to show: a class, or NAME=VALUE, like smiling=1,
        hair_colour=black; may be repeated. Other labels are drawn from those that it was trained on.
    grid
        One picture of them all instead of one file each.
    format
        File format.
    """
    note = psi_note(check_psi(trunc))
    if format not in FORMATS:
        raise InputError(f"--format {format}: choose from {', '.join(FORMATS)}")
    given = parse_seeds(seeds)
    chosen = list(dict.fromkeys(given))
    drawing = _open_generator(source_of(source))
    labels = label_vectors(drawing.header, as_labels(label), chosen)
    repeats = f"{len(given) - len(chosen)} seeds stood there again; each is drawn once"
    remarks = (
        *drawing.notes,
        note,
        repeats * (len(given) > len(chosen)),
        _untrained_labels(drawing.header, labels),
    )
    for remark in filter(None, remarks):
        events.note(remark)
    collapse = _CollapseCheck()
    batches = collapse.watch(_batches(drawing, chosen, labels, trunc, events.progress("drawing")))
    ending = ending_of(as_labels(label), trunc)
    if grid:
        path = out / f"grid-{chosen[0]:04d}-{chosen[-1]:04d}.{format}"
        written = [with_ending(path, ending) if label and path.exists() else path]
        _write_grid(written[0], batches, len(chosen), drawing)
    else:
        written = _save_all(drawing.model, out / f"seed.{format}", ending, batches, len(chosen))
    if collapse.note() and trunc:
        events.warn(collapse.note())
    events.note(f"wrote {len(written)} file(s) to {out}")
    return written


class _LoadedGenerator(NamedTuple):
    """A generator that torch or onnxruntime runs."""

    generator: Generator
    header: NetworkHeader
    model: str
    notes: tuple[str, ...] = ()


class _CollapseCheck:
    """Checks generated images for collapse: all the same, or of one colour."""

    def __init__(self) -> None:
        self._first: Tensor | None = None
        self._count = self._same = self._flat = 0

    def watch(self, batches: Iterable[tuple[list[int], Tensor]]) -> Iterator[tuple[list[int], Tensor]]:
        """Yield the batches unchanged."""
        for seeds, drawn in batches:
            self._first = drawn[0].clone() if self._first is None else self._first
            flat = drawn.flatten(2)
            self._count += len(drawn)
            self._same += int((drawn == self._first).flatten(1).all(dim=1).sum())
            self._flat += int((flat.amax(dim=2) == flat.amin(dim=2)).all(dim=1).sum())
            yield seeds, drawn

    def note(self) -> str:
        """A warning; "" where images differ."""
        if self._flat:
            return (
                f"{self._flat} of {self._count} pictures are of one colour: the model has learnt nothing yet"
            )
        alike = self._count > 1 and self._same == self._count
        return f"all {self._count} pictures are the same: the model has collapsed" if alike else ""


def _untrained_labels(header: NetworkHeader, labels: Tensor | None) -> str:
    """A note on requested labels that none of the training images had, or ""."""
    if labels is None or not header.label_rows:
        return ""
    rows = torch.tensor(header.label_rows)
    missing = ((labels > 0).any(dim=0) & ~(rows > 0).any(dim=0)).tolist()
    names = header.spec.class_names or tuple(map(str, range(header.spec.label_dim)))
    labels_text = ", ".join(name for name, is_missing in zip(names, missing, strict=True) if is_missing)
    what = f"none of the {len(rows):,} pictures whose labels the file keeps was"
    return f"{what} {labels_text}: what is drawn for it was never learnt" if labels_text else ""


def _open_generator(source: Path) -> _LoadedGenerator:
    if source.suffix == ".onnx":
        from mien.interop.onnx_file import OnnxGenerator  # here, since few need it and it costs every start

        exported = OnnxGenerator(source)
        return _LoadedGenerator(exported, exported.header, exported.model)
    loaded = load_network(source)
    return _LoadedGenerator(cast(Generator, loaded.network), loaded.header, loaded.model, loaded.notes)


def _batches(
    drawing: _LoadedGenerator,
    seeds: list[int],
    labels: Tensor | None,
    psi: float,
    progress: Tick,
) -> Iterator[tuple[list[int], Tensor]]:
    """Seeds and their pictures, uint8 [n, C, H, W], a batch at a time; progress after each."""
    size = batch_for(drawing.header.spec.resolution)
    for start in range(0, len(seeds), size):
        batch_seeds = seeds[start : start + size]
        batch_labels = None if labels is None else labels[start : start + size]
        yield (
            batch_seeds,
            draw(drawing.generator, latents(batch_seeds, drawing.generator.z_dim), batch_labels, psi=psi),
        )
        progress(start + len(batch_seeds), len(seeds))


def _save_all(
    model: str, like: Path, ending: str, batches: Iterable[tuple[list[int], Tensor]], count: int
) -> list[Path]:
    """Write each picture. like: "out/seed.png".

    Raises MienError, saying how many there are, where one could not be written.
    """
    written: list[Path] = []
    for batch_seeds, drawn in batches:
        for seed, image in zip(batch_seeds, drawn, strict=True):
            data = encode_picture(to_hwc(image), like.suffix, Provenance(model, seed, TOOL))
            path = free_path(like.with_stem(f"seed{seed:04d}"), ending, data, model)
            try:
                write_bytes(path, data)
            except MienError as error:
                raise MienError(
                    f"{error} ({len(written)} of {count} pictures were written before)"
                ) from error
            written.append(path)
    return written


def _write_grid(
    path: Path, batches: Iterable[tuple[list[int], Tensor]], count: int, drawing: _LoadedGenerator
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

"""`mien generate`: faces from a run, a generator file, an exported ONNX file, or the packaged generator."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mien import TOOL
from mien.core import storage
from mien.core.atomic import write_bytes
from mien.core.checkpoint import NetworkHeader
from mien.core.errors import InputError, MienError
from mien.core.events import Events, job
from mien.core.image import grid_rows, to_hwc
from mien.core.network import LoadedNetwork
from mien.core.packaged import source_of
from mien.core.provenance import Provenance, encode_picture, save_picture
from mien.core.seeds import check_psi, parse_seeds, psi_note
from mien.generation.batches import (
    CollapseCheck,
    Drawn,
    batches_of,
    drawn_by_cluster,
    open_generator,
)
from mien.generation.drawing import as_labels
from mien.generation.file_names import ending_of, free_path, settled, with_ending
from mien.generation.png_rows import png_rows
from mien.labels.vectors import label_vectors, plain_requests
from mien.training.settings import pick_device

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
    cluster: str | None = None,
    device: str = "cpu",
) -> list[Path]:
    """Draw new faces from a run folder, a generator file, or the model that comes with mien.

    Returns the files written: seed0000.png, or seed0000-woman-trunc0.5.png where this model drew that seed
    with other labels or truncation there before. Every picture says in its XMP that a model made it. However
    many there are, a batch is held at a time, of a PNG grid a row too; a grid of another format is held
    whole, and refused above 8,192 pixels a side. Raises InputError, and MienError that says how many were
    written where the disk is full.

    Parameters
    ----------
    source
        A run folder (its newest generator), a .safetensors or an exported .onnx file, or the s3://... of one;
        the model that comes with mien by default (also called packaged).
    out
        Folder for the pictures; s3://... and gs://... will do.
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
    cluster
        Let a Dask cluster draw: tcp://HOST:PORT, or local for processes of this machine. Its workers need
        the generator's file at the same place. Stopped, the same command draws what is missing.
    device
        cpu, where pictures are the same on every machine of a kind; cuda, mps or auto draw many faster, and
        may round a pixel to the next level.
    """
    note = psi_note(check_psi(trunc))
    if format not in FORMATS:
        raise InputError(f"--format {format}: choose from {', '.join(FORMATS)}")
    given = parse_seeds(seeds)
    chosen = list(dict.fromkeys(given))
    if cluster is not None and device != "cpu":
        raise InputError(f"--device {device}: the workers of a --cluster draw on their CPUs; leave one out")
    file = source_of(None if source is None else Path(storage.local(source)))
    drawing = open_generator(file, pick_device(device))
    labels = label_vectors(drawing.header, as_labels(label), chosen)
    repeats = f"--seeds names {len(given) - len(chosen)} seeds twice; each is drawn once"
    remarks = (
        *drawing.notes,
        note,
        repeats * (len(given) > len(chosen)),
        _untrained_labels(drawing.header, labels),
    )
    for remark in filter(None, remarks):
        events.note(remark)
    if cluster is not None and grid:
        raise InputError("--cluster writes one file a picture: leave --grid out")
    collapse, ending = CollapseCheck(), ending_of(plain_requests(drawing.header, as_labels(label)), trunc)
    sheet = f"grid-{chosen[0]:04d}-{chosen[-1]:04d}.{format}"
    names = [sheet] if grid else [f"seed{seed:04d}.{format}" for seed in chosen]
    taken = [f"{out.name}/{with_ending(Path(name), end)}" for name in names for end in ("", ending)]
    with storage.sent(out, events, first=taken) as (made, events):
        tick, like = events.progress("drawing"), made / f"seed.{format}"
        if cluster is not None:
            job = Drawn(drawing, as_labels(label), trunc, like, ending)
            written = drawn_by_cluster(cluster, job, chosen, collapse, tick)
        else:
            batches = collapse.watch(batches_of(drawing, chosen, labels, trunc, tick))
            if grid:

                def write(to: Path) -> None:
                    _write_grid(to, batches, len(chosen), drawing)

                written = [settled(made / sheet, ending, write)]
            else:
                written = _save_all(drawing.model, like, ending, batches, len(chosen))
        if collapse.note() and trunc:
            events.warn(collapse.note())
        events.note(f"wrote {len(written)} file(s) to {made}")
    return [out / path.name for path in written]


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
    path: Path, batches: Iterable[tuple[list[int], Tensor]], count: int, drawing: LoadedNetwork[Any]
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

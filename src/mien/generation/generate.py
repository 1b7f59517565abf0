"""`mien generate`: faces from a run, a generator file, an exported ONNX file, or the packaged generator.

Torch is imported when it draws, so that its help comes at once.
"""

from pathlib import Path
from typing import Literal

from mien.core import storage
from mien.core.errors import InputError, want_folder
from mien.core.events import Events, job
from mien.core.packaged import source_of
from mien.core.seeds import check_psi, parse_seeds, psi_note

FORMATS = ("png", "jpg", "webp")


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
    from mien.generation import batches, files
    from mien.generation.drawing import as_labels
    from mien.labels.vectors import label_vectors, plain_requests
    from mien.training.settings import pick_device

    want_folder(out, "; --grid puts all faces into one picture there" * (not grid))
    note = psi_note(check_psi(trunc))
    if format not in FORMATS:
        raise InputError(f"--format {format}: choose from {', '.join(FORMATS)}")
    given = parse_seeds(seeds)
    chosen = list(dict.fromkeys(given))
    if cluster is not None and device != "cpu":
        raise InputError(f"--device {device}: the workers of a --cluster draw on their CPUs; leave one out")
    file = source_of(source)
    drawing = batches.open_generator(file, pick_device(device))
    labels = label_vectors(drawing.header, as_labels(label), chosen)
    repeats = f"--seeds names {len(given) - len(chosen)} seeds twice; each is drawn once"
    remarks = (
        *drawing.notes,
        note,
        repeats * (len(given) > len(chosen)),
        batches.untrained_labels(drawing.header, labels),
    )
    for remark in filter(None, remarks):
        events.note(remark)
    if cluster is not None and grid:
        raise InputError("--cluster writes one file a picture: leave --grid out")
    collapse = batches.CollapseCheck()
    ending = files.ending_of(plain_requests(drawing.header, as_labels(label)), trunc)
    sheet = f"grid-{chosen[0]:04d}-{chosen[-1]:04d}.{format}"
    names = [sheet] if grid else [f"seed{seed:04d}.{format}" for seed in chosen]
    taken = [f"{out.name}/{files.with_ending(Path(name), end)}" for name in names for end in ("", ending)]
    with storage.sent(out, events, first=taken) as (made, events):
        singles = [] if grid else [made / name for name in names]  # a grid takes a name of its own
        if remark := files.replaced(singles, drawing.model):
            events.note(remark)
        tick, like = events.progress("drawing"), made / f"seed.{format}"
        if cluster is not None:
            job = batches.Drawn(drawing, as_labels(label), trunc, like, ending)
            written = batches.drawn_by_cluster(cluster, job, chosen, collapse, tick)
        else:
            images = collapse.watch(batches.batches_of(drawing, chosen, labels, trunc, tick))
            if grid:

                def write(to: Path) -> None:
                    files.write_grid(to, images, len(chosen), drawing)

                written = [files.settled(made / sheet, ending, write)]
            else:
                written = files.save_all(drawing.model, like, ending, images, len(chosen))
        if collapse.note() and trunc:
            events.warn(collapse.note())
        events.note(f"wrote {len(written)} file(s) to {made}")
    return [out / path.name for path in written]

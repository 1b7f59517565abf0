"""`mien detector train` and `evaluate`: real faces against synthetic ones."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.packed import PackWriter, encode_png
from mien.core.run import RunFolder
from mien.core.seeds import Seed
from mien.detection.crops import FRESH, Crops, crops_of
from mien.detection.judge import source_of
from mien.detection.scores import DetectorExamination
from mien.detection.scores import evaluate as evaluate_set
from mien.labels.split import cut_line
from mien.models.detector import LABEL
from mien.training.command import TrainOptions
from mien.training.command import train as train_network
from mien.training.settings import pick_device

_SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}  # to learn from, to calibrate by, to report


def write_set(
    path: Path,
    real: Sequence[str],
    synthetic: Sequence[str],
    events: Events,
    *,
    count: int | None = None,
    first_seed: Seed = 0,
) -> None:
    """Write the faces of the sources as a zip whose pictures all are PNGs of one size, without metadata.

    Every source is parted alike, by picture. count: of each source at most. first_seed: of
    generators. Raises InputError.
    """
    if not real or not synthetic:
        raise InputError("a detector learns from both: name sources with --real and with --synthetic")
    if both := set(real) & set(synthetic):
        raise InputError(f"{min(both)}: it cannot be real and synthetic")
    sources = [(source, label) for label, named in ((0.0, real), (1.0, synthetic)) for source in named]
    write_crops(path, _found(sources, events, count, first_seed))


def _found(
    sources: Sequence[tuple[str, float]], events: Events, count: int | None, first_seed: int
) -> Iterator[tuple[Crops, float]]:
    for source, label in sources:
        crops = crops_of(source, events, count=count, first_seed=first_seed)
        missed = f" ({crops.missed} without a face)" if crops.missed else ""
        events.note(f"{source}: {len(crops):,} {'synthetic' if label else 'real'} faces{missed}")
        yield crops, label


def write_crops(path: Path, sources: Iterable[tuple[Crops, float]]) -> None:
    """Write faces with their label as `write_set` does. Pictures of one name fall into one part."""
    with PackWriter(path, class_names=(LABEL,)) as writer:
        for crops, label in sources:
            split = cut_line(dict.fromkeys(crops.names, 1), _SHARES, seed=0)
            for pixels, name in zip(crops.pixels, crops.names, strict=True):
                record = {"source": Path(crops.source).name, "input": name, "split": split[name]}
                writer.add_png(encode_png(pixels), [label], record)


@job
def train(
    events: Events,
    /,
    *,
    real: tuple[str, ...],
    synthetic: tuple[str, ...],
    out: Path,
    count: int | None = None,
    kimg: float = 60.0,
    preset: str = "default",
    set: tuple[str, ...] = (),
    seed: Seed = 0,
    device: str = "auto",
) -> RunFolder:
    """Train a detector of synthetic faces: network, calibrated probability, thresholds, and its scores.

    Writes the faces as OUT/faces.zip (found, cut and re-encoded alike, whatever they came from) and a run
    folder beside it. 70 % of every source are learnt from, 15 % calibrate, 15 % are reported on. The same
    command again goes on where it stopped. Returns the run. Raises InputError.

    Parameters
    ----------
    real
        Photographs: a folder, a prepared zip or a dataset. Several times for several sources.
    synthetic
        Made pictures, likewise; or a run folder or generator file, of which faces are drawn.
    out
        Folder for the set and the run.
    count
        Faces of each source at most; 600 of a generator unless told.
    kimg
        Stop after that many thousand faces.
    preset
        Named configuration: default, or tiny for a try.
    set
        Change one number of the family: --set width=24.
    seed
        Seed of initial weights and order.
    device
        cpu, cuda, mps or auto.
    """
    if kimg <= 0 or (count is not None and count < 20):
        raise InputError("--kimg: more than 0; --count: 20 or more")
    out.mkdir(parents=True, exist_ok=True)
    data = out / "faces.zip"
    write_set(data, real, synthetic, events, count=count)
    options = TrainOptions(
        model="detector",
        preset=preset,
        set=set,
        kimg=kimg,
        out=out,
        seed=seed,
        precision="fp32",
        device=device,
        tick_kimg=4,
        snapshot_kimg=16,
    )
    return train_network(str(data), options=options).run(events.send)


@job
def evaluate(
    events: Events,
    detector: Path | None = None,
    /,
    *,
    real: tuple[str, ...],
    synthetic: tuple[str, ...],
    out: Path,
    count: int | None = None,
    device: str = "auto",
) -> DetectorExamination:
    """Test a detector on sources it may never have met, by what happened to the pictures.

    AUC and share found of each synthetic source, false alarms of each real one: as they are, after JPEG, at
    half size, blurred, gray, faded, hard. Raises InputError.

    Parameters
    ----------
    detector
        A run folder or file of `mien detector train`; the one that comes with mien by default.
    real, synthetic
        Sources, as of `mien detector train`.
    out
        Folder for the set of faces, faces.zip.
    count
        Faces of each source at most.
    device
        cpu, cuda, mps or auto.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_set(out / "faces.zip", real, synthetic, events, count=count, first_seed=FRESH)
    examination = evaluate_set(
        source_of(detector),
        str(out / "faces.zip"),
        device=pick_device(device),
        progress=events.progress("testing"),
    )
    for event in examination.tables():
        events.send(event)
    return examination

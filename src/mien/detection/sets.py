"""A labelled set of faces, real and synthetic, in which nothing but the pixels tells one from the other."""

from collections.abc import Sequence
from pathlib import Path

from mien.core.errors import InputError
from mien.core.events import Events
from mien.core.packed import PackWriter, encode_png
from mien.detection.crops import Crops, crops_of
from mien.labels.split import cut_line
from mien.models.detector import LABEL

_SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}  # to learn from, to calibrate by, to report


def write_set(
    path: Path,
    real: Sequence[str],
    synthetic: Sequence[str],
    events: Events,
    *,
    count: int | None = None,
    first_seed: int = 0,
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
    with PackWriter(path, class_names=(LABEL,)) as writer:
        for source, label in sources:
            crops = crops_of(source, events, count=count, first_seed=first_seed)
            missed = f" ({crops.missed} without a face)" if crops.missed else ""
            events.note(f"{source}: {len(crops):,} {'synthetic' if label else 'real'} faces{missed}")
            _add(writer, crops, label)


def _add(writer: PackWriter, crops: Crops, label: float) -> None:
    split = cut_line(dict.fromkeys(crops.names, 1), _SHARES, seed=0)
    for pixels, name in zip(crops.pixels, crops.names, strict=True):
        record = {"source": Path(crops.source).name, "input": name, "split": split[name]}
        writer.add_png(encode_png(pixels), [label], record)

"""Pictures of one square size in a zip, tar or folder: packed datasets, class sub-folders, or plain pictures.

- With `dataset.json` (packed, zipped or not) the labels are those in it.
- Without it, pictures that all lie in two or more sub-folders have a class for each sub-folder.
- Folders named train, val, test, validation are the split, wherever they lie, and never classes.
- Anything else has no labels.

Nothing is resized: `mien prepare` does that. For pictures that are no faces, "folder:FOLDER?size=64" does:
whatever their sizes, it cuts the middle square out of each and shrinks it. Decoded pictures are kept in the
cache under their content's hash, so a dataset opens at once the second time, wherever it lies.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from mien.core.archive import ARCHIVE_SUFFIXES
from mien.core.cache import cache_root
from mien.core.errors import InputError, make_squares
from mien.core.events import Tick
from mien.core.labels import label_array, label_width, named_label
from mien.core.packed import PackReader
from mien.core.picture import BadPicture, decode
from mien.core.text import encodable
from mien.core.types import Spec
from mien.datasets.header import Header, read_header
from mien.datasets.index import Entry, Index
from mien.datasets.layout import open_layout, parse_options
from mien.datasets.stored import StoredDataset, cached, in_threads, open_pixels, write_pixels
from mien.labels.columns import single_labels, text_of

LICENCE = "that of the pictures themselves; `licence` in manifest.jsonl where it is known"
CITATION = "none; the layout is the one of NVlabs' stylegan3 dataset_tool.py"

_DECODER = 1  # raise it when the same file would decode to other pixels
_CHUNK = 128
_ADVICE = f"leave it out, or use {make_squares()}, which drops such files"


def recognise(root: Path) -> bool:
    """Never: it is what any folder is that looks like no other layout."""
    return False


def open(source: str | Path, *, progress: Tick | None = None) -> StoredDataset:
    """Open the pictures in a zip or folder, or of "FOLDER?size=64" (`Options`).

    progress: called with (done, total) while pictures are decoded, the first time only. Labels that are
    missing or odd are named in `notes`.
    Raises InputError, naming the file, for pictures of several sizes, not square or damaged, a source
    without pictures, a corrupt zip.
    """
    path, options = parse_options(str(source))
    if options:
        resized = open_layout("folder", index, str(source), progress=progress)
        resized.name = _name(path)
        return resized
    pack = PackReader(path)
    labels, class_names = None, tuple[str, ...]()
    if pack.labels is not None:
        labels = label_array(pack.labels, len(pack.class_names) or label_width(pack.labels))
        class_names = pack.class_names
    cache = cache_root() / "decoded" / f"{pack.content_hash}-{_DECODER}.npy"

    def decode_all() -> None:
        size, channels = _measure(pack)
        write_pixels(cache, (len(pack), channels, size, size), _decoded(pack, channels, progress))

    pixels = cached(cache, partial(open_pixels, cache, len(pack)), decode_all)
    spec = Spec(pixels.shape[2], pixels.shape[1], 0 if labels is None else labels.shape[1], class_names)
    return StoredDataset(
        _name(path), spec, pack.content_hash, labels, pack.records, pixels, pack.notes, pack.label_problem
    )


def index(root: Path) -> Index:
    """The pictures of a zip, tar or folder with their labels, people, splits. Raises InputError as `open`."""
    pack = PackReader(root)
    entries = tuple(_entry(pack, at) for at in range(len(pack)))
    place = {name: at for at, name in enumerate(pack.names)}
    licences = Counter(str(record["licence"]) for record in pack.records if record.get("licence"))
    columns = ("class",) if pack.labels and isinstance(pack.labels[0], int) else ()
    kind = "folder" if root.is_dir() else "zip" if root.suffix == ".zip" else "tar"
    reasons = Counter(str(r.get("reason")) for r in pack.all_records if r.get("file") is None)
    dropped = [f"dropped when it was prepared: {count:,} {name}" for name, count in reasons.most_common()]
    return Index(
        "folder",
        root,
        entries,
        notes=(*pack.notes, *dropped),
        counts=_counts(pack, entries),
        licence=", ".join(f"{name} ({count:,})" for name, count in licences.most_common()),
        label_names=columns or tuple(named_label(pack.labels[0], pack.class_names)) if pack.labels else (),
        content=lambda file: pack.read(place[file]),
        kind="packed" if pack.packed else kind,
    )


def _entry(pack: PackReader, at: int) -> Entry:
    record = pack.records[at]
    labels = {} if pack.labels is None else named_label(pack.labels[at], pack.class_names)
    person, role, group, split = (text_of(record, name) for name in ("person", "role", "group", "split"))
    group = group or text_of(record, "pair")
    return Entry(pack.names[at], labels | single_labels(record), person, role, split, group)


def _counts(pack: PackReader, entries: tuple[Entry, ...]) -> dict[str, int]:
    dropped = sum(record.get("file") is None for record in pack.all_records)
    people = {entry.person for entry in entries} - {""}
    counts = {"pictures": len(pack), "people": len(people), "tossed": len(pack.tossed), "dropped": dropped}
    return {name: count for name, count in counts.items() if count or name == "pictures"}


def _measure(pack: PackReader) -> tuple[int, int]:
    """The one side length, and 1 channel if all pictures are gray, else 3."""
    headers = list(in_threads(partial(_header, pack), range(len(pack))))
    first = headers[0]
    for name, header in zip(pack.names, headers, strict=True):
        if header.size != first.size:
            raise InputError(
                f"{pack.path}: {pack.names[0]} is {first}, {name} is {header};"
                f" all pictures must have one size. Faces: mien prepare {pack.path} OUT.zip --size 64;"
                " other pictures: --finder none besides, or folder:FOLDER?size=64"
            )
    if first.width != first.height:
        raise InputError(
            f"{pack.path}: {pack.names[0]} is {first}, not square; cut them with {make_squares()}, or"
            " folder:FOLDER?size=64"
        )
    return first.width, 1 if all(header.gray for header in headers) else 3


def _header(pack: PackReader, at: int) -> Header:
    where = f"{pack.path}: {pack.names[at]}"
    try:
        return read_header(pack.read(at), where=where)
    except BadPicture as error:
        raise InputError(f"{where} is not a picture that can be read ({error.detail}); {_ADVICE}") from error


def _decoded(pack: PackReader, channels: int, progress: Tick | None) -> Iterator[np.ndarray]:
    for start in range(0, len(pack), _CHUNK):
        stop = min(start + _CHUNK, len(pack))
        yield np.stack(list(in_threads(partial(_decode, pack, channels), range(start, stop))))
        if progress:
            progress(stop, len(pack))


def _decode(pack: PackReader, channels: int, index: int) -> np.ndarray:
    """One picture as uint8 [C, H, W]."""
    try:
        image = decode(pack.read(index), where=f"{pack.path}: {pack.names[index]}").pixels
    except BadPicture as error:
        raise InputError(f"{error}; {_ADVICE}") from error
    return image[..., :channels].transpose(2, 0, 1)


def _name(path: Path) -> str:
    name = path.resolve().name
    suffix = next((each for each in ARCHIVE_SUFFIXES if name.lower().endswith(each) and path.is_file()), "")
    return encodable(name[: len(name) - len(suffix)]) or "pictures"

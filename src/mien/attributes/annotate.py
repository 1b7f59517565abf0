"""`mien annotate`: labels from models, from files, and what the face mesh measures, into the manifest."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
import torch
from cyclopts import Parameter

from mien import TOOL
from mien.attributes.label_files import LabelRows, first_names, read_label_file
from mien.attributes.predictions import (
    Read,
    given,
    merged,
    open_pack,
    pictures_of,
    read_each,
    read_labels,
    write_each,
)
from mien.core import artefacts, storage
from mien.core import cluster as clusters
from mien.core.cluster import Cluster
from mien.core.errors import InputError
from mien.core.events import Events, Tick, job
from mien.core.manifest import append_records
from mien.core.packed import PackReader
from mien.core.picture import decode
from mien.datasets.layout import plain_path
from mien.datasets.opening import open_dataset
from mien.faces.age_sex import AgeSexNetworks
from mien.faces.crop import Square
from mien.faces.expressions import EXPRESSIONS, ExpressionNetwork
from mien.faces.finder import needed_artefacts, open_finder
from mien.faces.measure import measure as measure_face
from mien.training.settings import pick_device

Reading = Literal["age", "sex", "expressions"]
LABEL: dict[str, str] = {"age": "age", "sex": "sex", "expressions": "expression"}  # the name in predictions
NEEDS: dict[str, tuple[str, ...]] = {
    "age": ("age", "sex"),
    "sex": ("age", "sex"),
    "expressions": ("expressions",),
}
# Measured at 64 px, layout "ffhq"; in brackets 95 % intervals, of the smile over people.
LIMITS: dict[str, str] = {
    "age": (
        "a guess by looks, with no truth at hand to measure it by. One person's neutral and smiling pictures"
        " differ by 3.1 years on average (102 people); of 3,979 faces nine in ten were put"
        " between 24 and 38, so the scale is squeezed."
        " Never a filter for minors: a child may be given any of these ages"
    ),
    "sex": (
        "as a face looks, not what a person is. Of 3,979 synthetic faces labelled by their makers 96.8 %"
        " agreed (96.2-97.3; AUC .996), from 90.8 % to 99.2 % by group: lowest for men"
        " labelled Asian and women labelled Asian (94.2 %)"
    ),
    "expressions": (
        "smiling against neutral, 102 people of each: AUC .946 (.916-.975); 64 of the 102 smiles were read as"
        " happy, none of the neutral faces was. The other five were not measured: take them as a hint"
    ),
}

Predictions = list[dict[str, Any]]


def read_faces(
    dataset: Path,
    readings: Sequence[Reading],
    *,
    again: bool = False,
    device: torch.device | None = None,
    progress: Tick | None = None,
    pool: Cluster | None = None,
) -> tuple[int, int]:
    """Append the predictions `readings` for every image of `dataset`, faces aligned as "ffhq".

    In `predictions`: "age" in years; "sex" ("female", "male") and "expression" (one of EXPRESSIONS), each
    with the probability of every value ("sex=female"). "predicted_by" names the network by its file's hash.
    again: also pictures that were read before. pool: lets a cluster read. Files that are missing are fetched.
    Returns how many pictures were read, the most of any reading, and how many there are. Raises InputError,
    or MienError without the files.
    """
    most, total = 0, 0
    for reading in dict.fromkeys(readings):
        for artefact in NEEDS[reading]:
            artefacts.obtain(artefact)
        done, total = _read(dataset, reading, again, device, progress, pool)
        most = max(most, done)
    return most, total


def _read(
    dataset: Path,
    reading: Reading,
    again: bool,
    device: torch.device | None,
    progress: Tick | None,
    pool: Cluster | None,
) -> tuple[int, int]:
    names, records = pictures_of(dataset, progress)
    model, label = f"{reading}-{str(artefacts.artefact_sha256(reading))[:12]}", LABEL[reading]
    pending = [index for index, record in enumerate(records) if again or label not in given(record, model)]

    def record(index: int, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"file": names[index], "predictions": merged(values, records[index], model, [label])}

    answers = read_each(open_faces, dataset, pending, reading, device=device, pool=pool)
    write_each(dataset, pending, answers, record, progress)
    return len(pending), len(names)


def open_faces(dataset: str, reading: str, device: str) -> Read:
    """A reader of age, sex or expressions."""
    pictures, read = open_dataset(dataset), _reader(reading, device)
    return lambda indexes: read(torch.from_numpy(np.ascontiguousarray(pictures.images(np.array(indexes)))))


def _reader(reading: str, device: str) -> Callable[[torch.Tensor], Predictions]:
    if reading == "expressions":
        network = ExpressionNetwork.load(device)
        return lambda images: list(_one_of("expression", EXPRESSIONS, network.probabilities(images)))
    both = AgeSexNetworks.load()
    if reading == "age":
        return lambda images: [{"age": round(float(years), 1)} for years in both.guess(images).years]

    def sex(images: torch.Tensor) -> Predictions:
        female = both.guess(images).female
        return list(_one_of("sex", ("female", "male"), np.stack([female, 1 - female], 1)))

    return sex


def _one_of(label: str, values: Sequence[str], rows: np.ndarray) -> Iterator[dict[str, Any]]:
    """The most probable value of each row, and each value's probability."""
    for row in rows:
        each = {f"{label}={value}": round(float(p), 4) for value, p in zip(values, row, strict=True)}
        yield {label: values[int(row.argmax())], **each}


def write_labels(dataset: Path, source: Path, *, warn: Callable[[str], None]) -> tuple[int, int]:
    """Append the labels of `source` (see `read_label_file`) to the records of the pictures they name.

    A picture is named by its member in the dataset, by the file it was made from, or by either's last part
    or stem where only one picture has it. Rows that name no picture are named by `warn` and left out.
    Returns how many pictures got labels, and how many there are. Raises InputError where none does.
    """
    pack, rows = open_pack(dataset), read_label_file(source)
    sources = [str(record.get("source") or "") for record in pack.records]
    labels_by_file, unknown = matched(rows, pack.names, sources)
    if unknown:
        warn(f"{source}: left out, for the dataset has no such picture: {first_names(unknown)}")
    if not labels_by_file:
        raise InputError(f"{source}: none of its {len(rows)} rows names a picture of {dataset}")
    records = [{"file": file, "labels": labels} for file, labels in labels_by_file.items()]
    append_records(plain_path(dataset), records)
    return len(labels_by_file), len(pack)


def matched(
    rows: LabelRows, files: Sequence[str], sources: Sequence[str]
) -> tuple[dict[str, Mapping[str, float]], list[str]]:
    """The labels by member of the dataset, and the names that no picture has, or several have."""
    index_of = _by_name(files, sources)
    matches: dict[str, Mapping[str, float]] = {}
    unknown: list[str] = []
    for name, labels in rows.items():
        index = next((index_of[key] for key in _keys(name) if key in index_of), None)
        if index is None:
            unknown.append(name)
        elif labels:
            matches[files[index]] = {**matches.get(files[index], {}), **labels}
    return matches, unknown


def _by_name(files: Sequence[str], sources: Sequence[str]) -> dict[str, int]:
    """Image index by name: by the whole name, else its last part, else its stem, where that is unique."""
    index_of: dict[str, int] = {}
    for level in range(3):
        for names in (files, sources):
            keys = [_keys(name)[level] if name else "" for name in names]
            counts = Counter(keys)
            for index, key in enumerate(keys):
                if key and counts[key] == 1:
                    index_of.setdefault(key, index)
    return index_of


def _keys(name: str) -> tuple[str, str, str]:
    path = PurePosixPath(name.replace("\\", "/"))
    return str(path), path.name, path.stem


# These describe the photo that a crop was cut from, which is no longer there.
_OF_THE_PHOTO = frozenset({"coverage", "crop_side", "face_size", "num_faces"})


@job
def annotate(
    events: Events,
    dataset: Path,
    /,
    *,
    model: Path | None = None,
    read: Annotated[tuple[Literal["age", "sex", "expressions"], ...], Parameter(negative="")] = (),
    measure: bool = False,
    labels: Path | None = None,
    again: bool = False,
    device: str = "auto",
    cluster: str | None = None,
) -> None:
    """Write what a model reads off every picture, what the face mesh measures, or labels of a file, into a
    dataset's manifest.

    Parameters
    ----------
    dataset
        A zip from `mien prepare`, a folder of square pictures, or folder:FOLDER?size=64 of any. s3://...
        will do; the manifest is then sent back.
    model
        A run that trained `--model attributes`, or its .safetensors file.
    read
        age, sex or expressions, by published networks (fetched once) on faces as `mien prepare` aligns them;
        may be repeated. What each is worth is printed. Age is a guess by looks: never a filter for minors.
    measure
        Measure the faces: pose, sharpness, eyes, mouth and whatever else `mien prepare` measures.
    labels
        A .csv or .json of labels by file, or a folder of .json files, a face each (faceAttributes). Rows that
        name no picture are named and left out.
    again
        Do pictures anew that were done before.
    device
        cpu, cuda, mps or auto.
    cluster
        Let a Dask cluster read and measure: tcp://HOST:PORT, or local for processes of this machine. Its
        workers need the dataset and the model at the same place.
    """
    if model is None and labels is None and not measure and not read:
        raise InputError(
            "say what to annotate with: --model RUN, --read age|sex|expressions, --measure, --labels FILE"
        )
    place = pick_device(device)
    mesh = needed_artefacts("mesh") if measure else ()
    needs = list(dict.fromkeys([*(name for reading in read for name in NEEDS[reading]), *mesh]))
    spread = cluster is not None and (model is not None or read or measure)
    with ExitStack() as stack:
        dataset = stack.enter_context(storage.changed(dataset, events))
        if labels is not None:
            done, total = write_labels(dataset, labels, warn=events.warn)
            events.note(f"wrote the labels of {done:,} of {total:,} pictures")
        for name in needs:
            artefacts.obtain(name, announce=events.note)
        pool = stack.enter_context(clusters.opened(str(cluster), needs=needs)) if spread else None
        if model is not None:
            tick = events.progress("reading labels")
            done, total = read_labels(dataset, model, again=again, device=place, progress=tick, pool=pool)
            before = f"{total - done:,} were read before"
            events.note(f"read the labels of {done:,} of {total:,} pictures; {before}")
        if read:
            tick = events.progress("reading faces")
            readings = tuple(dict.fromkeys(read))
            done, total = read_faces(dataset, readings, again=again, device=place, progress=tick, pool=pool)
            events.note(f"read {', '.join(readings)} of {done:,} of {total:,} pictures")
            for reading in readings:
                events.note(f"{reading}: {LIMITS[reading]}")
        if measure:
            tick = events.progress("measuring faces")
            done, total = measure_faces(dataset, again=again, progress=tick, pool=pool)
            events.note(f"measured {done:,} of {total:,} pictures; {total - done:,} were measured before")


def measure_faces(
    dataset: Path, *, again: bool = False, progress: Tick | None = None, pool: Cluster | None = None
) -> tuple[int, int]:
    """Append the face mesh's measurements of every picture of `dataset` that has not been measured so.

    What a record knows already stays; again: is measured anew, but for what tells of the photo that the
    picture was cut from (coverage, sizes, number of faces). No face: a score of 0. pool: lets a cluster
    measure. Returns how many were measured and how many there are.
    """
    pack = open_pack(dataset)
    for name in needed_artefacts("mesh"):
        artefacts.obtain(name, announce=lambda line: None)
    todo = [index for index, record in enumerate(pack.records) if again or not record.get("measured_by")]

    def record(index: int, measurements: Mapping[str, Any]) -> dict[str, Any]:
        stored = dict(pack.records[index].get("measurements") or {})
        kept = _OF_THE_PHOTO & stored.keys() if again else stored.keys()
        new = {key: value for key, value in measurements.items() if key not in kept}
        return {"file": pack.names[index], "measurements": new, "measured_by": TOOL}

    write_each(dataset, todo, read_each(open_mesh, dataset, todo, pool=pool), record, progress)
    return len(todo), len(pack)


def open_mesh(dataset: str, device: str) -> Read:
    """A reader of what the face mesh measures; it is always on the CPU."""
    pack, finder = PackReader(plain_path(Path(dataset))), open_finder("mesh")

    def measured(index: int) -> Mapping[str, float]:
        picture = decode(pack.read(index), where=f"{dataset}: {pack.names[index]}")
        faces = finder.find(picture.pixels)
        height, width = picture.pixels.shape[:2]
        square = Square((width / 2, height / 2), (float(width), 0.0))
        return measure_face(picture, faces[0], square, num_faces=len(faces)) if faces else {"score": 0.0}

    return lambda indexes: [measured(index) for index in indexes]

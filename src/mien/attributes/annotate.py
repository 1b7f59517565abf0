"""`mien annotate`: labels from models, from files, and what the face mesh measures, into the manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mien import TOOL
from mien.attributes.annotate_faces import LIMITS, read_faces
from mien.attributes.annotate_labels import write_labels
from mien.attributes.predictions import CHUNK, chunks, open_pack, read_labels
from mien.core import artefacts
from mien.core.errors import InputError
from mien.core.events import Events, Tick, job
from mien.core.manifest import append_records
from mien.core.picture import decode
from mien.datasets.layout import plain_path
from mien.faces.crop import Square
from mien.faces.finder import needed_artefacts, open_finder
from mien.faces.measure import measure as measure_face
from mien.training.settings import pick_device

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
) -> None:
    """Write what a model reads off every picture, what the face mesh measures, or labels of a file, into a
    dataset's manifest.

    Parameters
    ----------
    dataset
        A zip from `mien prepare`, a folder of square pictures, or folder:FOLDER?size=64 of any.
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
    """
    if model is None and labels is None and not measure and not read:
        raise InputError(
            "say what to annotate with: --model RUN, --read age|sex|expressions, --measure, --labels FILE"
        )
    place = pick_device(device)
    if labels is not None:
        done, total = write_labels(dataset, labels, warn=events.warn)
        events.note(f"wrote the labels of {done:,} of {total:,} pictures")
    if model is not None:
        tick = events.progress("reading labels")
        done, total = read_labels(dataset, model, again=again, device=place, progress=tick)
        events.note(f"read the labels of {done:,} of {total:,} pictures; {total - done:,} were read before")
    if read:
        readings = dict.fromkeys(read)
        tick = events.progress("reading faces")
        done, total = read_faces(
            dataset, tuple(readings), again=again, device=place, progress=tick, announce=events.note
        )
        events.note(f"read {', '.join(readings)} of {done:,} of {total:,} pictures")
        for reading in readings:
            events.note(f"{reading}: {LIMITS[reading]}")
    if measure:
        done, total = measure_faces(dataset, again=again, progress=events.progress("measuring faces"))
        events.note(f"measured {done:,} of {total:,} pictures; {total - done:,} were measured before")


def measure_faces(dataset: Path, *, again: bool = False, progress: Tick | None = None) -> tuple[int, int]:
    """Append the face mesh's measurements of every picture of `dataset` that has not been measured so.

    What a record knows already stays; again: is measured anew, but for what tells of the photo that the
    picture was cut from (coverage, sizes, number of faces). No face: a score of 0. Returns how many were
    measured and how many there are.
    """
    pack = open_pack(dataset)
    for name in needed_artefacts("mesh"):
        artefacts.obtain(name, announce=lambda line: None)
    finder = open_finder("mesh")
    todo = [index for index, record in enumerate(pack.records) if again or not record.get("measured_by")]
    for done, chunk in enumerate(chunks(todo)):
        records = []
        for index in chunk:
            picture = decode(pack.read(index), where=f"{dataset}: {pack.names[index]}")
            faces = finder.find(picture.pixels)
            height, width = picture.pixels.shape[:2]
            square = Square((width / 2, height / 2), (float(width), 0.0))
            measurements = (
                measure_face(picture, faces[0], square, num_faces=len(faces)) if faces else {"score": 0.0}
            )
            stored = dict(pack.records[index].get("measurements") or {})
            new = {key: value for key, value in measurements.items() if key not in _kept(stored, again)}
            records.append({"file": pack.names[index], "measurements": new, "measured_by": TOOL})
        append_records(plain_path(dataset), records)
        if progress:
            progress(done * CHUNK + len(chunk), len(todo))
    return len(todo), len(pack)


def _kept(stored: Mapping[str, float], again: bool) -> frozenset[str]:
    """The measurements that are not to be written."""
    return frozenset(stored) if not again else _OF_THE_PHOTO & frozenset(stored)

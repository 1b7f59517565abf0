"""`mien detect`: whether faces in pictures are synthetic."""

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from mien.core import storage
from mien.core.atomic import write_bytes, write_text
from mien.core.errors import InputError
from mien.core.events import Column, Events, Table, job
from mien.core.packed import encode_png
from mien.core.picture import photo_paths
from mien.detection.judge import Detector, heat_picture, open_detector
from mien.detection.pictures import Detected, judge_picture, judged_by_cluster
from mien.detection.scores import FALSE_ALARMS
from mien.faces.finder import open_face_finder

LIMITS = (
    "A hint, no proof: fakes of generators that it never met are often missed, real pictures are at times"
    " called synthetic, and 'no sign' does not mean real."
)
WEAK = (
    "The detector that comes with mien is weak: of generators that it never met, it told a poor GAN's faces"
    " and rendered ones (AUC .90, .85), but neither a StyleGAN's (.46) nor a diffusion model's (.66);"
    " docs/detect.md."
)
_WORDS = {"synthetic": "synthetic", "unsure": "unsure", "no sign": "no sign of synthesis"}


@job
def detect(
    events: Events,
    files: tuple[Path, ...],
    /,
    *,
    detector: Path | None = None,
    false_alarms: float = FALSE_ALARMS,
    json: Path | None = None,
    heat: Path | None = None,
    cluster: str | None = None,
) -> list[Detected]:
    """Judge whether the faces in pictures are synthetic: verdict, probability, and why.

    A provenance mark (XMP) is read first and told. Every face of a picture is judged on its own; "unsure" is
    said where the verdict flips when the face is compressed, resized, blurred or mirrored a little. A file
    that cannot be read costs itself alone. Raises InputError where none can.

    Parameters
    ----------
    files
        Pictures, or folders of them; s3://... will do.
    detector
        A run folder or file of `mien detector train`; the one that comes with mien by default.
    false_alarms
        The share of real faces that may be called synthetic: sets the threshold.
    json
        Write a line of JSON for each file there.
    heat
        Folder for a picture of each face and of where the evidence is: red for synthetic, blue against.
    cluster
        Let a Dask cluster judge: tcp://HOST:PORT, or local for processes of this machine. Its workers need
        the pictures and the detector at the same place. Stopped, the same command goes on.
    """
    paths = photo_paths([Path(storage.local(file, pictures=cluster is None)) for file in files])
    source = None if detector is None else Path(storage.local(detector))
    judge = open_detector(source, false_alarms=false_alarms)
    finder = open_face_finder(events)
    with ExitStack() as stack:
        if json is not None:
            json, events = stack.enter_context(storage.sent(json, events))
        if heat is not None:
            heat, events = stack.enter_context(storage.sent(heat, events))
        judged: Iterable[Detected]
        if cluster is None:
            judged = (judge_picture(path, finder, judge) for path in paths)
        else:
            judged = judged_by_cluster(cluster, paths, finder, judge)
        found = _all(judged, len(paths), heat, events)
        nothing = all(one.problem and one.mark is None for one in found)
        if not nothing:
            _describe(found, judge, events)
        if json is not None:
            _write_json(json, found)
            events.wrote(json, f"{len(found)} pictures")
        if heat is not None:
            events.wrote(heat, "a face and its heat map a file")
    if nothing:
        raise InputError(f"nothing to judge: {found[0].problem}")
    if detector is None:
        events.warn(WEAK)
    events.note(LIMITS)
    return found


def _describe(found: Sequence[Detected], judge: Detector, events: Events) -> None:
    events.send(_table(found, judge))
    for one in found:
        if one.mark is not None:
            tool = one.mark.tool or "another program"
            events.note(f"{one.path}: its mark says {one.mark.source_type.value}, by {tool}", "strong")


def _all(judged: Iterable[Detected], count: int, heat: Path | None, events: Events) -> list[Detected]:
    """All pictures' answers, with the heat maps written and what could not be judged said on the way."""
    found: list[Detected] = []
    tick = events.progress("judging", unit="pictures")
    for one in judged:
        found.append(one)
        if one.problem:
            events.warn(one.problem)
        if heat is not None:
            _write_heat(one, heat, len(found))
        tick(len(found), count)
    return found


def _table(found: Sequence[Detected], judge: Detector) -> Table:
    rows = []
    for one in found:
        marked = " (marked)" if one.mark is not None else ""
        for number, face in enumerate(one.faces, start=1):
            told = face.judgement
            name = f"{one.path.name}{marked}" if number == 1 else ""
            why = "; ".join(told.reasons) or "-"
            rows.append((name, str(number), _WORDS[told.verdict], f"{told.probability:.0%}", why))
        if not one.faces:
            rows.append((f"{one.path.name}{marked}", "-", "not judged", "-", "-"))
    columns = (
        Column("picture", wraps=True),
        Column("face", numbers=True),
        Column("verdict", wraps=True),
        Column("synthetic", numbers=True),
        Column("why", wraps=True),
    )
    caption = (
        f"{judge.model}; of real faces like those it was calibrated by, at most {judge.false_alarms:.0%} are"
        " called synthetic. Why: log-odds against real faces, by trace"
    )
    return Table(columns, tuple(rows), caption=caption)


def _write_json(path: Path, found: Sequence[Detected]) -> None:
    write_text(path, "".join(json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in found))


def _write_heat(one: Detected, folder: Path, number: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for face, found in enumerate(one.faces, start=1):
        picture = heat_picture(found.crop, found.judgement.heat)
        write_bytes(folder / f"{number:04d}-{one.path.stem}-{face}.png", encode_png(picture))

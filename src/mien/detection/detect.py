"""`mien detect`: whether faces in pictures are synthetic."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.core import provenance
from mien.core.atomic import write_bytes, write_text
from mien.core.errors import InputError
from mien.core.events import Column, Events, Table, job
from mien.core.packed import encode_png
from mien.core.picture import BadPicture, Pixels, photo_paths, read_picture
from mien.core.provenance import Provenance
from mien.detection.crops import all_crops
from mien.detection.judge import Detector, Judgement, heat_picture, open_detector
from mien.detection.scores import FALSE_ALARMS
from mien.faces.align import ffhq_square
from mien.faces.face import Face, Finder
from mien.faces.finder import open_face_finder

LIMITS = (
    "A hint, no proof: fakes of generators that it never met are often missed, real pictures are at times"
    " called synthetic, and 'no sign' does not mean real."
)
WEAK = (
    "The detector that comes with mien is weak: of generators that it never met, it told a poor GAN's faces"
    " and rendered ones (AUC .93, .88), but neither a StyleGAN's (.48) nor a diffusion model's (.69);"
    " docs/detect.md."
)
_WORDS = {"synthetic": "synthetic", "unsure": "unsure", "no sign": "no sign of synthesis"}


@dataclass(frozen=True)
class Found:
    """One face of a picture. box: [x, y, width, height] in pixels. crop: as it was judged."""

    box: tuple[float, float, float, float]
    judgement: Judgement
    crop: Pixels


@dataclass(frozen=True)
class Detected:
    """A picture: its mark, its faces (largest first), and why it could not be judged, or ""."""

    path: Path
    mark: Provenance | None = None
    faces: tuple[Found, ...] = ()
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """What a line of `--json` holds."""
        faces = [
            {
                "box": [round(value, 1) for value in face.box],
                "verdict": face.judgement.verdict,
                "probability": round(face.judgement.probability, 4),
                "under_re_encoding": [round(face.judgement.lowest, 4), round(face.judgement.highest, 4)],
                "parts": face.judgement.parts,
                "reasons": list(face.judgement.reasons),
            }
            for face in self.faces
        ]
        mark = None
        if self.mark is not None:
            mark = {"source": self.mark.source_type.value, "tool": self.mark.tool, "model": self.mark.model}
        return {"file": str(self.path), "mark": mark, "faces": faces, "problem": self.problem or None}


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
) -> list[Detected]:
    """Judge whether the faces in pictures are synthetic: verdict, probability, and why.

    A provenance mark (XMP) is read first and told. Every face of a picture is judged on its own; "unsure" is
    said where the verdict flips when the face is compressed, resized, blurred or mirrored a little. A file
    that cannot be read costs itself alone. Raises InputError where none can.

    Parameters
    ----------
    files
        Pictures, or folders of them.
    detector
        A run folder or file of `mien detector train`; the one that comes with mien by default.
    false_alarms
        The share of real faces that may be called synthetic: sets the threshold.
    json
        Write a line of JSON for each file there.
    heat
        Folder for a picture of each face and of where the evidence is: red for synthetic, blue against.
    """
    paths = photo_paths(files)
    judge = open_detector(detector, false_alarms=false_alarms)
    finder = open_face_finder(events)
    found: list[Detected] = []
    tick = events.progress("judging", unit="pictures")
    for done, path in enumerate(paths, start=1):
        one = _one(path, finder, judge)
        found.append(one)
        if one.problem:
            events.warn(one.problem)
        if heat is not None:
            _write_heat(one, heat, len(found))
        tick(done, len(paths))
    events.send(_table(found, judge))
    for one in found:
        if one.mark is not None:
            tool = one.mark.tool or "another program"
            events.note(f"{one.path}: its mark says {one.mark.source_type.value}, by {tool}", "strong")
    if json is not None:
        _write_json(json, found)
        events.wrote(json, f"{len(found)} pictures")
    if heat is not None:
        events.wrote(heat, "a face and its heat map a file")
    if detector is None:
        events.warn(WEAK)
    events.note(LIMITS)
    if all(one.problem and one.mark is None for one in found):
        raise InputError(f"nothing to judge: {found[0].problem}")
    return found


def _one(path: Path, finder: Finder, judge: Detector) -> Detected:
    mark = None
    try:
        with suppress(
            InputError
        ):  # a damaged mark counts for nothing; whether this is a picture is told next
            mark = provenance.verify(path)
        image = read_picture(path)
    except BadPicture as error:
        return Detected(path, mark, problem=str(error))
    faces = tuple(_judged(face, crop, judge) for face, crop in all_crops(image, finder))
    return Detected(path, mark, faces, "" if faces else f"{path}: no face found in it")


def _judged(face: Face, crop: Pixels, judge: Detector) -> Found:
    x, y, width, height = face.box
    box = (float(x), float(y), float(width), float(height))
    return Found(box, judge.judge(crop, ffhq_square(face).side), crop)


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

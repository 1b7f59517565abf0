"""`mien detect`: whether faces in pictures are synthetic, judged here or by a cluster."""

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from json import dumps, loads
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien.core import cluster, provenance, storage
from mien.core.atomic import write_bytes, write_text
from mien.core.cache import cache_root
from mien.core.cluster import Shard
from mien.core.errors import InputError, MienError
from mien.core.events import Column, Events, Table, job
from mien.core.packed import encode_png
from mien.core.picture import BadPicture, Pixels, photo_paths, read_picture
from mien.core.provenance import Provenance, SourceType
from mien.core.storage import on_worker, shared
from mien.detection.crops import all_crops
from mien.detection.judge import Detector, Judgement, heat_picture, open_detector
from mien.detection.scores import FALSE_ALARMS
from mien.faces.align import ffhq_square
from mien.faces.face import Finder
from mien.faces.finder import needed_artefacts, open_face_finder, open_finder

_SHARD = 8  # pictures: some seconds' work
LIMITS = (
    "A hint, no proof: fakes of generators that it never met are often missed, real pictures are at times"
    " called synthetic, and 'no sign' does not mean real."
)
WEAK = (
    "The detector that comes with mien is weak: of generators that it never met, it told a poor GAN's faces"
    " and rendered ones (AUC .76, .78), but no StyleGAN's (.36) or diffusion model's (.56); of the packaged"
    " model's faces it tells those at psi .5 and .7 (.95, .76), not those at psi 1 (.53); docs/detect.md."
)
_COLOURS = {"synthetic": (240, 70, 50), "unsure": (255, 200, 40), "no sign": (150, 195, 235)}
_LONGEST = 1600  # side of a picture with numbered faces
_WORDS = {"synthetic": "synthetic", "unsure": "unsure", "no sign": "no sign of synthesis"}


@dataclass(frozen=True)
class JudgedFace:
    """One face of a picture. box: [x, y, width, height] in pixels. crop: as it was judged."""

    box: tuple[float, float, float, float]
    judgement: Judgement
    crop: Pixels


@dataclass(frozen=True)
class Detected:
    """A picture: its mark, its faces (largest first), and why it could not be judged, or ""."""

    path: Path
    mark: Provenance | None = None
    faces: tuple[JudgedFace, ...] = ()
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


def judge_picture(path: Path, finder: Finder, judge: Detector) -> Detected:
    """The mark and the faces of a picture; why there is none where it cannot be read."""
    mark = None
    try:
        with suppress(InputError):  # a damaged mark counts for nothing; if this is a picture is told next
            mark = provenance.verify(path)
        image = read_picture(path)
    except BadPicture as error:
        return Detected(path, mark, problem=str(error))
    faces = []
    for face, crop in all_crops(image, finder):
        x, y, width, height = map(float, face.box)
        judgement = judge.judge(crop, ffhq_square(face).side)
        faces.append(JudgedFace((x, y, width, height), judgement, crop))
    return Detected(path, mark, tuple(faces), "" if faces else f"{path}: no face found in it")


# --- By a cluster ---


def judged_by_cluster(
    address: str, paths: Sequence[Path], finder: Finder, judge: Detector
) -> Iterator[Detected]:
    """As `judge_picture` of each path, in order; what a run that was stopped had done is not done again."""
    place = ("", "") if judge.path is None else shared(judge.path)
    setup = [*place, judge.model, judge.false_alarms, finder.name]
    parts = [paths[start : start + _SHARD] for start in range(0, len(paths), _SHARD)]
    shards = [Shard((setup, [_state(path) for path in part])) for part in parts]
    kept = cache_root() / "detect"
    files = [kept / f"{shard.name}.json" for shard in shards]
    missing = [(shard, file) for shard, file in zip(shards, files, strict=True) if not file.exists()]
    with cluster.opened(address, needs=needed_artefacts(finder.name)) as pool:
        answers = pool.map(judge_shard, (shard for shard, _ in missing))
        for part, file in zip(parts, files, strict=True):
            if not file.exists():
                write_text(file, next(answers))
            for path, plain in zip(part, loads(file.read_text("utf-8")), strict=True):
                yield _from_plain(path, plain)
    for file in files:
        file.unlink(missing_ok=True)


def _state(path: Path) -> tuple[str, str, str, int, int]:
    """Where a worker finds a picture, its name here, and what changes when the file does (0: not there)."""
    known = path.stat() if path.is_file() else None
    return (*shared(path), str(path), known.st_size if known else 0, known.st_mtime_ns if known else 0)


def judge_shard(setup: list[Any], files: list[tuple[str, str, str, int, int]]) -> str:
    """Some pictures' answers as JSON. Raises MienError where a worker lacks one, or has another detector."""
    finder, judge = _opened(*setup)
    answers = []
    for place, version, name, _, changed in files:
        path = on_worker(place, version) if changed else Path(place)
        one = judge_picture(path, finder, judge)
        answers.append(_plain(replace(one, problem=one.problem.replace(str(path), name))))
    return dumps(answers)


@lru_cache(maxsize=1)
def _opened(
    place: str, version: str, model: str, false_alarms: float, finder: str
) -> tuple[Finder, Detector]:
    judge = open_detector(on_worker(place, version) if place else None, false_alarms=false_alarms)
    if judge.model != model:
        raise MienError(f"{place or 'the detector of mien'}: another on a worker than here")
    return open_finder(finder), judge


def _plain(one: Detected) -> dict[str, Any]:
    mark = None if one.mark is None else asdict(one.mark) | {"source_type": one.mark.source_type.value}
    faces = []
    for face in one.faces:
        arrays = {"crop": _packed(face.crop), "heat": _packed(face.judgement.heat)}
        faces.append({"box": face.box} | asdict(face.judgement) | arrays)
    return {"mark": mark, "faces": faces, "problem": one.problem}


def _from_plain(path: Path, plain: Mapping[str, Any]) -> Detected:
    mark = plain["mark"]
    if mark is not None:
        mark = Provenance(**mark | {"source_type": SourceType(mark["source_type"])})
    return Detected(path, mark, tuple(map(_face, plain["faces"])), plain["problem"])


def _face(plain: dict[str, Any]) -> JudgedFace:
    box, crop = plain.pop("box"), _unpacked(plain.pop("crop"))
    judgement = Judgement(**plain | {"heat": _unpacked(plain["heat"]), "reasons": tuple(plain["reasons"])})
    return JudgedFace(tuple(box), judgement, crop)


def _packed(values: np.ndarray) -> tuple[str, tuple[int, ...], str]:
    return values.dtype.str, values.shape, base64.b64encode(values.tobytes()).decode()


def _unpacked(packed: Sequence[Any]) -> np.ndarray:
    dtype, shape, text = packed
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape).copy()


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
        Folder for a picture of each face and of where the evidence is: red for synthetic, blue against; of
        a picture that shows several, also that with their numbers.
    cluster
        Let a Dask cluster judge: tcp://HOST:PORT, or local for processes of this machine. Its workers need
        the pictures and the detector at the same place. Stopped, the same command goes on.
    """
    paths = photo_paths([Path(storage.local(file, pictures=cluster is None)) for file in files])
    judge = open_detector(detector, false_alarms=false_alarms)
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
        detected = _all(judged, len(paths), heat, events)
        nothing = all(one.problem and one.mark is None for one in detected)
        if not nothing:
            _describe(detected, judge, events)
        if json is not None:
            write_text(json, "".join(dumps(one.as_json(), ensure_ascii=False) + "\n" for one in detected))
            events.wrote(json, f"{len(detected)} pictures")
        if heat is not None:
            events.wrote(heat, "a face and its heat map a file, and where they are in pictures of several")
    if nothing:
        raise InputError(f"nothing to judge: {detected[0].problem}")
    if detector is None:
        events.warn(WEAK)
    events.note(LIMITS)
    return detected


def _describe(detected: Sequence[Detected], judge: Detector, events: Events) -> None:
    events.send(_table(detected, judge))
    verdicts: Counter[str] = Counter(face.judgement.verdict for one in detected for face in one.faces)
    if verdicts.total() > 1:
        told = ", ".join(f"{verdicts[verdict]:,} {words}" for verdict, words in _WORDS.items())
        events.note(f"of {verdicts.total():,} faces: {told}")
    for one in detected:
        if one.mark is not None:
            tool = one.mark.tool or "another program"
            events.note(f"{one.path}: its mark says {one.mark.source_type.value}, by {tool}", "strong")


def _all(judged: Iterable[Detected], count: int, heat: Path | None, events: Events) -> list[Detected]:
    """All pictures' answers, with the heat maps written and what could not be judged said on the way."""
    detected: list[Detected] = []
    tick = events.progress("judging", unit="pictures")
    for one in judged:
        detected.append(one)
        if one.problem:
            events.warn(one.problem)
        if heat is not None:
            stem = f"{len(detected):04d}-{one.path.stem}"
            for number, face in enumerate(one.faces, start=1):
                picture = encode_png(heat_picture(face.crop, face.judgement.heat))
                write_bytes(heat / f"{stem}-{number}.png", picture)
            if len(one.faces) > 1:
                with suppress(BadPicture):  # a cluster's workers alone may be able to read it
                    write_bytes(heat / f"{stem}-all.png", encode_png(_numbered(one)))
        tick(len(detected), count)
    return detected


def _numbered(one: Detected) -> Pixels:
    """The picture, at most `_LONGEST` a side, with a numbered box in its verdict's colour about each face."""
    picture = read_picture(one.path)
    share = min(1.0, _LONGEST / max(picture.shape[:2]))
    if share < 1:
        picture = np.asarray(cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))
    for number, face in enumerate(one.faces, start=1):
        x, y, width, height = (round(end * share) for end in face.box)
        colour = _COLOURS[face.judgement.verdict]
        cv2.rectangle(picture, (x, y), (x + width, y + height), colour, 2)
        size = min(max(width / 80, 0.4), 1.2)
        place = (x + 3, y + 3 + round(24 * size))
        for ink, thick in (((0, 0, 0), 5), (colour, 2)):
            cv2.putText(picture, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, size, ink, thick, cv2.LINE_AA)
    return picture


def _table(detected: Sequence[Detected], judge: Detector) -> Table:
    rows = []
    for one in detected:
        marked = " (marked)" if one.mark is not None else ""
        for number, face in enumerate(one.faces, start=1):
            judgement = face.judgement
            name = f"{one.path.name}{marked}" if number == 1 else ""
            why = "; ".join(judgement.reasons) or "-"
            rows.append((name, str(number), _WORDS[judgement.verdict], f"{judgement.probability:.0%}", why))
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

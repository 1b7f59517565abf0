"""Pictures judged one by one: here, or by a cluster in shards, each of which is kept when it is done."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mien.core import cluster, provenance
from mien.core.atomic import write_text
from mien.core.cache import cache_root
from mien.core.cluster import Shard
from mien.core.errors import InputError, MienError
from mien.core.picture import BadPicture, Pixels, read_picture
from mien.core.provenance import Provenance, SourceType
from mien.core.storage import on_worker, shared
from mien.detection.crops import all_crops
from mien.detection.judge import Detector, Judgement, open_detector
from mien.faces.align import ffhq_square
from mien.faces.face import Face, Finder
from mien.faces.finder import needed_artefacts, open_finder

_SHARD = 8  # pictures: some seconds' work


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


def judge_picture(path: Path, finder: Finder, judge: Detector) -> Detected:
    """The mark and the faces of a picture; why there is none where it cannot be read."""
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
            for path, plain in zip(part, json.loads(file.read_text("utf-8")), strict=True):
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
    return json.dumps(answers)


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
    faces = [
        {"box": face.box, "crop": _packed(face.crop)}
        | asdict(face.judgement)
        | {"heat": _packed(face.judgement.heat)}
        for face in one.faces
    ]
    return {"mark": mark, "faces": faces, "problem": one.problem}


def _from_plain(path: Path, plain: Mapping[str, Any]) -> Detected:
    mark = plain["mark"]
    if mark is not None:
        mark = Provenance(**mark | {"source_type": SourceType(mark["source_type"])})
    return Detected(path, mark, tuple(map(_face, plain["faces"])), plain["problem"])


def _face(plain: dict[str, Any]) -> Found:
    box, crop = plain.pop("box"), _unpacked(plain.pop("crop"))
    judgement = Judgement(**plain | {"heat": _unpacked(plain["heat"]), "reasons": tuple(plain["reasons"])})
    return Found(tuple(box), judgement, crop)


def _packed(values: np.ndarray) -> tuple[str, tuple[int, ...], str]:
    return values.dtype.str, values.shape, base64.b64encode(values.tobytes()).decode()


def _unpacked(packed: Sequence[Any]) -> np.ndarray:
    dtype, shape, text = packed
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape).copy()

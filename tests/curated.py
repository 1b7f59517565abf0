"""Datasets to curate, and servers of `mien curate`, for tests."""

import colorsys
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mien.core.packed import PackReader, PackWriter, encode_png
from mien.curate.faces import Faces
from mien.prepare.store import Store
from served import served, started

SECRET = "secret"
LOOPBACK = frozenset({"127.0.0.1", "::1"})


def yaw(number: int, count: int = 200) -> float:
    """Different for each picture and in another order than names."""
    return float((number * 37) % count) - count / 2


def make_dataset(path: Path, *, count: int = 200, record: Mapping[str, Any] | None = None) -> Path:
    """Coloured squares with yaw, gender and a guessed age; three inputs were dropped.

    record: put into every record, over what stands there.
    """
    with PackWriter(path) as writer:
        for number in range(count):
            colour = np.array(colorsys.hsv_to_rgb(number / count, 0.5, 0.8)) * 255
            pixels = np.full((16, 16, 3), colour, np.uint8)
            known: dict[str, Any] = {
                "source": f"people/{number:03d}.jpg",
                "measurements": {"yaw": yaw(number, count)},
                "labels": {"gender": ("female", "male")[number % 2]},
                "predictions": {"age": 20 + number / 4} if number % 10 else {},
                "licence": "CC0-1.0",
            }
            writer.add_png(encode_png(pixels), None, known | dict(record or {}))
        writer.add_record({"source": "people/blurred.jpg", "reason": "blurred", "detail": "too soft"})
        writer.add_record({"source": "people/empty.jpg", "reason": "empty", "detail": "no bytes in it"})
        writer.add_record({"source": "wall.jpg", "reason": "no-face", "detail": "no face was found"})
    return path


def make_dropped(folder: Path, *, labelled: bool = False, num_kept: int = 6) -> Path:
    """`num_kept` faces; in the store beside them two blurred ones, two doubles, and one without a face."""
    path = folder / "some.zip"
    (folder / "some.work").mkdir(parents=True)
    store = Store(folder / "some.work" / "a.sqlite")
    with PackWriter(path, class_names=("cats", "dogs") if labelled else ()) as writer:
        for number in range(num_kept):
            known = _photo(f"kept/{number}.jpg", sharp=0.6, size=100.0)
            writer.add_png(_square(number / 10), number % 2 if labelled else None, known)
        for number, (name, reason) in enumerate(
            (("soft/0.jpg", "blurred"), ("soft/\u2028 1.jpg", "blurred"), ("again/0.jpg", "duplicate"),
             ("again/1.jpg", "duplicate"), ("wall.jpg", "no-face"))
        ):  # fmt: skip
            record = _photo(name, sharp=0.1, size=60.0) | {"reason": reason, "detail": f"it is {reason}"}
            record["labels"] = {"class": ("cats", "dogs")[number % 2]} if labelled else {}
            if reason == "duplicate":
                record["duplicate_of"] = f"kept/{number - 2}.jpg"
            if reason == "no-face":
                del record["measurements"]
            writer.add_record(record)
            found = {} if reason == "no-face" else {(0, 16, ""): _square(0.7 + number / 20)}
            own = {"source": name, "sha256": record["sha256"], "faces": [{}] if found else []}
            store.add(name, own, crops=found, thumb=_square(0.5))
    store.close()
    return path


def _photo(source: str, *, sharp: float, size: float) -> dict[str, Any]:
    measured = {"sharpness": sharp, "face_size": size, "real_size": size}
    return {"source": source, "sha256": f"of {source}", "measurements": measured, "width": 200, "height": 300}


def _square(hue: float) -> bytes:
    colour = np.array(colorsys.hsv_to_rgb(hue, 0.5, 0.8)) * 255
    return encode_png(np.full((16, 16, 3), colour, np.uint8))


def tossed_on_disk(path: Path) -> set[int]:
    """Numbers of the pictures that are left out of the dataset, read anew."""
    return {int(name[-12:-4]) for name in PackReader(path, with_tossed=True).tossed}


@contextmanager
def serving(faces: Path | Faces, *, hosts: frozenset[str] | None = LOOPBACK) -> Iterator[str]:
    """A server in a thread of this process; gives its address."""
    from mien.curate.web import build_app

    opened = Faces(faces) if isinstance(faces, Path) else faces
    with served(build_app(opened, secret=SECRET, hosts=hosts)) as address:
        yield f"{address}{SECRET}/"


def running(path: Path) -> AbstractContextManager[tuple["subprocess.Popen[str]", str]]:
    """`mien curate` as a user starts it; gives the process and its address."""
    return started("-m", "mien", "curate", path)


def until(holds: Any, *, what: str) -> None:
    """Wait till `holds()`; no test takes long where the program is right."""
    for _ in range(1600):
        if holds():
            return
        time.sleep(0.025)
    raise AssertionError(f"never: {what}")

"""Rendering of many heads, in several processes where that is faster."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.core.cluster import cores
from mien.core.errors import InputError, MienError
from mien.core.events import Tick
from mien.render.heads import check_size, render_one
from mien.render.layout import lay_out
from mien.render.person import Person, sample_person
from mien.render.shot import Shot, sample_shot, with_changes
from mien.render.sitting import seated
from mien.render.trace import make_camera

_ZOOM = 4.6  # an eye picture is this much narrower than a portrait: about 0.6 decimetres across


def render_eye(
    person: Person, shot: Shot, side: str, *, size: int
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Picture uint8 [3, size, size] of one eye, and labels as of the whole head plus "eye": side.

    side: "left" or "right" of the picture. Landmarks are in pixels of the eye picture. Raises InputError for
    another side.
    """
    if side not in ("left", "right"):
        raise InputError(f'an eye is "left" or "right", not {side!r}')
    face = lay_out(person, shot)
    x = face.eye[0] if side == "right" else -face.eye[0]
    point = np.array([[x, face.eye[1], face.eye[2] + face.eye_radius]])
    close = replace(shot, zoom=shot.zoom * _ZOOM, shift_x=0.0, shift_y=0.0)
    (centre,), _ = make_camera(close).project(point, 1)
    close = replace(close, shift_x=float(0.5 - centre[0]), shift_y=float(0.5 - centre[1]))
    rendered = render_one(person, close, size=size)
    return rendered.image, {**rendered.labels, "eye": side}


_ENOUGH_RAYS = 24 * 64 * 64  # below about this much work a second process costs more than it saves
_STRIDE = 1_000_003  # distance between the person ids of two seeds


@dataclass(frozen=True)
class View:
    """One picture to render: a person id and, by default, the shot of the same number."""

    person: int
    shot: int
    yaw: float | None = None  # when given: turned to it, level
    units: tuple[tuple[int, float], ...] | None = None  # when given: these action units
    eye: str | None = None  # "left" or "right": cut out that eye instead of the head
    sitting: int | None = None  # when given: this picture of a sitting


def person_id(seed: int, index: int) -> int:
    """The id of person `index` of a set drawn with `seed`; sets of different seeds share nobody."""
    return seed * _STRIDE + index


def render_view(view: View, size: int) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Picture uint8 [3, S, S] and labels of one view."""
    person = sample_person(view.person)
    shot = sample_shot(view.shot, male=person.male)
    if view.sitting is not None:
        shot = seated(shot, view.sitting)
    shot = with_changes(shot, yaw=view.yaw, units=view.units)
    if view.eye is not None:
        return render_eye(person, shot, view.eye, size=size)
    picture = render_one(person, shot, size=size)
    return picture.image, picture.labels


def _worker_count(views: int, size: int, workers: int | None) -> int:
    if workers is not None:
        return max(1, min(workers, views))
    if not sys.executable:  # inside another program: there is no interpreter to start
        return 1
    return 1 if views * size * size < _ENOUGH_RAYS else max(1, min(cores(), views))


def render_views(
    views: list[View], *, size: int, workers: int | None = None, progress: Tick | None = None
) -> Iterator[tuple[NDArray[np.uint8], dict[str, Any]]]:
    """Yield the pictures of `views` in order, the same bytes for any number of workers.

    workers: processes, None: as many as cores when there is enough to do. Workers are fresh interpreters
    that take their work through a pipe (no fork, no import of the caller's main module). Raises
    MienError when one dies.
    """
    check_size(size)
    count = _worker_count(len(views), size, workers)
    source = (render_view(view, size) for view in views) if count == 1 else _in_workers(views, size, count)
    for done, item in enumerate(source, 1):
        if progress is not None:
            progress(done, len(views))
        yield item


def _start_worker(size: int) -> "subprocess.Popen[bytes]":
    paths = os.pathsep.join(p for p in sys.path if p)
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    env = {**os.environ, **single, "PYTHONPATH": paths}
    command = [sys.executable, "-m", "mien.render.worker", str(size)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)


def _serve(
    process: "subprocess.Popen[bytes]",
    views: list[View],
    todo: Iterator[int],
    lock: threading.Lock,
    size: int,
    done: "queue.Queue[tuple[int, Any]]",
) -> None:
    """Feed one worker, one view at a time, and pass on its images; (-1, message) when it fails."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        while True:
            with lock:
                index = next(todo, None)
            if index is None:
                break
            process.stdin.write(json.dumps(vars(views[index])).encode() + b"\n")
            process.stdin.flush()
            head = process.stdout.readline()
            raw = process.stdout.read(3 * size * size)
            if not head.endswith(b"\n") or len(raw) != 3 * size * size:
                raise MienError("a render worker stopped early; see its message above, then run again")
            done.put((index, (np.frombuffer(raw, np.uint8).reshape(3, size, size), json.loads(head))))
        process.stdin.close()
    except (OSError, ValueError, MienError) as problem:
        done.put((-1, str(problem)))


def _in_workers(
    views: list[View], size: int, count: int
) -> Iterator[tuple[NDArray[np.uint8], dict[str, Any]]]:
    done: queue.Queue[tuple[int, Any]] = queue.Queue()
    todo, lock = iter(range(len(views))), threading.Lock()
    processes = [_start_worker(size) for _ in range(count)]
    try:
        for process in processes:
            threading.Thread(
                target=_serve, args=(process, views, todo, lock, size, done), daemon=True
            ).start()
        waiting: dict[int, Any] = {}
        for number in range(len(views)):
            while number not in waiting:
                index, item = done.get()
                if index < 0:
                    raise MienError(f"rendering failed: {item}")
                waiting[index] = item
            yield waiting.pop(number)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # what was still to be sent to one that died
                        pipe.close()


def render_people(
    count: int, *, size: int, seed: int, progress: Tick | None = None, workers: int | None = None
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Render `count` different people, one picture each.

    Returns uint8 [count, 3, size, size] and one dict of labels each (see `labels.describe`; plus landmarks).
    seed: another seed gives other people. The first N of a longer set are the same as a set of N.
    Raises InputError for a count under 1 or a size that is no multiple of 8.
    """
    if count < 1:
        raise InputError(f"cannot render {count} people: ask for at least 1")
    views = [View(person_id(seed, k), person_id(seed, k)) for k in range(count)]
    images = np.empty((count, 3, size, size), np.uint8)
    labels = []
    for k, (image, label) in enumerate(render_views(views, size=size, workers=workers, progress=progress)):
        images[k] = image
        labels.append(label)
    return images, labels

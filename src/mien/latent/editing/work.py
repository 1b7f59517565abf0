"""Slow work of the slider page, one piece after another: photos into the generator, points dragged."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mien.core.atomic import write_bytes
from mien.core.errors import InputError, MienError
from mien.core.events import Event, Events, Notice, Progress, Stopped
from mien.core.picture import read_picture
from mien.core.provenance import SourceType, encode_picture
from mien.faces.face import Finder as FaceFinder
from mien.faces.finder import open_face_finder
from mien.latent.codes import Codes, space_of
from mien.latent.editing.drag import Dragging, Pull, check_pulls
from mien.latent.editing.editor import Edit, Editor
from mien.latent.projection.find import Finder
from mien.latent.projection.paste import paste_face
from mien.latent.projection.projector import Saved
from mien.latent.projection.targets import PhotoFace, faces_in, targets_of_photos
from mien.latent.sources import photo_options

_CANDIDATES = 64  # samples of which the nearest is where a photo's search begins
_MOST_PHOTOS = 20  # remembered
_MOST_WORKS = 50  # likewise
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp"}


@dataclass
class Work:
    """One piece. what: "photo" or "drag". face: the name of its result, "" before there is any.

    revision: grows as the result changes. points: where dragged points are, as shares of the side.
    """

    number: int
    what: str
    total: int
    step: int = 0
    face: str = ""
    revision: int = 0
    state: str = "waiting"  # then "running", at last "done", "stopped" or "failed"
    error: str = ""
    points: tuple[tuple[float, float], ...] = ()
    asked_to_stop: bool = False


@dataclass(frozen=True)
class Photo:
    """A photo that was dropped. faces: largest first."""

    path: Path
    name: str
    faces: Sequence[PhotoFace]


class Works:
    """The pieces of work of one editor. Call `close` at the end."""

    def __init__(
        self, editor: Editor, *, encoder: Path | None = None, steps: int | None = None, finder: Any = None
    ) -> None:
        self._editor = editor
        self._options = photo_options(editor.drawing, encoder, steps, _CANDIDATES)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="edit")
        self._lock = threading.RLock()
        self._works: dict[int, Work] = {}
        self._photos: dict[str, Photo] = {}
        self._face_of: dict[str, PhotoFace] = {}
        self._face_finder: FaceFinder | None = finder
        self._finder: Finder | None = None
        self._dragging: Dragging | None = None
        self._closed = False
        self.notes: list[str] = []

    def close(self) -> None:
        """End what runs at its next step, and forget the rest."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def works(self) -> list[Work]:
        with self._lock:
            return list(self._works.values())

    def work(self, number: int) -> Work:
        """Raises InputError where there is none of this number."""
        with self._lock:
            if number not in self._works:
                raise InputError(f"there is no work {number}")
            return self._works[number]

    def _begin(self, what: str, total: int, run: Callable[[Work], None]) -> Work:
        with self._lock:
            work = Work(max(self._works, default=0) + 1, what, total)
            self._works[work.number] = work
            while len(self._works) > _MOST_WORKS:
                self._works.pop(next(iter(self._works)))
        self._pool.submit(self._guarded, work, run)
        return work

    def _guarded(self, work: Work, run: Callable[[Work], None]) -> None:
        work.state = "running"
        try:
            try:
                run(work)
            finally:
                if work.face:
                    self._editor.put(work.face, self._editor.codes_of(work.face), saved=True)
            work.state = "stopped" if work.asked_to_stop else "done"
        except Stopped:
            work.state = "stopped"
        except MienError as error:
            work.error, work.state = str(error), "failed"
        except BaseException as error:
            work.error, work.state = f"this failed: {type(error).__name__}: {error}", "failed"
            raise

    def _show(self, work: Work, codes: Codes, name_if_first: str) -> None:
        """The result so far; the first one is on disk, too."""
        first = not work.face
        name = self._editor.fresh_name(name_if_first) if first else work.face
        self._editor.put(name, codes, saved=first)
        work.face, work.revision = name, work.revision + 1

    def _check(self, work: Work) -> None:
        """Let pictures go first; raises Stopped where the work is to end."""
        if self._closed or work.asked_to_stop:
            raise Stopped
        with self._editor.turns.later():
            pass

    # ---- photos

    def add_photo(self, name: str, data: bytes) -> tuple[str, Photo]:
        """Find the faces of a photo; it is written into the folder where there are any. Raises InputError."""
        shown = Path(name.replace("\\", "/")).name[:80] or "photo"
        with self._lock:
            if self._face_finder is None:
                self._face_finder = open_face_finder(Events(self._listen))
            size = self._editor.drawing.resolution
            faces = faces_in(data, Path(shown), self._face_finder, size, every=True)
        key = hashlib.sha256(data).hexdigest()[:12]
        suffix = next((end for start, end in _SUFFIXES.items() if data.startswith(start)), ".img")
        path = self._editor.out / "photos" / f"{key}{suffix}"
        if not path.exists():
            write_bytes(path, data)
        photo = Photo(path, Path(shown).stem, faces)
        with self._lock:
            self._photos[key] = photo
            while len(self._photos) > _MOST_PHOTOS:
                self._photos.pop(next(iter(self._photos)))
        return key, photo

    def photo_face(self, key: str, number: int) -> PhotoFace:
        """A face of a photo, 1 the largest. Raises InputError."""
        with self._lock:
            photo = self._photos.get(key)
        if photo is None or not 1 <= number <= len(photo.faces):
            raise InputError("that photo is not here any more; drop it again")
        return photo.faces[number - 1]

    def project(self, key: str, number: int) -> Work:
        """Begin to find the latent of a photo's face."""
        face = self.photo_face(key, number)
        stem = self._photos[key].name
        name = f"photo-{stem}" if len(self._photos[key].faces) == 1 else f"photo-{stem}-{number}"
        return self._begin("photo", self._options.num_steps, lambda work: self._project(work, face, name))

    def _project(self, work: Work, face: PhotoFace, name: str) -> None:
        def listen(event: Event) -> None:
            if isinstance(event, Progress):
                work.step = event.done
            self._listen(event)
            self._check(work)

        def show(codes: Codes) -> None:
            self._show(work, codes, name)
            self._face_of[work.face] = face

        events, drawing = Events(listen), self._editor.drawing
        if self._finder is None:
            self._finder = Finder(drawing, self._options, events)
        space, model = space_of(drawing), drawing.loaded.model
        targets = targets_of_photos([face], drawing.loaded.header.spec.channels)
        if (guess := self._finder.first(targets)) is not None:
            show(guess)
        found = self._finder.find(
            targets, Saved(None, ""), watch=lambda values: show(Codes(values, space, model))
        )
        show(self._finder.codes(found))

    def _listen(self, event: Event) -> None:
        if isinstance(event, Notice) and event.tone == "warning" and event.text not in self.notes:
            self.notes.append(event.text)

    def paste(self, edit: Edit) -> bytes:
        """A PNG: the photo that a face came from, with the edited face in it. Raises InputError."""
        face = self._face_of.get(edit.face)
        if face is None:
            raise InputError("this face came from no photo that is here now; drop the photo again")
        path = next(p.path for p in self._photos.values() if any(one is face for one in p.faces))
        pixels = paste_face(read_picture(path), self._editor.pixels(edit), face.square, face.points)
        composite = replace(self._editor.drawing.mark(), source_type=SourceType.COMPOSITE)
        return encode_picture(pixels, ".png", composite)

    @property
    def from_photos(self) -> list[str]:
        """Names of faces that can be put back into their photos."""
        return list(self._face_of)

    # ---- dragging

    def drag(self, edit: Edit, pulls: Sequence[Pull], steps: int) -> Work:
        """Begin to drag points of a face."""
        check_pulls(pulls)
        codes = self._editor.edited(edit)
        return self._begin("drag", steps, lambda work: self._drag(work, codes, pulls, f"drag-{edit.face}"))

    def _drag(self, work: Work, codes: Codes, pulls: Sequence[Pull], name: str) -> None:
        if self._dragging is None:
            self._dragging = Dragging(self._editor.drawing)
        steps = self._dragging.steps(codes, pulls, most=work.total)
        while True:
            self._check(work)
            with self._editor.turns.later():
                last = next(steps, None)
            if last is None:
                return
            work.step, work.points = last.step, last.points
            self._show(work, last.codes, name)

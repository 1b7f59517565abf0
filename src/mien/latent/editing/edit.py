"""`mien edit`: faces changed along directions: edits by amounts, strips, films, the slider page."""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter
from torch import Tensor

from mien.core.errors import InputError, MienError, want_folder
from mien.core.events import Events, job
from mien.core.packaged import source_of
from mien.core.picture import Pixels, photo_paths, read_picture
from mien.core.provenance import Provenance, SourceType, save_picture
from mien.core.run import RunFolder
from mien.core.seeds import parse_seeds
from mien.generation.drawing import Drawing, check_side, rgb, sized
from mien.latent.codes import Codes, moved, space_of
from mien.latent.directions.direction import Directions, combined, default_path, read_directions
from mien.latent.editing.editor import Command, Editor
from mien.latent.film import check_film, save_film
from mien.latent.layers import parse_layers
from mien.latent.projection.paste import paste_face
from mien.latent.projection.targets import PhotoFace, collect_faces
from mien.latent.sources import project_faces
from mien.latent.strips import REACH, amounts, film_frames, strip, wave
from mien.reports.serving import address_of, bound, host_names, serve
from mien.training.settings import pick_device

_MOST_AMOUNT = 100.0
_MOST_FACES = 512
_MOST_SIDE = 16_384  # pixels of a strip


@job
def edit(
    events: Events,
    source: Path | None = None,
    /,
    *,
    out: Path,
    directions: Path | None = None,
    seeds: str | None = None,
    latent: Path | None = None,
    photo: tuple[Path, ...] = (),
    face: str = "largest",
    paste: Annotated[bool, Parameter(negative="")] = False,
    set: tuple[str, ...] = (),
    strip: tuple[str, ...] = (),
    layers: str | None = None,
    steps: int = 7,
    reach: float = REACH,
    video: Path | None = None,
    frames: int = 90,
    fps: int = 30,
    size: int | None = None,
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
    encoder: Path | None = None,
    project_steps: int | None = None,
    device: str = "auto",
    serve: Annotated[bool, Parameter(negative="")] = False,
    host: str = "127.0.0.1",
    port: int = 0,
) -> list[Path]:
    """Change faces along directions: smile=2 adds two standard deviations of smiling.

    With --set each face is drawn changed, in pairs.png beside what it was, and the latents are written to
    edited.npz, from which `edit` can go on. With --strip the faces are drawn at steps from -3 to 3. With
    --serve all of it is done by sliders in the browser, until Ctrl-C; what is kept there is in --out.
    Returns the files written. Raises InputError.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    out
        Folder for the pictures.
    directions
        A file from `mien directions`; by default the one in the run folder, or beside the generator's file.
    seeds
        Faces to change, like 3 or 0-7; 0-3 by default.
    latent
        A .npz of latents to change instead of seeds, as projections and edits write them.
    photo
        A photo to change instead of seeds: its face is projected first; may be repeated.
    face
        Which face of a photo that shows several: largest, all, or a number (2: the second largest).
    paste
        Put each photo's changed face back into the photo, as NAME-pasted.png.
    set
        What to change, like smile=2 or age=-1; may be repeated: all are applied at once.
    strip
        A direction to draw a strip of; may be repeated; comes on top of --set. "all" for every direction.
    layers
        Change only these: coarse, middle, fine, or like 0-3; each direction's own by default.
    steps
        Faces in a strip, an odd number.
    reach
        How far a strip or film goes to either side.
    video
        A film of the first --strip, there and back: .mp4 (needs mien[video]) or .webp.
    frames
        Frames of the film.
    fps
        Frames a second.
    size
        Pixels along a side of a face; the model's by default.
    trunc
        Truncation psi from 0 to 1.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    encoder
        Folder or file that `mien encoder` made for the model, for photos.
    project_steps
        Steps of a photo's projection; by default 200, from an encoder's guess 100.
    device
        Where the generator draws: cpu, cuda, mps or auto.
    serve
        Open the slider page on an address that is printed.
    host
        Address that the page listens on; anyone who can reach it and has the printed address may use it.
    port
        Port that the page listens on; a free one by default.
    """
    want_folder(out)
    drawing = Drawing.of(source, trunc=trunc, label=label, device=pick_device(device))
    path = directions or default_path(source_of(source))
    if serve:
        _check_alone((set, strip, photo, layers, video), paste=paste)
        known = read_directions(path, drawing) if directions or path.exists() else None
        codes = None if latent is None else Codes.read(latent, drawing)
        command = Command(source, directions, trunc, drawing.label)
        _serve(events, drawing, known, out, command, codes, encoder, project_steps, host=host, port=port)
        return []
    edits, given = parse_edits(set), latent is not None or bool(photo)
    as_they_are = given and not edits and not strip
    known = Directions((), space_of(drawing)) if as_they_are else read_directions(path, drawing)
    named = known.names if "all" in strip else tuple(dict.fromkeys(strip))
    if not edits and not named and not given:
        names = ", ".join(known.names)
        raise InputError(f"say what to change: --set NAME=2 or --strip NAME; there are: {names}")
    chosen = None if layers is None else parse_layers(layers, drawing.styled("--layers").num_ws)
    if not 0 < reach <= _MOST_AMOUNT:
        raise InputError(f"--reach {reach:g}: more than 0 and at most {_MOST_AMOUNT:g}")
    along = amounts(steps, reach)
    side = check_side("--size", size, default=drawing.resolution)
    step = combined(known, edits, chosen) if edits else None
    moves = {name: combined(known, {name: 1.0}, chosen) for name in named}
    if paste and not photo:
        raise InputError("--paste puts faces back into photos: name them with --photo")
    if video is not None and not named:
        raise InputError("--video films along a direction: say which with --strip NAME")
    base, titles, photos = _opened(drawing, events, seeds, latent, photo, face, encoder, project_steps)
    _check_sizes(len(base), len(along), side, video, frames, fps)
    after = base if step is None else moved(drawing, base, step)
    files = _Files(drawing, out, side)
    if edits or not named:
        files.pairs(base, after, titles)
    if paste:
        files.pasted(after, photos, titles)
    files.strips(after, moves, along, known)
    _say_beyond(known, edits, named, reach, events)
    if video is not None:
        drawn = film_frames(drawing, after, moves[named[0]], wave(frames, reach), side)
        tick = events.progress("filming", "frames")
        save_film(video, drawn, frames, drawing.mark(), fps=fps, tick=tick)
        files.written.append(video)
    for one in files.written:
        events.wrote(one)
    return files.written


def parse_edits(texts: Sequence[str]) -> dict[str, float]:
    """["smile=2", "age=-1"] as amounts by name; what is named twice adds up. Raises InputError."""
    edits: dict[str, float] = {}
    for text in texts:
        name, equals, amount = text.rpartition("=")
        try:
            value = float(amount)
        except ValueError:
            value = math.nan
        if not equals or not name or not abs(value) <= _MOST_AMOUNT:
            raise InputError(f"--set {text!r}: write NAME=AMOUNT, like smile=2 or age=-1")
        edits[name.strip()] = edits.get(name.strip(), 0.0) + value
    return edits


def _opened(
    drawing: Drawing,
    events: Events,
    seeds: str | None,
    latent: Path | None,
    photo: Sequence[Path],
    face: str,
    encoder: Path | None,
    steps: int | None,
) -> tuple[Codes, list[str], list[PhotoFace]]:
    """The latents to change, a stem of files for each, and the faces of photos where they come from these."""
    if photo:
        if seeds is not None or latent is not None:
            raise InputError("--photo, --seeds and --latent: give one of them")
        faces = collect_faces(photo_paths(photo), drawing.resolution, events, face)
        projected = project_faces(faces, drawing, events, encoder, steps)
        return projected.codes, list(projected.names), faces
    if latent is not None:
        if seeds is not None:
            raise InputError("--seeds and --latent: give one of them")
        codes = Codes.read(latent, drawing)
        return codes, [f"latent{index:04d}" for index in range(len(codes))], []
    chosen = parse_seeds("0-3" if seeds is None else seeds)
    if len(chosen) > _MOST_FACES:
        raise InputError(f"--seeds: {len(chosen):,} faces at once; at most {_MOST_FACES}")
    return Codes.of_seeds(drawing, chosen), [f"seed{seed:04d}" for seed in chosen], []


def _check_alone(files_only: tuple[object, ...], *, paste: bool) -> None:
    """Raise InputError where the page was asked for together with what only files are made of."""
    if paste or any(value not in (None, ()) for value in files_only):
        raise InputError(
            "--serve: leave out --set, --strip, --photo, --paste, --layers and --video; the page has them"
        )


def _check_sizes(faces: int, steps: int, side: int, video: Path | None, frames: int, fps: int) -> None:
    """Refuse, before anything is drawn, strips and films that are too large."""
    if max(faces * side, (steps + 1) * side) > _MOST_SIDE:
        what = f"{faces} faces in {steps} steps of {side} px"
        raise InputError(f"{what}: more than {_MOST_SIDE:,} px; fewer, or a --size")
    if video is None:
        return
    if video.suffix.lower() not in (".mp4", ".webp"):
        raise InputError(f"{video}: films are written as .mp4 or .webp")
    if not 2 <= frames <= 10_000 or not 1 <= fps <= 240:
        raise InputError(f"--frames {frames} --fps {fps}: 2 to 10,000 frames, 1 to 240 a second")
    if video.suffix.lower() == ".mp4":
        check_film(faces * side, side)


@dataclass(frozen=True)
class _Files:
    """Writes pictures of edited faces into a folder, and keeps account of them."""

    drawing: Drawing
    out: Path
    side: int
    written: list[Path] = field(default_factory=list)

    def _save(self, name: str, pixels: Pixels, mark: Provenance | None = None) -> None:
        save_picture(self.out / name, pixels, mark or self.drawing.mark())
        self.written.append(self.out / name)

    def pairs(self, base: Codes, after: Codes, titles: Sequence[str]) -> None:
        """Each changed face, all beside what they were in pairs.png, and their latents."""
        pairs = []
        for title, old, new in zip(titles, base.draw(self.drawing), after.draw(self.drawing), strict=True):
            self._save(f"{title}-edited.png", sized(new, self.side))
            pairs.append(np.concatenate([sized(old, self.side), sized(new, self.side)], axis=1))
        self._save("pairs.png", np.concatenate(pairs))
        after.save(self.out / "edited.npz")
        self.written.append(self.out / "edited.npz")

    def pasted(self, codes: Codes, faces: Sequence[PhotoFace], titles: Sequence[str]) -> None:
        """Each photo with its changed face."""
        mark = replace(self.drawing.mark(), source_type=SourceType.COMPOSITE)
        for title, face, image in zip(titles, faces, codes.draw(self.drawing), strict=True):
            pixels = paste_face(read_picture(face.path), rgb(image), face.square, face.points)
            self._save(f"{title}-pasted.png", pixels, mark)

    def strips(
        self, codes: Codes, moves: Mapping[str, Tensor], along: Sequence[float], known: Directions
    ) -> None:
        for name, step in moves.items():
            pixels = strip(self.drawing, codes, step, along, self.side, known[name].about.reach)
            self._save(f"strip-{safe_name(name)}.png", pixels)


def _say_beyond(
    known: Directions, edits: Mapping[str, float], named: Sequence[str], reach: float, events: Events
) -> None:
    """Warn of what goes farther than faces stay whole, in a line for edits and one for strips."""
    far = [name for name, amount in edits.items() if known[name].about.beyond(amount)]
    over = [name for name in named if any(known[name].about.beyond(end) for end in (-reach, reach))]
    for names, what in ((far, "what is set goes beyond"), (over, "an amber bar marks what lies beyond")):
        if names:
            reaches = ", ".join(f"{name} {known[name].about.reach_text}" for name in names)
            events.warn(f"faces stay whole from {reaches}; {what}")


def safe_name(name: str) -> str:
    """A direction's name as part of a file's."""
    return "".join(c if c.isalnum() or c in "-_=." else "_" for c in name)[:60].strip(".") or "direction"


def _serve(
    events: Events,
    drawing: Drawing,
    directions: Directions | None,
    out: Path,
    command: Command,
    latents: Codes | None,
    encoder: Path | None,
    steps: int | None,
    *,
    host: str,
    port: int,
) -> None:
    """Serve the slider page until Ctrl-C. latents: faces to begin with. Raises InputError, MienError."""
    try:
        import uvicorn  # noqa: F401

        from mien.latent.editing.web import build_app
    except ImportError as error:
        raise MienError("the slider page needs: pip install 'mien[curate]'") from error
    from mien.latent.editing.work import Works

    out.mkdir(parents=True, exist_ok=True)
    with RunFolder(out).lock(), bound(host, port) as listener:
        editor = Editor(drawing, directions, out, command)
        for problem in editor.problems:
            events.warn(problem)
        if latents is not None:
            for index in range(len(latents)):
                editor.put(f"latent{index:04d}", latents[index : index + 1], saved=True)
        works = Works(editor, encoder=encoder, steps=steps)
        secret = secrets.token_urlsafe(24)
        app = build_app(editor, works, secret=secret, hosts=host_names(host))
        events.note(f"{drawing.loaded.model}, {len(editor.directions)} directions; Ctrl-C ends\n")
        events.note(f"    {address_of(host, listener)}{secret}/\n")
        events.note(f"what you keep is on disk at once: {editor.kept_folder}")
        try:
            serve(app, listener)
        finally:
            works.close()
    kept = len(editor.kept)
    events.note(f"kept {kept} face{'s' * (kept != 1)}")

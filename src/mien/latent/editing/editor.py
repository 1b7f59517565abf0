"""What the slider page works on: faces of a generator, moved along directions, kept in a folder."""

import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, FiniteFloat

from mien.core.errors import InputError
from mien.core.manifest import append_records, merge_records, read_continuation
from mien.core.picture import Pixels
from mien.core.provenance import encode_picture, save_picture
from mien.core.styles import Styled
from mien.generation.drawing import Drawing, sized
from mien.latent.codes import Codes, moved, space_of
from mien.latent.directions.direction import Directions, combined
from mien.latent.strips import amounts, strip

_MOST_AMOUNT = 100.0
_MOST_CACHED = 512  # latents of seeds
_STRIP_SIDE = 128  # pixels of a face in a strip, at least


class Edit(BaseModel, frozen=True, extra="forbid"):
    """A face and how it is changed. face: a seed, or the name of a latent in the folder.

    set: units by direction. layers: first and last of those that move; None: each direction's own.
    """

    face: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9._-]+$")
    set: dict[str, FiniteFloat] = Field({}, max_length=500)
    layers: tuple[int, int] | None = None


@dataclass(frozen=True)
class Command:
    """What the command line needs to draw the same. source: as given, None for the packaged model."""

    source: Path | None = None
    directions: Path | None = None
    trunc: float = 1.0
    label: tuple[str, ...] = ()


class Turns:
    """Who uses the generator: pictures that somebody waits for go before the next step of slow work."""

    def __init__(self) -> None:
        self._network, self._waiting = threading.Lock(), 0
        self._free = threading.Condition()

    @contextmanager
    def now(self) -> Iterator[None]:
        """For a picture."""
        with self._free:
            self._waiting += 1
        try:
            with self._network:
                yield
        finally:
            with self._free:
                self._waiting -= 1
                self._free.notify_all()

    @contextmanager
    def later(self) -> Iterator[None]:
        """For a step of slow work."""
        with self._free:
            self._free.wait_for(lambda: not self._waiting)
        with self._network:
            yield


class Editor:
    """Draws, keeps and names edited faces; safe from several threads.

    The folder `out` gets faces/NAME.npz (latents of photos and of drags), and kept/NNNN.png with NNNN.npz and
    a line in a manifest, so that what is kept is a dataset as well.
    """

    def __init__(
        self, drawing: Drawing, directions: Directions | None, out: Path, command: Command | None = None
    ) -> None:
        self.drawing, self.out, self.turns = drawing, out, Turns()
        self.faces_folder, self.kept_folder = out / "faces", out / "kept"
        self.directions = directions or Directions((), space_of(drawing))
        self._command = command or Command()
        self._lock = threading.RLock()
        self._seeds: dict[str, Codes] = {}
        self._named: dict[str, Codes] = {}
        self.problems: list[str] = []  # of latents in the folder that do not fit
        for path in sorted(self.faces_folder.glob("*.npz")):
            try:
                self._named[path.stem] = Codes.read(path, drawing)[:1]
            except InputError as error:
                self.problems.append(str(error))
        lines = merge_records(read_continuation(self.kept_folder)) if self.kept_folder.is_dir() else ()
        self._kept: list[dict[str, Any]] = [dict(one) for one in lines if "edit" in one]

    @property
    def num_layers(self) -> int:
        """Rows of a latent; 0 of a generator without w."""
        network = self.drawing.loaded.network
        return network.num_ws if isinstance(network, Styled) else 0

    # ---- faces

    @property
    def names(self) -> list[str]:
        """Of the latents that are no seeds, in the order in which they came."""
        with self._lock:
            return list(self._named)

    def fresh_name(self, proposed: str) -> str:
        """`proposed`, or with a number where that is taken; it is taken from now on."""
        stem = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in proposed)[:60]
        with self._lock:
            name, number = stem, 1
            while name in self._named or name.isdigit():
                number += 1
                name = f"{stem}-{number}"
            return name

    def put(self, name: str, codes: Codes, *, saved: bool) -> None:
        """Have a latent under a name. saved: on disk too, whole when this returns."""
        if saved:
            codes.save(self.faces_folder / f"{name}.npz")
        with self._lock:
            self._named[name] = codes

    def codes_of(self, face: str) -> Codes:
        """The latent of a seed or name. Raises InputError."""
        with self._lock:
            if face in self._named:
                return self._named[face]
            if not face.isdigit() or int(face) >= 1 << 32:
                raise InputError(f"there is no face {face!r} here any more")
            if face not in self._seeds:
                while len(self._seeds) >= _MOST_CACHED:
                    self._seeds.pop(next(iter(self._seeds)))
                self._seeds[face] = Codes.of_seeds(self.drawing, [int(face)])
            return self._seeds[face]

    # ---- pictures

    def edited(self, edit: Edit) -> Codes:
        """The latent of an edit. Raises InputError for a face, direction or layer that is not there."""
        codes = self.codes_of(edit.face)
        amounts = {name: amount for name, amount in edit.set.items() if amount}
        if any(abs(amount) > _MOST_AMOUNT for amount in amounts.values()):
            raise InputError(f"an amount beyond {_MOST_AMOUNT:g}")
        if not amounts:
            return codes
        return moved(self.drawing, codes, combined(self.directions, amounts, self._layers(edit)))

    def _layers(self, edit: Edit) -> tuple[int, ...] | None:
        if edit.layers is None:
            return None
        first, last = edit.layers
        if not 0 <= first <= last < self.num_layers:
            raise InputError(f"layers {first}-{last}: this model has {self.num_layers}")
        return tuple(range(first, last + 1))

    def pixels(self, edit: Edit) -> Pixels:
        """uint8 [S, S, 3] of an edit."""
        with self.turns.now():
            return sized(self.edited(edit).draw(self.drawing)[0], self.drawing.resolution)

    def picture(self, edit: Edit) -> bytes:
        """A PNG of an edit, with its mark."""
        return encode_picture(self.pixels(edit), ".png", self.drawing.mark())

    def strip(self, edit: Edit, name: str) -> bytes:
        """A PNG: the edited face from three units less of a direction to three more."""
        side = max(self.drawing.resolution, _STRIP_SIDE)
        step = combined(self.directions, {name: 1.0}, self._layers(edit))
        with self.turns.now():
            reach = self.directions[name].about.reach
            pixels = strip(self.drawing, self.edited(edit), step, amounts(7), side, reach)
        return encode_picture(pixels, ".png", self.drawing.mark())

    # ---- keeping

    @property
    def kept(self) -> list[dict[str, Any]]:
        """What is kept: records with "file", "edit" and "command", oldest first."""
        with self._lock:
            return [one for one in self._kept if one.get("verdict") == "kept"]

    @property
    def revision(self) -> int:
        """Grows with everything that is kept or given up."""
        with self._lock:
            return 2 * len(self._kept) - len(self.kept)

    def keep(self, edit: Edit) -> dict[str, Any]:
        """Keep a face: picture, latent and a line of the manifest are on disk when this returns."""
        codes, pixels = self.edited(edit), self.pixels(edit)
        with self._lock:
            stems = (path.stem for path in self.kept_folder.glob("[0-9]*.*"))
            stem = f"{max((int(stem) for stem in stems if stem.isdigit()), default=0) + 1:04d}"
            save_picture(self.kept_folder / f"{stem}.png", pixels, self.drawing.mark())
            codes.save(self.kept_folder / f"{stem}.npz")
            record = {
                "file": f"{stem}.png",
                "verdict": "kept",
                "edit": edit.model_dump(mode="json"),
                "command": self.command(edit),
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            append_records(self.kept_folder, [record])
            self._kept.append(record)
            return record

    def give_up(self, file: str) -> None:
        """Keep it no longer; its picture stays on disk, and the manifest says that it is dropped."""
        with self._lock:
            record = next((one for one in self._kept if one["file"] == file), None)
            if record is None:
                raise InputError(f"{file[:60]}: was not kept")
            if record["verdict"] == "kept":
                append_records(self.kept_folder, [{"file": file, "verdict": "dropped", "reason": "edited"}])
                record["verdict"] = "dropped"

    def command(self, edit: Edit) -> str:
        """The command line that draws the same picture."""
        given, seeds = self._command, edit.face not in self._named
        amounts = {name: amount for name, amount in edit.set.items() if amount}
        words = ["mien", "edit" if amounts or not seeds else "generate"]
        words += [str(given.source)] if given.source is not None else []
        latent = str(self.faces_folder / f"{edit.face}.npz")
        words += ["--seeds", edit.face] if seeds else ["--latent", latent]
        if amounts:
            words += ["--directions", str(given.directions)] if given.directions is not None else []
            words += [word for name, amount in amounts.items() for word in ("--set", f"{name}={amount:g}")]
            words += ["--layers", "{}-{}".format(*edit.layers)] if edit.layers is not None else []
        words += ["--trunc", f"{given.trunc:g}"] if given.trunc != 1 else []
        words += [word for label in given.label for word in ("--label", label)]
        return shlex.join([*words, "--out", "edited"])

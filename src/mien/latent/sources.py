"""Latents as users name them: seeds, files of latents, photos; several with commas."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mien.core.errors import InputError
from mien.core.events import Events
from mien.core.seeds import parse_seeds
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.projection.encoder import packaged_encoder
from mien.latent.projection.find import Finder
from mien.latent.projection.options import ProjectOptions
from mien.latent.projection.projector import Saved
from mien.latent.projection.targets import PhotoFace, collect_faces, targets_of_photos

_SEEDS = re.compile(r"[0-9]{1,20}(-[0-9]{1,20})?")
_STEPS = 200  # of a photo without an encoder: LPIPS is then within a tenth of where 1,000 steps end


@dataclass(frozen=True)
class Named:
    """Latents with a name each, fit for a file: "seed0003", "holiday"."""

    codes: Codes
    names: tuple[str, ...]

    def __getitem__(self, some: slice) -> "Named":
        return Named(self.codes[some], self.names[some])


def read_sources(
    text: str,
    drawing: Drawing,
    events: Events,
    *,
    face: str = "largest",
    encoder: Path | None = None,
    steps: int | None = None,
) -> Named:
    """The latents that `text` names: "0-3,me.jpg,out/me/projected_w.npz", in that order.

    Photos are projected, from an encoder's guess where there is one. Raises InputError, naming the part that
    is neither seeds nor a file, a photo without a face, latents of another model. face: which of a photo.
    """
    parts = [text] if text and Path(text).is_file() else [part.strip() for part in text.split(",")]
    photos = [part for part in parts if not _is_seeds(part) and not _is_latents(part)]
    for name in photos:
        if not Path(name).is_file():
            raise InputError(f"{name!r} is neither a seed like 0-3 nor a file of latents or a photo")
    faces = [collect_faces([Path(name)], drawing.resolution, events, face) for name in photos]
    counts = iter(len(some) for some in faces)
    left = project_faces(list(chain(*faces)), drawing, events, encoder, steps) if faces else None
    codes: list[Codes] = []
    names: list[str] = []
    for part in parts:
        if _is_seeds(part):
            seeds = parse_seeds(part)
            named = Named(Codes.of_seeds(drawing, seeds), tuple(f"seed{seed:04d}" for seed in seeds))
        elif _is_latents(part):
            named = _of_file(Path(part), drawing)
        else:
            assert left is not None
            count = next(counts)
            named, left = left[:count], left[count:]
        codes.append(named.codes)
        names += named.names
    return Named(Codes.join(codes), tuple(names))


def _is_seeds(part: str) -> bool:
    return part.startswith("@") or bool(_SEEDS.fullmatch(part))


def _is_latents(part: str) -> bool:
    return Path(part).suffix.lower() in (".npz", ".npy")


def _of_file(path: Path, drawing: Drawing) -> Named:
    codes = Codes.read(path, drawing)
    folder = path.parent.name if path.stem.startswith("projected_") else path.stem
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", folder).strip("-.") or "latent"
    return Named(codes, (stem,) if len(codes) == 1 else tuple(f"{stem}-{at}" for at in range(len(codes))))


def photo_options(
    drawing: Drawing, encoder: Path | None, steps: int | None, candidates: int = 256
) -> ProjectOptions:
    """How a photo is projected: from an encoder's guess, of the packaged one where there is no other."""
    encoder = encoder or packaged_encoder(drawing.loaded)
    steps = steps or (None if encoder else _STEPS)
    return ProjectOptions(encoder=encoder, steps=steps, candidates=candidates, label=drawing.label)


def project_faces(
    faces: Sequence[PhotoFace], drawing: Drawing, events: Events, encoder: Path | None, steps: int | None
) -> Named:
    """The latents of faces cut out of photos."""
    targets = targets_of_photos(faces, drawing.loaded.header.spec.channels)
    finder = Finder(drawing, photo_options(drawing, encoder, steps), events)
    codes = finder.codes(finder.find(targets, Saved(None, "")))
    return Named(codes, tuple(target.name for target in targets))

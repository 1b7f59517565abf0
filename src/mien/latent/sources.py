"""Latents as users name them: seeds, files of latents, photos; several with commas."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from mien.core.errors import InputError
from mien.core.events import Events
from mien.core.seeds import parse_seeds
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes, space_of
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
    projected = iter(_projected(photos, drawing, events, face, encoder, steps))

    def named(part: str) -> Named:
        if _is_seeds(part):
            seeds = parse_seeds(part)
            return Named(Codes.of_seeds(drawing, seeds), tuple(f"seed{seed:04d}" for seed in seeds))
        return _of_file(part, drawing) if _is_latents(part) else next(projected)

    parts_read = [named(part) for part in parts]
    return Named(
        Codes.join([one.codes for one in parts_read]), tuple(name for one in parts_read for name in one.names)
    )


def _is_seeds(part: str) -> bool:
    return part.startswith("@") or bool(_SEEDS.fullmatch(part))


def _is_latents(part: str) -> bool:
    return Path(part).suffix.lower() in (".npz", ".npy")


def _of_file(part: str, drawing: Drawing) -> Named:
    path = Path(part)
    codes = Codes.read(path, drawing)
    folder = path.parent.name if path.stem.startswith("projected_") else path.stem
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", folder).strip("-.") or "latent"
    names = (stem,) if len(codes) == 1 else tuple(f"{stem}-{index}" for index in range(len(codes)))
    return Named(codes, names)


def _projected(
    photos: Sequence[str],
    drawing: Drawing,
    events: Events,
    face: str,
    encoder: Path | None,
    steps: int | None,
) -> list[Named]:
    """Each photo's faces, found in W+ (in z where there is no w)."""
    if not photos:
        return []
    for name in photos:
        if not Path(name).is_file():
            raise InputError(f"{name!r} is neither a seed like 0-3 nor a file of latents or a photo")
    size = drawing.resolution
    faces = [collect_faces([Path(name)], size, events, face) for name in photos]
    projected = project_faces([one for some in faces for one in some], drawing, events, encoder, steps)
    ends = list(accumulate(map(len, faces), initial=0))
    return [Named(projected.codes[start:end], projected.names[start:end]) for start, end in pairwise(ends)]


def project_faces(
    faces: Sequence[PhotoFace], drawing: Drawing, events: Events, encoder: Path | None, steps: int | None
) -> Named:
    """The latents of faces cut out of photos."""
    encoder = encoder or packaged_encoder(drawing.loaded)
    options = ProjectOptions(
        encoder=encoder, steps=steps or (None if encoder else _STEPS), label=drawing.label
    )
    targets = targets_of_photos(faces, drawing.loaded.header.spec.channels)
    finder = Finder(drawing, options, events)
    codes = finder.codes(finder.find(targets, Saved(None, "")))
    assert codes.space == space_of(drawing)
    return Named(codes, tuple(target.name for target in targets))

"""What a projection leaves behind: scores, and files in a folder for each face."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien import TOOL
from mien.core.atomic import write_bytes
from mien.core.events import Events
from mien.core.image import to_float, to_hwc, to_uint8
from mien.core.packed import encode_png
from mien.core.picture import read_picture
from mien.core.provenance import Provenance, SourceType, save_picture
from mien.core.styles import Styled, mean_latent, tied_rows
from mien.faces.identity import SAME_PERSON, IdentityNetwork
from mien.generation.drawing import Drawing, rgb, sized
from mien.latent.codes import Codes, write_arrays
from mien.latent.film import write_film
from mien.latent.projection.objective import enlarged, lpips_distances
from mien.latent.projection.paste import paste_face
from mien.latent.projection.projector import Projected
from mien.latent.projection.targets import Target, face_masks
from mien.nn.lpips import Lpips

_FILM_SIDE, _FPS = 256, 24


@dataclass(frozen=True)
class ProjectionScores:
    """How near a projection is. lpips: through VGG16. error: mean absolute difference, of the range.

    error_inside, error_outside: of the face's outline and beyond it. identity: distance of the two faces,
    under .5 for one person. w_cosine: between the latent found and the true one, both from the mean, over
    the rows of w; w_cosine_raw: from the origin. None: not known.
    """

    lpips: float | None
    error: float
    error_inside: float | None
    error_outside: float | None
    identity: float | None
    w_cosine: float | None
    w_cosine_raw: float | None


@dataclass(frozen=True)
class Projection:
    """One target and what was found. codes: its latent alone. image: uint8 [C, S, S], what that draws.

    label: what the labels found say, in words. pasted: where the photo with the new face was written.
    """

    target: Target
    codes: Codes
    image: Tensor
    scores: ProjectionScores
    label: str = ""
    pasted: Path | None = None


def measured(
    targets: Sequence[Target],
    images: Tensor,
    values: Tensor,
    network: Any,
    *,
    lpips: Lpips | None,
    identity: IdentityNetwork | None,
) -> list[ProjectionScores]:
    """Scores of images uint8 [N, C, S, S] that latents [N, ...] draw, each against its target."""
    originals = torch.stack([target.image for target in targets])
    nothing: list[float | None] = [None] * len(targets)
    far = nothing if lpips is None else lpips_distances(lpips, to_float(images), to_float(originals))
    who = nothing
    if identity is not None:
        one, two = (identity.features(to_uint8(enlarged(to_float(x)))) for x in (images, originals))
        who = [float(value) for value in np.linalg.norm(one - two, axis=1)]
    difference = (images.float() - originals.float()).abs().mean(dim=1, keepdim=True) / 255
    masks = face_masks(targets)
    mean = _mean_of(targets, network)
    return [
        ProjectionScores(
            far[i],
            float(difference[i].mean()),
            *_split(target, difference[i], masks[i]),
            who[i],
            *_cosines(target.latent, values[i], mean, network),
        )
        for i, target in enumerate(targets)
    ]


def _split(target: Target, difference: Tensor, mask: Tensor) -> tuple[float | None, float | None]:
    """The mean error inside the face's outline and outside."""
    if target.points is None:
        return None, None
    inside, outside = (float((difference * m).sum() / m.sum().clamp(min=1e-6)) for m in (mask, 1 - mask))
    return inside, outside


def _mean_of(targets: Sequence[Target], network: Any) -> Tensor:
    """The mean latent, where there are true latents to compare with it."""
    known = any(target.latent is not None for target in targets)
    if not known or not isinstance(network, Styled):
        return torch.zeros(())
    width = network.spec.label_dim
    return mean_latent(network, torch.eye(width) if width else None)[0]


def _cosines(
    true: Tensor | None, value: Tensor, mean: Tensor, network: Any
) -> tuple[float | None, float | None]:
    """Of the two latents from the mean and from the origin; of ws over the rows that are w."""
    if true is None:
        return None, None
    if isinstance(network, Styled):
        rows = list(tied_rows(network)[-1])
        true, value, mean = true[rows], value[rows], mean[rows]
    one, two = (
        float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0))
        for a, b in ((value - mean, true - mean), (value, true))
    )
    return one, two


class Writer:
    """Writes the files of projections under a folder."""

    def __init__(self, out: Path, drawing: Drawing, events: Events) -> None:
        self._out, self._drawing, self._events = out, drawing, events

    def folder(self, target: Target) -> Path:
        """Of one target."""
        return self._out / target.name

    def write(
        self, projection: Projection, projected: Projected, index: int, *, every: int, video: bool
    ) -> None:
        """target.png, proj.png, projected_w.npz (or _z), and on request the latents on the way and a film."""
        folder = self.folder(projection.target)
        self._write_target(folder / "target.png", projection.target)
        save_picture(folder / "proj.png", to_hwc(projection.image), self._drawing.mark())
        space = projection.codes.space
        projection.codes.save(folder / f"projected_{space}.npz")
        if projected.noise:
            maps = {
                name.removeprefix("noise:"): value[index].numpy() for name, value in projected.noise.items()
            }
            write_arrays(folder / "noise_maps.npz", maps)
        on_way = [(step, projected.traces[step][index]) for step in sorted(projected.traces)]
        if every and (kept := [(step, latent) for step, latent in on_way if step % every == 0]):
            codes = replace(projection.codes, values=torch.stack([latent for _, latent in kept]), labels=None)
            steps = np.array([step for step, _ in kept])
            write_arrays(folder / f"steps_{space}.npz", codes.arrays() | {"step": steps})
        if video:
            self._write_film(folder / "projection.mp4", projection, [latent for _, latent in on_way])

    def write_all(self, codes: Codes, targets: Sequence[Target]) -> None:
        """latents.npz: all of them, and in "names" the photo (or seed) that each belongs to."""
        names = [target.name if target.photo is None else str(target.photo.path) for target in targets]
        write_arrays(self._out / "latents.npz", codes.arrays() | {"names": np.array(names)})

    def _write_target(self, path: Path, target: Target) -> None:
        if target.photo is None:
            save_picture(path, target.pixels, self._drawing.mark())
        else:
            write_bytes(path, encode_png(target.pixels))

    def _write_film(self, path: Path, projection: Projection, latents: Sequence[Tensor]) -> None:
        """Target and projection side by side, step by step."""
        if not latents:
            return
        codes = replace(projection.codes, values=torch.stack(list(latents)), labels=None)
        drawn = [*codes.draw(self._drawing), projection.image]
        left = sized(projection.target.image, _FILM_SIDE)
        pictures = (np.concatenate([left, sized(one, _FILM_SIDE)], axis=1) for one in drawn)
        mark = self._drawing.mark()
        if projection.target.photo is not None:
            mark = dataclasses.replace(mark, source_type=SourceType.COMPOSITE)
        write_film(path, pictures, mark, fps=_FPS)

    def paste(self, projection: Projection) -> Projection:
        """Put the face back into its photo, as pasted.png."""
        photo = projection.target.photo
        assert photo is not None
        path = self.folder(projection.target) / "pasted.png"
        pixels = paste_face(read_picture(photo.path), rgb(projection.image), photo.square, photo.points)
        save_picture(path, pixels, Provenance(self._drawing.loaded.model, None, TOOL, SourceType.COMPOSITE))
        return replace(projection, pasted=path)


def as_record(projection: Projection) -> dict[str, Any]:
    """What the JSON says of one face."""
    target = projection.target
    record: dict[str, Any] = {"name": target.name, "source": target.source}
    record |= dataclasses.asdict(projection.scores)
    if target.photo is not None:
        square = target.photo.square
        record |= {"square": {"centre": square.centre, "across": square.across}}
        record |= {"faces_in_photo": target.photo.count}
    if projection.label:
        record["label"] = projection.label
    return record


def summary(projections: Sequence[Projection]) -> Mapping[str, float]:
    """Medians over all faces, and the share of those recognised as the same person."""
    medians: dict[str, float] = {}
    for name in ("lpips", "error", "error_inside", "error_outside", "identity", "w_cosine", "w_cosine_raw"):
        values = [v for p in projections if (v := getattr(p.scores, name)) is not None]
        if values:
            medians[name] = float(np.median(values))
    who = [p.scores.identity for p in projections if p.scores.identity is not None]
    if who:
        medians["same_person"] = float(np.mean(np.array(who) < SAME_PERSON))
    return medians

"""What a projection leaves behind: scores, files in a folder for each face, a page and a JSON file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from mien import TOOL
from mien.core.atomic import write_bytes, write_text
from mien.core.events import Events
from mien.core.image import resize, to_float, to_hwc, to_uint8
from mien.core.packed import encode_png
from mien.core.picture import Pixels, read_picture
from mien.core.provenance import SourceType, save_picture
from mien.core.styles import Styled, mean_latent, tied_rows
from mien.faces.identity import SAME_PERSON, IdentityNetwork
from mien.generation.drawing import Drawing, rgb, sized
from mien.latent.codes import Codes, write_arrays
from mien.latent.film import write_film
from mien.latent.projection.objective import enlarged, lpips_distances
from mien.latent.projection.options import ProjectOptions
from mien.latent.projection.paste import paste_face
from mien.latent.projection.projector import Projected
from mien.latent.projection.targets import Target, face_masks
from mien.nn.lpips import Lpips
from mien.reports.inline_images import Shown, show_image
from mien.reports.page import write_html

_FILM_SIDE, _FPS = 256, 24
_SHOWN = 100  # faces on the page
_SIDE, _PASTED_SIDE = 256, 480
_ERROR_FULL = 64  # difference, of 255, that is drawn brightest
_LABELS = {
    "lpips": "LPIPS (VGG16)",
    "error": "mean error",
    "error_inside": "error in the face",
    "error_outside": "error outside",
    "identity": "identity distance",
    "w_cosine": "cosine of w, from the mean",
    "w_cosine_raw": "cosine of w",
}


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
    masks, mean = face_masks(targets), torch.zeros(())
    if isinstance(network, Styled) and any(target.latent is not None for target in targets):
        width = network.spec.label_dim
        mean = mean_latent(network, torch.eye(width) if width else None)[0]
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
        self._composite = replace(drawing.mark(), source_type=SourceType.COMPOSITE)

    def write(
        self, projection: Projection, projected: Projected, index: int, *, every: int, video: bool
    ) -> None:
        """target.png, proj.png, projected_w.npz (or _z), and on request the latents on the way and a film."""
        target, folder = projection.target, self._out / projection.target.name
        if target.photo is None:
            save_picture(folder / "target.png", target.pixels, self._drawing.mark())
        else:
            write_bytes(folder / "target.png", encode_png(target.pixels))
        save_picture(folder / "proj.png", to_hwc(projection.image), self._drawing.mark())
        space = projection.codes.space
        projection.codes.save(folder / f"projected_{space}.npz")
        if projected.noise:
            maps = {name.removeprefix("noise:"): one[index].numpy() for name, one in projected.noise.items()}
            write_arrays(folder / "noise_maps.npz", maps)
        on_way = [(step, projected.traces[step][index]) for step in sorted(projected.traces)]
        if every and (kept := [(step, latent) for step, latent in on_way if step % every == 0]):
            codes = replace(projection.codes, values=torch.stack([latent for _, latent in kept]), labels=None)
            steps = np.array([step for step, _ in kept])
            write_arrays(folder / f"steps_{space}.npz", codes.arrays() | {"step": steps})
        if video and on_way:
            self._write_film(folder / "projection.mp4", projection, [latent for _, latent in on_way])

    def write_all(self, codes: Codes, targets: Sequence[Target]) -> None:
        """latents.npz: all of them, and in "names" the photo (or seed) that each belongs to."""
        names = [target.name if target.photo is None else str(target.photo.path) for target in targets]
        write_arrays(self._out / "latents.npz", codes.arrays() | {"names": np.array(names)})

    def _write_film(self, path: Path, projection: Projection, latents: Sequence[Tensor]) -> None:
        """Target and projection side by side, step by step."""
        codes = replace(projection.codes, values=torch.stack(list(latents)), labels=None)
        drawn = [*codes.draw(self._drawing), projection.image]
        left = sized(projection.target.image, _FILM_SIDE)
        pictures = (np.concatenate([left, sized(one, _FILM_SIDE)], axis=1) for one in drawn)
        mark = self._drawing.mark() if projection.target.photo is None else self._composite
        write_film(path, pictures, mark, fps=_FPS)

    def paste(self, projection: Projection) -> Projection:
        """Put the face back into its photo, as pasted.png."""
        photo = projection.target.photo
        assert photo is not None
        path = self._out / projection.target.name / "pasted.png"
        pixels = paste_face(read_picture(photo.path), rgb(projection.image), photo.square, photo.points)
        save_picture(path, pixels, self._composite)
        return replace(projection, pasted=path)


def as_record(projection: Projection) -> dict[str, Any]:
    """What the JSON says of one face."""
    target, scores = projection.target, asdict(projection.scores)
    record: dict[str, Any] = {"name": target.name, "source": target.source} | scores
    if target.photo is not None:
        record |= {"square": asdict(target.photo.square), "faces_in_photo": target.photo.count}
    if projection.label:
        record["label"] = projection.label
    return record


def summary(projections: Sequence[Projection]) -> Mapping[str, float]:
    """Medians over all faces, and the share of those recognised as the same person."""
    medians: dict[str, float] = {}
    for score in fields(ProjectionScores):
        values = [v for p in projections if (v := getattr(p.scores, score.name)) is not None]
        if values:
            medians[score.name] = float(np.median(values))
    who = [p.scores.identity for p in projections if p.scores.identity is not None]
    if who:
        medians["same_person"] = float(np.mean(np.array(who) < SAME_PERSON))
    return medians


def write_projection(
    out: Path, projections: Sequence[Projection], options: ProjectOptions, about: Mapping[str, str]
) -> Path:
    """Write report.html and projection.json; the path of the page. about: facts, with "model" and "title"."""
    scores = summary(projections)
    record = {
        "tool": TOOL,
        **about,
        "options": options.model_dump(mode="json"),
        "summary": scores,
        "faces": [as_record(projection) for projection in projections],
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(out / "projection.json", text + "\n")
    what = "One face" if len(projections) == 1 else f"{len(projections)} faces"
    context = {
        "title": about["title"],
        "model": about["model"],
        "lead": f"{what} projected into {about['space']} of {about['model']}.",
        "verdict": list(_verdict(scores)),
        "facts": [(key, value) for key, value in about.items() if key not in ("title", "model")],
        "faces": [_face(projection) for projection in projections[:_SHOWN]],
        "num_hidden": max(0, len(projections) - _SHOWN),
        "options": json.dumps(options.model_dump(mode="json"), indent=2, ensure_ascii=False),
    }
    page = out / "report.html"
    write_html(page, "projection.html.j2", context, styles=("report.css", "projection.css"))
    return page


def _verdict(scores: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Sentences with a tone: "good", "doubt" or "plain"."""
    if "lpips" in scores:
        yield "plain", f"Median LPIPS (VGG16) to the originals: {scores['lpips']:.3f}."
    if "same_person" in scores:
        share, who = scores["same_person"], f"median distance {scores['identity']:.2f}"
        how = f"the same person (identity distance under {SAME_PERSON:g})"
        yield "good" if share >= 0.5 else "doubt", f"Recognised as {how}: {share:.0%}; {who}."
    if "w_cosine" in scores:
        yield "plain", f"Median cosine between the w found and the true one: {scores['w_cosine']:.2f}."


def _face(projection: Projection) -> dict[str, Any]:
    target, scores = projection.target, projection.scores
    before, after = rgb(target.image), rgb(projection.image)
    made = SourceType.TRAINED
    known = {text: getattr(scores, name) for name, text in _LABELS.items()}
    numbers = [(text, f"{value:.3f}") for text, value in known.items() if value is not None]
    pasted = None
    if projection.pasted is not None:
        photo = _bounded(read_picture(projection.pasted), _PASTED_SIDE)
        alt = f"{target.source} with its projected face"
        pasted = show_image(photo, alt, made=SourceType.COMPOSITE)
    return {
        "source": target.source,
        "before": _shown(before, f"{target.source}, before", made if target.photo is None else None),
        "after": _shown(after, f"{target.source}, projected", made),
        "error": _shown(error_map(before, after), f"{target.source}, difference of the two", made),
        "figures": [*numbers, *([("label", projection.label)] if projection.label else [])],
        "pasted": pasted,
    }


def error_map(before: Pixels, after: Pixels) -> Pixels:
    """The mean absolute difference of uint8 [H, W, 3] images as colours, dark for none."""
    difference = np.abs(before.astype(np.int16) - after).mean(axis=2)
    level = np.clip(difference * (255 / _ERROR_FULL), 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)[..., ::-1])


def _shown(image: Pixels, alt: str, made: SourceType | None) -> Shown:
    if image.shape[0] < _SIDE:  # whole pixels, so that nothing is smoothed over
        times = _SIDE // image.shape[0]
        image = image.repeat(times, axis=0).repeat(times, axis=1)
    elif image.shape[0] > _SIDE:
        image = resize(image, _SIDE)
    return show_image(image, alt, made=made)


def _bounded(image: Pixels, side: int) -> Pixels:
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    shape = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA))

"""The report of a projection: one HTML page and one JSON file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mien import TOOL
from mien.core.atomic import write_text
from mien.core.image import resize
from mien.core.picture import Pixels, read_picture
from mien.core.provenance import SourceType
from mien.faces.identity import SAME_PERSON
from mien.generation.drawing import rgb
from mien.latent.projection.options import ProjectOptions
from mien.latent.projection.results import Projection, as_record, summary
from mien.reports.inline_images import Shown, show_strip
from mien.reports.page import write_html

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
    write_text(
        out / "projection.json", json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    )
    what = "One face" if len(projections) == 1 else f"{len(projections)} faces"
    context = {
        "title": about["title"],
        "model": about["model"],
        "lead": f"{what} projected into {about.get('space', 'the latent space')} of {about['model']}.",
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
        share = scores["same_person"]
        tone = "good" if share >= 0.5 else "doubt"
        yield (
            tone,
            f"Recognised as the same person (identity distance under {SAME_PERSON:g}): {share:.0%};"
            f" median distance {scores['identity']:.2f}.",
        )
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
        pasted = _strip(photo, f"{target.source} with its projected face", SourceType.COMPOSITE)
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


def _strip(image: Pixels, alt: str, made: SourceType | None) -> Shown:
    return show_strip(np.ascontiguousarray(image.transpose(2, 0, 1))[np.newaxis], alt, made=made)


def _shown(image: Pixels, alt: str, made: SourceType | None) -> Shown:
    if image.shape[0] < _SIDE:  # whole pixels, so that nothing is smoothed over
        image = image.repeat(max(1, _SIDE // image.shape[0]), axis=0).repeat(
            max(1, _SIDE // image.shape[1]), axis=1
        )
    elif image.shape[0] > _SIDE:
        image = resize(image, _SIDE)
    return _strip(image, alt, made)


def _bounded(image: Pixels, side: int) -> Pixels:
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    shape = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA))

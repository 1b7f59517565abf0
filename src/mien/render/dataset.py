"""Rendered heads as a packed dataset with every label in its manifest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import TOOL
from mien.core.errors import InputError
from mien.core.packed import PackWriter
from mien.core.provenance import Provenance, SourceType, encode_picture
from mien.render.heads import RENDER_VERSION, check_size
from mien.render.labels import ATTRIBUTES, label_vector
from mien.render.people import Job, person_id, render_jobs, render_people

__all__ = ["ATTRIBUTES", "PAIRS", "RENDER_VERSION", "render_people", "write_dataset"]

PAIRS = ("front-profile", "neutral-smile")
LICENCE = "CC0-1.0"  # made by us, of nobody
_SMILE = ((6, 2.5), (12, 4.0))


def _pair_jobs(number: int, pairs: str) -> list[tuple[Job, dict[str, Any]]]:
    """The two pictures of one person; everything else of the shot is the same."""
    if pairs == "front-profile":
        roles = {"front": Job(number, number, yaw=0.0), "profile": Job(number, number, yaw=90.0)}
    else:
        roles = {
            "neutral": Job(number, number, yaw=0.0, units=()),
            "smile": Job(number, number, yaw=0.0, units=_SMILE),
        }
    return [(job, {"pair": number, "role": role}) for role, job in roles.items()]


def plan(count: int, seed: int, pairs: str | None, eyes: bool) -> list[tuple[Job, dict[str, Any]]]:
    """What to render: one picture of each of `count` people; two with `pairs`, two eyes with `eyes`."""
    numbers = [person_id(seed, k) for k in range(count)]
    if pairs is not None:
        return [item for number in numbers for item in _pair_jobs(number, pairs)]
    if eyes:
        return [(Job(n, n, eye=side), {"role": f"eye-{side}"}) for n in numbers for side in ("left", "right")]
    return [(Job(n, n), {}) for n in numbers]


def _check(count: int, size: int, pairs: str | None, eyes: bool) -> None:
    check_size(size)
    if count < 1:
        raise InputError(f"cannot render {count} people: ask for at least 1")
    if pairs is not None and pairs not in PAIRS:
        raise InputError(f"no pairs called {pairs!r}: choose {' or '.join(PAIRS)}")
    if pairs is not None and eyes:
        raise InputError("choose pairs or eyes, not both")


def record_of(labels: dict[str, Any], extra: dict[str, Any], size: int) -> dict[str, Any]:
    """One manifest line: points under `landmarks`, numbers under `measurements`, the rest under `labels`."""
    measured = ("yaw", "pitch", "roll", "gaze_yaw", "gaze_pitch", "age")
    measurements = {name: labels[name] for name in measured} | labels["action_units"]
    rest = {
        k: v
        for k, v in labels.items()
        if k not in (*measured, "action_units", "attributes", "landmarks", "visible")
    }
    hidden = sorted(name for name, seen in labels["visible"].items() if not seen)
    return {
        "source": f"render/{labels['person']}/{labels['shot']}",
        "sha256": None,
        "width": size,
        "height": size,
        "landmarks": labels["landmarks"],
        "measurements": measurements,
        "labels": {**rest, **extra, "hidden": hidden, **labels["attributes"]},
        "licence": LICENCE,
    }


def _encode(image: NDArray[np.uint8], person: int) -> bytes:
    mark = Provenance(
        model=f"mien-render-{RENDER_VERSION}", seed=person, tool=TOOL, source_type=SourceType.ALGORITHMIC
    )
    return encode_picture(np.ascontiguousarray(image.transpose(1, 2, 0)), ".png", mark)


def write_dataset(
    out: Path,
    *,
    count: int,
    size: int,
    seed: int,
    pairs: str | None = None,
    eyes: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render `count` people into a packed dataset; the same call writes the same bytes.

    pairs: "front-profile" or "neutral-smile" writes two consecutive pictures of each person ("pair", "role"
    in the record). eyes: writes the left and the right eye of each person instead of heads. The label of a
    picture is a vector of 0.0 and 1.0, one for each of `labels.ATTRIBUTES` (CelebA's names, in
    `class_names`); action units, pose, gaze, points and person are in the manifest. progress(done, total)
    counts pictures. Raises InputError for a bad count, size or choice; nothing is left behind then.
    """
    _check(count, size, pairs, eyes)
    items = plan(count, seed, pairs, eyes)
    with PackWriter(out, class_names=ATTRIBUTES) as pack:
        rendered = render_jobs([job for job, _ in items], size=size, progress=progress)
        for (image, labels), (_, extra) in zip(rendered, items, strict=True):
            pack.add_png(
                _encode(image, labels["person"]), label_vector(labels), record_of(labels, extra, size)
            )

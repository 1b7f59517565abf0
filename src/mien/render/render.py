"""`mien render`: rendered heads as a packed dataset with every label in its manifest."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mien import TOOL
from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.packed import PackWriter
from mien.core.provenance import Provenance, SourceType, encode_picture
from mien.core.seeds import Seed
from mien.render.heads import RENDER_VERSION, check_size
from mien.render.labels import ATTRIBUTES, label_vector
from mien.render.people import View, person_id, render_views
from mien.render.sitting import MOST, peak_units

PAIRS = ("front-profile", "neutral-smile")
LICENCE = "CC0-1.0"  # made by us, of nobody
_SMILE = ((6, 2.5), (12, 4.0))


@job
def render(
    events: Events,
    out: Path,
    /,
    *,
    count: int = 1000,
    size: int = 64,
    seed: Seed = 0,
    pairs: Literal["front-profile", "neutral-smile"] | None = None,
    eyes: bool = False,
    sitting: int = 0,
) -> Path:
    """Render computer-generated heads into a packed dataset, every label known.

    The same call writes the same bytes. The label of a picture is a vector of 0.0 and 1.0, one for each of
    `labels.ATTRIBUTES` (CelebA's names, in `class_names`); action units, pose, gaze, points and person are in
    the manifest. The pictures of a pair or sitting follow each other, with "role" in their records.
    Raises InputError for a bad count, size or choice; nothing is left behind then.

    Parameters
    ----------
    out
        The zip to write.
    count
        How many people.
    size
        Pixels along a side, a multiple of 8.
    seed
        Another seed gives other people.
    pairs
        Two pictures of each person: front and profile, or neutral and smiling.
    eyes
        Cut out both eyes of each person instead of the head.
    sitting
        So many pictures of each person, as laboratories take them (CK+): from the front, a plain wall, even
        light; the first neutral, the others peaks of expressions whose action units are in the labels.
    """
    _check(count, size, pairs, eyes, sitting)
    planned = plan(count, seed, pairs, eyes, sitting)
    if out.suffix.lower() != ".zip":
        raise InputError(f"{out}: the dataset is written as a zip; give a file name ending in .zip")
    with PackWriter(out, class_names=ATTRIBUTES) as pack:
        views = [view for view, _ in planned]
        rendered = render_views(views, size=size, progress=events.progress("rendering"))
        for (image, labels), (_, extra) in zip(rendered, planned, strict=True):
            pack.add_png(
                _encode(image, labels["person"]), label_vector(labels), record_of(labels, extra, size)
            )
    events.wrote(out, f"{len(planned):,} pictures of {size} px with their labels")
    return out


def _pair_views(number: int, pairs: str) -> list[tuple[View, dict[str, Any]]]:
    """The two pictures of one person; everything else of the shot is the same."""
    if pairs == "front-profile":
        roles = {"front": View(number, number, yaw=0.0), "profile": View(number, number, yaw=90.0)}
    else:
        roles = {
            "neutral": View(number, number, yaw=0.0, units=()),
            "smile": View(number, number, yaw=0.0, units=_SMILE),
        }
    return [(view, {"pair": number, "role": role}) for role, view in roles.items()]


def _sitting_views(number: int, pictures: int) -> list[tuple[View, dict[str, Any]]]:
    """The pictures of one person; the first is neutral."""
    return [
        (
            View(number, number, units=peak_units(number, k) if k else (), sitting=k),
            {"role": "peak" if k else "neutral"},
        )
        for k in range(pictures)
    ]


def plan(
    count: int, seed: int, pairs: str | None, eyes: bool, sitting: int = 0
) -> list[tuple[View, dict[str, Any]]]:
    """What to render: one picture of each of `count` people; two with `pairs`, two eyes with `eyes`."""
    numbers = [person_id(seed, k) for k in range(count)]
    if sitting:
        return [item for number in numbers for item in _sitting_views(number, sitting)]
    if pairs is not None:
        return [item for number in numbers for item in _pair_views(number, pairs)]
    if eyes:
        return [
            (View(n, n, eye=side), {"role": f"eye-{side}"}) for n in numbers for side in ("left", "right")
        ]
    return [(View(n, n), {}) for n in numbers]


def _check(count: int, size: int, pairs: str | None, eyes: bool, sitting: int) -> None:
    check_size(size)
    if count < 1:
        raise InputError(f"cannot render {count} people: ask for at least 1")
    if pairs is not None and pairs not in PAIRS:
        raise InputError(f"no pairs called {pairs!r}: choose {' or '.join(PAIRS)}")
    if sitting != 0 and not 2 <= sitting <= MOST:
        raise InputError(f"--sitting {sitting}: 2 to {MOST} pictures of each person, the first neutral")
    if (pairs is not None) + eyes + (sitting != 0) > 1:
        raise InputError("choose one of pairs, eyes and sitting, not two")


def record_of(labels: dict[str, Any], extra: dict[str, Any], size: int) -> dict[str, Any]:
    """One manifest line: points under `landmarks`, numbers under `measurements`, the rest under `labels`."""
    measured = ("yaw", "pitch", "roll", "gaze_yaw", "gaze_pitch", "age")
    measurements = {name: labels[name] for name in measured} | labels["action_units"]
    rest = {
        k: v
        for k, v in labels.items()
        if k not in (*measured, "action_units", "attributes", "landmarks", "visible")
    }
    hidden = sorted(name for name, visible in labels["visible"].items() if not visible)
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

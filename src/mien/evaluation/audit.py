"""`mien audit`: may this model be released, or does it repeat its training images?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from torch import Tensor

from mien.core import artefacts
from mien.core.atomic import write_text
from mien.core.errors import InputError, want_folder
from mien.core.events import Events, Tick, Tone, job
from mien.core.image import evenly_spaced, to_uint8
from mien.core.provenance import SourceType
from mien.core.score import Interval
from mien.core.seeds import Seed
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.evaluation.copies import WAYS, Gallery, Nearest, Planted, planted
from mien.evaluation.image_sets import (
    DatasetReals,
    Model,
    check_alike,
    choice,
    data_of,
    open_fakes,
    pictures,
)
from mien.evaluation.verdict import Audit, judged, shown
from mien.labels.columns import text_of
from mien.nn.lpips import ARTEFACT
from mien.reports.charts import interval_chart
from mien.reports.inline_images import Samples, show_sample, show_strip
from mien.reports.page import write_html
from mien.training.settings import pick_device

_SAME = 0.02  # distance of a hold-out image that is in the training set
_MOST_TRAIN, _MOST_UNSEEN, _MOST_STAND_IN = 20_000, 500, 300
_FEWEST = 8
_PAIRS, _DOTS = 24, 300  # shown on the page
_WORDS = {
    "release": ("good", "May be released: no sign that it repeats training images."),
    "hold back": ("doubt", "Hold it back: it repeats training images."),
    "undecided": (
        "doubt",
        "Undecided: copies could not have been found, or too few or other pictures were looked at.",
    ),
}
_PLANTED = 50  # training images that are disturbed in each way


@job
def audit(
    events: Events,
    run: str,
    /,
    *,
    data: str | None = None,
    holdout: str | None = None,
    out: Path = Path("audit"),
    count: int = 500,
    seed: Seed = 0,
    trunc: float = 1.0,
    device: str = "auto",
) -> Audit:
    """Say whether a model repeats its training images: may it be released, by which thresholds, how surely.

    Fakes, and people that the model never saw, are compared with the training images: LPIPS after each pair
    was aligned, and who it is. Where fakes lie nearer than unseen people do, the model copies. Planted copies
    (mirrored, JPEG, zoomed, brighter) show what would be found. Writes audit.html, a page of the closest
    pairs, and audit.json. The exit code is 0 for release, 1 for hold back, 3 for undecided. Raises InputError
    where there are too few images.

    Parameters
    ----------
    run
        A run folder, a .safetensors file, "packaged", or pictures: a folder, a zip, an .npy or .npz.
    data
        What it was trained on, as for train; by default what a run says of itself.
    holdout
        Images of people that it was not trained on, drawn alike; without, training images stand in, each
        against the images of all others.
    out
        Folder for the page and the JSON.
    count
        How many fakes are drawn.
    seed
        Seed of the first fake.
    trunc
        Truncation psi from 0 to 1.
    device
        cpu, cuda, mps or auto: where fakes are drawn.
    """
    want_folder(out)
    data = data_of([run], data, events.note)
    for name in (ARTEFACT["alexnet"], "identity"):
        artefacts.obtain(name, announce=events.note)
    place = pick_device(device)
    source = open_fakes(run, place)
    for note in source.notes:
        events.warn(note)
    train, held = open_dataset(data), None if holdout is None else open_dataset(holdout)
    count = count if source.most is None else min(count, source.most)
    check_alike(source.spec, train.spec, run, data)
    if held is not None:
        check_alike(held.spec, train.spec, str(holdout), data)
    _check_counts({"fakes": count, "training images": len(train)}, held)
    drawn = source.batches(DatasetReals(train), count, seed=seed, psi=trunc, device=place)
    fakes = torch.cat(list(drawn))
    events.started("1/3 reads the training images")
    images = images_of(train, _MOST_TRAIN)
    gallery = Gallery(images, progress=events.progress("reading training images"))
    events.started("2/3 compares unseen people and planted copies with them")
    notes = []
    info = source.header.dataset if isinstance(source, Model) else None
    others = ""
    if info is not None and info.content_hash != train.content_hash:
        others = (
            f"{train.name} holds other pictures ({len(train):,}) than the model says it was trained on"
            f" ({info.num_images:,} of {info.name}): what it repeats may lie among those"
        )
    if len(gallery) < len(train):
        notes.append(f"{len(gallery):,} of {len(train):,} training images were compared, a random choice")
    unseen, people = _unseen(gallery, train, images, held, notes, events.progress("comparing the hold-out"))
    at = evenly_spaced(images, _PLANTED)
    copies = {way: Planted(at, gallery.nearest(planted(images[at], way))) for way in (*WAYS, "all")}
    events.started("3/3 compares the fakes with them")
    nearest = gallery.nearest(fakes, progress=events.progress("comparing fakes"))
    among_all = None
    if people is not None:
        progress = events.progress("comparing fakes with both")
        among_all = gallery.with_images(people).nearest(fakes, progress=progress).indexes
    result = judged(
        nearest,
        unseen,
        among_all,
        copies,
        gallery,
        model=str(source.about(count, seed, trunc)["model_id"]),
        data=train,
        hold_out="" if held is None else held.name,
        others=others,
        notes=notes,
    )
    seeds = list(range(seed, seed + count)) if isinstance(source, Model) else None
    write_text(out / "audit.json", result.model_dump_json(indent=1) + "\n")
    lines = (*result.reasons, *result.notes)
    context = {
        "audit": result,
        "verdict": [_WORDS[result.verdict], *(("plain", f"{line}.") for line in lines)],
        "pairs": _pairs(result, fakes, seeds, images, nearest, unseen),
        "chart": _chart({"planted copies": copies["all"].nearest, "fakes": nearest, "unseen people": unseen}),
    }
    write_html(out / "audit.html", "audit.html.j2", context)
    events.send(shown(result))
    for line in lines:
        events.note(line)
    tone: Tone = "strong" if result.verdict == "release" else "warning"
    events.note(f"verdict: {result.verdict}", tone)
    for name in ("audit.html", "audit.json"):
        events.wrote(out / name)
    return result


def images_of(dataset: Dataset, most: int) -> Tensor:
    """At most so many of its images, a fixed random choice: uint8 [N, C, S, S]."""
    chosen = np.sort(choice(len(dataset), min(most, len(dataset))))
    return torch.cat(list(pictures(dataset, chosen)))


def _check_counts(numbers: dict[str, int], held: Dataset | None) -> None:
    for name, number in (numbers | ({} if held is None else {"unseen": len(held)})).items():
        if number < _FEWEST:
            raise InputError(f"an audit needs {_FEWEST} images or more of each; there are {number} {name}")


def _unseen(
    gallery: Gallery, train: Dataset, images: Tensor, held: Dataset | None, notes: list[str], progress: Tick
) -> tuple[Nearest, Tensor | None]:
    """What is nearest to people that the model never saw; without any, to training images themselves.

    For images drawn alike it is the same whether the model saw them: only distances to others count. With the
    hold-out's images, None without one.
    """
    people = None if held is None else images_of(held, _MOST_UNSEEN)
    if people is not None:
        nearest = gallery.nearest(people, progress=progress)
    else:
        notes.append(
            "without a hold-out, training images stand in for unseen people, each against all images of"
            " others (of people that the manifest names); give --holdout where you have one"
        )
        at = choice(len(images), min(_MOST_STAND_IN, len(images)))
        chosen = np.sort(choice(len(train), len(images)))
        names = np.array([text_of(train.records[int(index)], "person") for index in chosen])
        same = (names[at, None] == names[None]) & (names != "")[None]
        same[np.arange(len(at)), at] = True
        alone = same.all(1)
        if alone.all():
            raise InputError("the training images show one person alone; give images of others as --holdout")
        nearest = gallery.nearest(images[at[~alone]], leave_out=same[~alone], progress=progress)
    repeated = nearest.distances < _SAME
    if repeated.any():
        notes.append(f"{repeated.sum()} images that stood for unseen people lie in the training set twice")
    if (~repeated).sum() < _FEWEST:
        raise InputError("all that stands for unseen people is in the training set; give other images")
    kept = torch.from_numpy(~repeated)
    return nearest.only(~repeated), None if people is None else people[kept]


def _pairs(
    audit: Audit,
    fakes: Tensor,
    seeds: Sequence[int] | None,
    train: Tensor,
    nearest: Nearest,
    unseen: Nearest,
) -> list[dict[str, Any]]:
    """The fakes that lie nearest to a training image, the nearest first. seeds: None for pictures."""
    rows = []
    for at in np.argsort(nearest.distances, kind="stable")[:_PAIRS].tolist():
        distance, original = nearest.distances[at], int(nearest.indexes[at])
        if seeds is None:
            fake = show_strip(fakes[at][None].numpy(), f"fake {at}", made=None)
        else:
            fake = show_sample(Samples(fakes, tuple(seeds), ("",) * len(fakes), audit.model), at)
        aligned, real = to_uint8(nearest.aligned[at][None]).numpy(), train[original][None].numpy()
        rows.append(
            {
                "fake": fake,
                "aligned": show_strip(aligned, "the fake, aligned", made=SourceType.TRAINED),
                "real": show_strip(real, f"training image {original}", made=None),
                "distance": f"{distance:.3f}",
                "nearer": f"{np.mean(unseen.distances <= distance):.1%}",
                "identity": f"{nearest.identity[at]:.2f}",
                "below": bool(distance <= audit.lpips.cut),
            }
        )
    return rows


def _chart(groups: Mapping[str, Nearest]) -> Markup:
    """Distances to the nearest training image: a dot each, a bar at the median, a line over 90 %."""
    rows = []
    for name, near in groups.items():
        low, middle, high = np.percentile(near.distances, (5, 50, 95)).tolist()
        interval = Interval(value=middle, low=low, high=high)
        rows.append((name, interval, np.sort(near.distances)[:_DOTS].tolist()))
    return interval_chart(rows, title="distance to the nearest training image", unit="", zero=True)

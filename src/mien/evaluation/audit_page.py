"""The page of `mien audit`: verdict, thresholds, power, and the closest pairs, ranked."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from mien import TOOL
from mien.attributes.agreement import Interval
from mien.core.atomic import write_text
from mien.core.image import to_uint8
from mien.core.provenance import SourceType
from mien.evaluation.copies import Nearest, Planted
from mien.evaluation.verdict import Audit
from mien.evaluation.worth_page import interval_chart
from mien.reports.inline_images import Samples, Shown, show_sample, show_strip
from mien.reports.page import render

_PAIRS = 24
_DOTS = 300
_WORDS = {
    "release": ("good", "May be released: no sign that it repeats training images."),
    "hold back": ("doubt", "Hold it back: it repeats training images."),
    "undecided": ("doubt", "Undecided: this audit could not have found copies, or too little was looked at."),
}


class Evidence(NamedTuple):
    """What the page shows. seeds: of the fakes that a generator drew, None for pictures."""

    audit: Audit
    fakes: Tensor
    train: Tensor
    nearest: Nearest
    unseen: Nearest
    copies: Mapping[str, Planted]
    seeds: Sequence[int] | None


def write_page(path: Path, evidence: Evidence) -> None:
    """Write the page, whole or not at all."""
    audit = evidence.audit
    tone, words = _WORDS[audit.verdict]
    context = {
        "audit": audit,
        "verdict": [(tone, words), *(("plain", line) for line in audit.reasons)],
        "pairs": _pairs(evidence),
        "chart": _chart(evidence),
        "tool": TOOL,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    write_text(path, render("audit.html.j2", context))


def _pairs(evidence: Evidence) -> list[dict[str, Any]]:
    """The fakes that lie nearest to a training image, the nearest first."""
    nearest, unseen = evidence.nearest, evidence.unseen
    rows = []
    for at in np.argsort(nearest.distances, kind="stable")[:_PAIRS]:
        original = int(nearest.indexes[at])
        rows.append(
            {
                "fake": _fake(evidence, int(at)),
                "aligned": _one(to_uint8(nearest.aligned[at][None]), "the fake, aligned", SourceType.TRAINED),
                "real": _one(evidence.train[original][None], f"training image {original}", None),
                "distance": f"{nearest.distances[at]:.3f}",
                "nearer": f"{np.mean(unseen.distances <= nearest.distances[at]):.1%}",
                "identity": f"{nearest.identity[at]:.2f}",
                "below": bool(nearest.distances[at] <= evidence.audit.lpips.cut),
            }
        )
    return rows


def _fake(evidence: Evidence, at: int) -> Shown:
    if evidence.seeds is None:
        return _one(evidence.fakes[at][None], f"fake {at}", None)
    samples = Samples(evidence.fakes, tuple(evidence.seeds), ("",) * len(evidence.fakes))
    return show_sample(samples, at, evidence.audit.model)


def _one(images: Tensor, alt: str, made: SourceType | None) -> Shown:
    return show_strip(images.numpy(), alt, made=made)


def _chart(evidence: Evidence) -> Any:
    """Distances to the nearest training image: a dot each, a bar at the median, a line over 90 %."""
    groups = {
        "planted copies": evidence.copies["all"].nearest,
        "fakes": evidence.nearest,
        "unseen people": evidence.unseen,
    }
    rows = []
    for name, near in groups.items():
        low, middle, high = np.percentile(near.distances, (5, 50, 95))
        interval = Interval(value=float(middle), low=float(low), high=float(high))
        rows.append((name, interval, np.sort(near.distances)[:_DOTS].tolist()))
    return interval_chart(rows, title="distance to the nearest training image", unit="", zero=True)

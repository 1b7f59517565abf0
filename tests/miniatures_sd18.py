"""A small NIST SD18 of rendered heads, laid out as the real one, with everything in it known."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from mien.render.people import View, render_view


@dataclass(frozen=True)
class Case:
    """One person. views: (sitting, "F" | "L" | "R", age at it, None: not given)."""

    person: str
    sex: str
    views: tuple[tuple[int, str, int | None], ...]

    @property
    def folder(self) -> str:
        """As "multiple/f2_p1"."""
        fronts = sum(view == "F" for _, view, _ in self.views)
        profiles = len(self.views) - fronts
        return f"{'multiple' if max(fronts, profiles) > 1 else 'single'}/f{fronts}_p{profiles}"


CASES = (
    Case("00001", "M", ((1, "F", 30), (1, "R", 30))),
    Case("00002", "F", ((1, "F", 41), (1, "L", 41))),
    Case("00003", "M", ((1, "F", 25), (2, "F", 33), (1, "R", 25), (2, "L", 33))),
    Case("00004", "M", ((1, "F", 52), (2, "F", 53), (2, "R", 53))),
    Case("00005", "M", ((1, "L", 19),)),  # a profile with no front
    Case("00006", "M", ((1, "F", 60),)),
    Case("00007", "M", ((1, "F", 17), (1, "R", 17))),  # a minor
    Case("00008", "M", ((1, "F", None), (1, "R", None))),  # no age
    Case("00009", "F", ((1, "F", 16), (2, "F", 22))),  # a minor once, and no minor later
)


@cache
def mugshot(person: str, sitting: int, view: str) -> np.ndarray:
    """uint8 [H, W]: higher than wide, of a size of its own. L looks to the picture's left, R to its right."""
    yaw = {"F": 0.0, "L": -85.0, "R": 85.0}[view]
    image, _ = render_view(View(int(person), int(person) + 50 * sitting, yaw), 64)
    width, height = 100 + 4 * int(person), 120 + 2 * int(person)
    gray = Image.fromarray(image.transpose(1, 2, 0)).convert("L")
    square = gray.resize((height, height), Image.Resampling.BICUBIC)
    left = (height - width) // 2
    return np.asarray(square.crop((left, 0, left + width, height)))


def write_sd18(root: Path, cases: tuple[Case, ...] = CASES) -> Path:
    """Write `cases` below `root`."""
    for case in cases:
        folder = root / "sd18" / case.folder / "png" / case.person
        folder.mkdir(parents=True)
        for sitting, view, age in case.views:
            stem = folder / f"{case.person}_{sitting}_{view}"
            Image.fromarray(mugshot(case.person, sitting, view)).save(stem.with_suffix(".png"))
            given = "" if age is None else f"Age: {age}\n"
            stem.with_suffix(".txt").write_text(f"Gender : {case.sex}\n{given}Height: 510\nHistory\n")
    return root

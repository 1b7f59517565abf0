"""A small CelebA of rendered heads, laid out as the real one, with everything in it known."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from mien.render.people import View, render_view

# In the order of the real file.
NAMES = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)
WIDTH, HEIGHT = 178, 218
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Row:
    """One picture. pixels: uint8 [218, 178, 3] before compression."""

    file: str
    pixels: np.ndarray
    attributes: dict[str, bool]
    person: str
    split: int


@cache
def celeba_rows(people: int = 4, each: int = 2) -> tuple[Row, ...]:
    """`each` pictures of `people`; person k is in split k % 3."""
    rows = []
    for number in range(people * each):
        person = number % people  # so that a person's pictures do not follow each other
        image, labels = render_view(View(person + 1, number + 100, 15.0 * (number % 3 - 1)), 96)
        attributes = {name: labels["attributes"].get(name, False) for name in NAMES}
        file = f"{number + 1:06d}.jpg"
        rows.append(Row(file, portrait(image), attributes, str(2880 + person), person % 3))
    return tuple(rows)


def portrait(image: np.ndarray) -> np.ndarray:
    """A rendered square as CelebA's upright 178x218."""
    square = Image.fromarray(image.transpose(1, 2, 0)).resize((HEIGHT, HEIGHT), Image.Resampling.BICUBIC)
    left = (HEIGHT - WIDTH) // 2
    return np.asarray(square.crop((left, 0, left + WIDTH, HEIGHT)))


def write_celeba(root: Path, rows: tuple[Row, ...], *, count: int | None = None) -> Path:
    """Write `rows` below `root`; `count` is what line 1 promises (default: the truth)."""
    folder = root / "img_align_celeba"
    folder.mkdir(parents=True)
    for row in rows:
        Image.fromarray(row.pixels).save(folder / row.file, quality=95)
    lines = [attribute_line(row) for row in rows]
    head = [str(len(rows) if count is None else count), " ".join(NAMES) + " "]
    (root / "list_attr_celeba.txt").write_text("\n".join(head + lines) + "\n")
    (root / "list_eval_partition.txt").write_text("".join(f"{row.file} {row.split}\n" for row in rows))
    (root / "identity_CelebA.txt").write_text("".join(f"{row.file} {row.person}\n" for row in rows))
    return root


def attribute_line(row: Row) -> str:
    """As in the real file: a space more before 1 than before -1."""
    return row.file + "".join("  1" if row.attributes[name] else " -1" for name in NAMES)

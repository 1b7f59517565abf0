"""What feature networks see: python benchmarks/feature_sight.py FACES.zip [PHOTOS.zip] [--network NAME ...].

FACES.zip: `mien prepare` of faces in sub-folders by group (their class labels); PHOTOS.zip: of other people.
Rows are disturbances, columns networks; a value is the mean kernel distance of 80 disturbed images to 80
others, over the standard deviation of its null: the distance between random disjoint sets of 80 of the same
population, with as many of each group on either side. In the row "groups dropped" one side holds all four
groups and the other two of them: the mean over the six choices of two, and the least of them.

The settings (Lite0's 224 px) were chosen with `--groups 0,1,4,5`; judge with `--groups 2,3,6,7`.
"""

import argparse
import io
import itertools
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from mien.core.errors import MienError
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.metrics import features, kernel

SET = 80  # images a side
GROUPS = 4
NULLS, DRAWS = 200, 40  # draws of the null and for each pair of groups
Pool = list[np.ndarray]  # rows of features, a part for each group

Disturb = Callable[[Tensor], Tensor]


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of uint8 [N, C, H, W], `sigma` in pixels, mirrored at the borders."""
    reach = int(4 * sigma + 0.5)
    taps = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).view(1, 1, 1, -1)
    planes = functional.pad(images.float().flatten(0, 1)[:, None], (reach,) * 4, mode="reflect")
    planes = functional.conv2d(functional.conv2d(planes, taps), taps.transpose(2, 3))
    return planes.view(images.shape).round().clamp(0, 255).to(torch.uint8)


def compressed(images: Tensor, quality: int) -> Tensor:
    """JPEG and back."""
    out = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
        out.append(np.asarray(Image.open(file, formats=["JPEG"])))
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).contiguous()


def noisy(images: Tensor, level: float) -> Tensor:
    """Gaussian noise of `level` of 255, the same at every call."""
    noise = torch.from_numpy(np.random.RandomState(1).randn(*images.shape).astype(np.float32))
    return (images + level * noise).round().clamp(0, 255).to(torch.uint8)


def mouth_swapped(images: Tensor) -> Tensor:
    """The halves of the mouth in each other's place, for faces aligned as `mien prepare` does by default."""
    size = images.shape[-1]
    top, bottom, left, middle, right = (round(share * size) for share in (0.66, 0.81, 0.31, 0.5, 0.69))
    out = images.clone()
    out[..., top:bottom, left:middle] = images[..., top:bottom, middle:right]
    out[..., top:bottom, middle:right] = images[..., top:bottom, left:middle]
    return out


LADDERS: dict[str, tuple[tuple[str, Disturb], ...]] = {
    "blur": tuple((f"blur {s} px", lambda x, s=s: blurred(x, s)) for s in (0.5, 1.0, 2.0)),
    "jpeg": tuple((f"JPEG {q}", lambda x, q=q: compressed(x, q)) for q in (70, 40, 15)),
    "noise": tuple((f"noise {n}", lambda x, n=n: noisy(x, n)) for n in (4, 8, 16)),
    "mouth": (("mouth halves swapped", mouth_swapped),),
}


def drawn(pool: Pool, draws: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Disjoint random sets of `SET` rows of all groups joined, with as many of each group on either side."""
    rng = np.random.RandomState(0)
    share = SET // len(pool)
    starts = np.cumsum([0, *map(len, pool)])[:-1]
    pairs = []
    for _ in range(draws):
        orders = [start + rng.permutation(len(part)) for start, part in zip(starts, pool, strict=True)]
        one, two = ([order[at : at + share] for order in orders] for at in (0, share))
        pairs.append((np.concatenate(one), np.concatenate(two)))
    return pairs


def disturbed(pool: Pool, rows: np.ndarray) -> float:
    """Mean distance of disturbed images (`rows`) to other images as they are."""
    plain = np.concatenate(pool)
    return float(np.mean([kernel.estimate(plain[a], rows[b]) for a, b in drawn(pool, 20)]))


def dropped(pool: Pool, kept: tuple[int, int]) -> float:
    """Mean distance of images of two groups to others of all groups."""
    rng = np.random.RandomState(0)
    values = []
    share = SET // len(pool)
    for _ in range(DRAWS):
        orders = [rng.permutation(len(part)) for part in pool]
        everyone = np.concatenate([part[order[:share]] for part, order in zip(pool, orders, strict=True)])
        two = np.concatenate([pool[k][orders[k][share : share + SET // 2]] for k in kept])
        values.append(kernel.estimate(everyone, two))
    return float(np.mean(values))


def sight(
    network: features.FeatureNetwork,
    groups: list[Tensor],
    *,
    ladders: dict[str, tuple[tuple[str, Disturb], ...]] = LADDERS,
) -> dict[str, float]:
    """Value of each row over the standard deviation of its null. groups: images of each, as many of each."""
    pool = [network.features(images) for images in groups]
    plain = np.concatenate(pool)
    spread = float(np.std([kernel.estimate(plain[a], plain[b]) for a, b in drawn(pool, NULLS)]))
    share = 2 * SET // len(groups)  # enough for both sides; the others are there for the null
    part, images = [rows[:share] for rows in pool], torch.cat([group[:share] for group in groups])
    rows = {
        name: disturbed(part, network.features(change(images))) / spread
        for steps in ladders.values()
        for name, change in steps
    }
    if len(groups) == GROUPS:
        drops = [dropped(pool, pair) / spread for pair in itertools.combinations(range(GROUPS), 2)]
        rows["two of four groups dropped"] = float(np.mean(drops))
        rows["the least of six choices"] = min(drops)
    return rows


def groups_of(dataset: Dataset, names: list[int], first: int, count: int) -> list[Tensor]:
    """`count` images of each group from its `first` on."""
    if dataset.labels is None:
        raise SystemExit("the first dataset needs labels: prepare a folder with sub-folders")
    classes = dataset.labels.argmax(1)
    chosen = [np.flatnonzero(classes == name)[first : first + count] for name in names]
    return [torch.from_numpy(np.array(dataset.images(index))) for index in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces")
    parser.add_argument("photos", nargs="?")
    parser.add_argument("--network", action="append")
    parser.add_argument("--groups", default="0,1,4,5", help="four class numbers of FACES")
    parser.add_argument("--first", type=int, default=0, help="begin at this image of each group")
    parser.add_argument("--count", type=int, default=80, help="images a group")
    options = parser.parse_args()
    chosen = [int(part) for part in options.groups.split(",")]
    sets = {"faces": groups_of(open_dataset(options.faces), chosen, options.first, options.count)}
    if options.photos:
        photos = open_dataset(options.photos)
        index = np.sort(np.random.RandomState(0).permutation(len(photos))[: GROUPS * options.count])
        sets["photos"] = [torch.from_numpy(np.array(photos.images(index)))]
    for title, groups in sets.items():
        columns = {}
        for name in options.network or features.names():
            try:
                columns[name] = sight(features.open_network(name), groups)
            except MienError as error:
                print(f"{name}: {error}")
        grid = Table(
            title=f"{title}, {SET} against {SET}, kernel distance over its null's standard deviation"
        )
        for heading in ("disturbance", *columns):
            grid.add_column(heading, justify="left" if heading == "disturbance" else "right")
        for row in next(iter(columns.values()), {}):
            grid.add_row(row, *(f"{column[row]:.1f}" for column in columns.values()))
        Console().print(grid)


if __name__ == "__main__":
    main()

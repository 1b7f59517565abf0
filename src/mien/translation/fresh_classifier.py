"""How well classifiers that are trained from scratch tell one kind of pictures from another.

One looks at whole pictures, one at patches of 23 x 23 pixels, one by one. Both are tested several times while
they learn: enough training tells any two sets of pictures apart, so how much it takes is what says something.
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW

from mien.core.image import to_float
from mien.core.types import Dataset, Spec
from mien.labels.split import Split, person_of, split_people
from mien.models.attributes import Reader
from mien.nn.refiner import LocalDiscriminator
from mien.nn.warp import Warp, warped

Sight = Literal["pictures", "patches"]
UPDATES = (20, 60, 180)
_WIDTHS = {"pictures": 8, "patches": 24}
_BATCH = 32
_RATE = 2e-3
_WARP = Warp(shear=0.1, shift=0.1, turn=10, zoom=0.1, noise=0.02)  # what must not give anything away
_RUNS = 20  # stretches of pictures that are split as one where nothing says who is shown
_HELD_OUT = 0.3


def split(dataset: Dataset, seed: int) -> Split:
    """By person; where no person is known, by stretches of the dataset, since frames of a film are alike."""
    records = list(dataset.records)
    if not any(map(person_of, records)):
        runs = min(_RUNS, len(records))
        records = [{"person": f"run {index * runs // len(records)}"} for index in range(len(records))]
    return split_people([{**record, "split": ""} for record in records], share=_HELD_OUT, seed=seed)


def accuracies(
    one: np.ndarray, two: np.ndarray, tests: tuple[np.ndarray, np.ndarray], *, sight: Sight, seed: int
) -> tuple[float, ...]:
    """Balanced accuracy on `tests` after each of `UPDATES` of telling `one` from `two`; .5 is a coin's.

    Pictures are uint8 [N, C, H, W]. Half of every batch is of either kind, all disturbed alike. Of patches,
    each counts by itself. Changes no global chance.
    """
    network = _fresh(Spec(one.shape[-1], one.shape[1], 1, ("one",)), sight, seed)
    rng = torch.Generator().manual_seed(seed)
    optimizer = AdamW(network.parameters(), lr=_RATE, weight_decay=0.05)
    balanced = []
    for update in range(1, UPDATES[-1] + 1):
        loss = _loss(network, (one, two), rng)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if update in UPDATES:
            shares = [_said_one(network, test) for test in tests]
            balanced.append((shares[0] + 1 - shares[1]) / 2)
    return tuple(balanced)


def _fresh(spec: Spec, sight: Sight, seed: int) -> nn.Module:
    width = _WIDTHS[sight]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if sight == "pictures":
            return Reader(spec, width=width)
        return LocalDiscriminator(spec, width=width, halvings=2, stddev_group=1)


def _loss(network: nn.Module, sides: tuple[np.ndarray, np.ndarray], rng: torch.Generator) -> Tensor:
    """Of a batch of which half is of either kind, all disturbed alike."""
    chosen = [side[torch.randint(len(side), (_BATCH // 2,), generator=rng).numpy()] for side in sides]
    floats = [to_float(torch.from_numpy(side)) for side in chosen]
    images = torch.cat([side.contiguous(memory_format=torch.channels_last) for side in floats])
    flip = torch.rand(len(images), generator=rng) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    scores = network(warped(images, _WARP, rng)).flatten(1)
    truth = torch.zeros_like(scores)
    truth[: len(chosen[0])] = 1
    return F.binary_cross_entropy_with_logits(scores, truth)


@torch.no_grad()
def _said_one(network: nn.Module, pictures: np.ndarray) -> float:
    """The share of pictures, or patches, that it takes for the first kind."""
    network.eval()
    parts = [pictures[start : start + 128] for start in range(0, len(pictures), 128)]
    positive = [network(to_float(torch.from_numpy(part))).flatten(1) > 0 for part in parts]
    network.train()
    return float(torch.cat(positive).float().mean())

"""How well a classifier that is trained from scratch tells one kind of pictures from another."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import AdamW

from mien.core.image import to_float
from mien.core.split import person_of, split_people
from mien.core.types import Dataset, Spec
from mien.models._warp import Warp, warped
from mien.models.attributes import Reader

_WIDTH, _STEPS, _BATCH = 8, 150, 32
_RATE = 3e-3
_WARP = Warp(shear=0.1, shift=0.1, turn=10, zoom=0.1, noise=0.02)  # what must not give anything away
_RUNS = 20  # stretches of pictures that are split as one where nothing says who is shown
_HELD_OUT = 0.3


class Sides(NamedTuple):
    """Indexes to learn from and to test on."""

    train: np.ndarray
    test: np.ndarray


def split(dataset: Dataset, seed: int) -> Sides:
    """By person; where no person is known, by stretches of the dataset, since frames of a film are alike."""
    records = list(dataset.records)
    if not any(map(person_of, records)):
        runs = min(_RUNS, len(records))
        records = [{"person": f"run {index * runs // len(records)}"} for index in range(len(records))]
    found = split_people([{**record, "split": ""} for record in records], share=_HELD_OUT, seed=seed)
    return Sides(found.train, found.held_out)


def accuracy(one: np.ndarray, two: np.ndarray, tests: tuple[np.ndarray, np.ndarray], *, seed: int) -> float:
    """Balanced accuracy on `tests` of a small network trained to tell `one` from `two`; .5 is a coin's.

    Pictures are uint8 [N, C, H, W]. Half of every batch is of either kind, all disturbed alike. Changes no
    global chance.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        spec = Spec(one.shape[-1], one.shape[1], 1, ("one",))
        network = Reader(spec, width=_WIDTH).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _train(network, one, two, seed)
    shares = [_said_one(network, test) for test in tests]
    return float((shares[0] + 1 - shares[1]) / 2)


def _train(network: Reader, one: np.ndarray, two: np.ndarray, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    optimizer = AdamW(network.parameters(), lr=_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    half = _BATCH // 2
    truth = torch.cat([torch.ones(half), torch.zeros(half)])
    for _ in range(_STEPS):
        images = torch.cat([_some(side, half, rng) for side in (one, two)])
        flip = torch.rand(len(images), generator=rng) < 0.5
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
        loss = F.binary_cross_entropy_with_logits(network(warped(images, _WARP, rng))[:, 0], truth)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def _some(pictures: np.ndarray, count: int, rng: torch.Generator) -> Tensor:
    where = torch.randint(len(pictures), (count,), generator=rng).numpy()
    return to_float(torch.from_numpy(pictures[where]))


@torch.no_grad()
def _said_one(network: Reader, pictures: np.ndarray) -> float:
    """The share of pictures that it takes for the first kind."""
    network.eval()
    parts = [pictures[start : start + 128] for start in range(0, len(pictures), 128)]
    said = torch.cat([network(to_float(torch.from_numpy(part)))[:, 0] > 0 for part in parts])
    return float(said.float().mean())

"""Which pictures come when: a pure function of (seed, images seen), so that resuming needs no saved order."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mien.core.image import to_float
from mien.core.types import Dataset


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


def indexes(count: int, *, seed: int, nimg: int, batch_size: int) -> np.ndarray:
    """The dataset indexes of the `batch_size` images that follow after `nimg`, each epoch shuffled anew."""
    positions = np.arange(nimg, nimg + batch_size)
    epochs, places = positions // count, positions % count
    return np.array([_permutation(count, seed, int(e))[p] for e, p in zip(epochs, places, strict=True)])


def mirrored(*, seed: int, nimg: int, batch_size: int) -> np.ndarray:
    """Which of those images are flipped left to right: bool [batch_size], half of them on average."""
    return np.random.default_rng([seed, nimg, 1]).random(batch_size) < 0.5


class Stream:
    """Batches of a dataset in training order.

    mirror: flip half of the pictures left to right. labels: whether labels are wanted. mirrored_labels: those
    of the flipped pictures, where they are others.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        seed: int,
        mirror: bool,
        labels: bool,
        device: torch.device,
        mirrored_labels: np.ndarray | None = None,
    ) -> None:
        self._dataset, self._seed = dataset, seed
        self._mirror, self._device = mirror, device
        self._labels = dataset.labels if labels else None
        self._mirrored_labels = self._labels if mirrored_labels is None else mirrored_labels

    def batch(self, nimg: int, count: int) -> tuple[Tensor, Tensor | None]:
        """The `count` images after `nimg`, float32 [N, C, H, W], channels last in memory, and labels."""
        where = indexes(len(self._dataset), seed=self._seed, nimg=nimg, batch_size=count)
        pixels = self._dataset.images(where)
        flip = np.zeros(len(where), bool)
        if self._mirror:
            flip = mirrored(seed=self._seed, nimg=nimg, batch_size=count)
            pixels = np.where(flip[:, None, None, None], pixels[..., ::-1], pixels)
        images = to_float(torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device))
        labels = None
        if self._labels is not None and self._mirrored_labels is not None:
            rows = np.where(flip[:, None], self._mirrored_labels[where], self._labels[where])
            labels = torch.from_numpy(rows).to(self._device)
        return images.contiguous(memory_format=torch.channels_last), labels

"""The order of training images: a pure function of (seed, nimg), so that resuming needs no saved order."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mien.core import ranks
from mien.core.image import to_float
from mien.core.types import Dataset, Drawn

_ANOTHER = 1_000_003  # added to the seed, for an order of its own


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

    mirror: flip half of the images left to right. labels: whether batches have labels. mirrored_labels: of
    flipped images, where they differ. others: counterparts; where `aligned`, that of each image comes with
    it, and both are flipped or neither; else they have their own order.
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
        others: Dataset | None = None,
        aligned: bool = False,
    ) -> None:
        self._dataset, self._others, self._aligned = dataset, others, aligned
        self._seed, self._mirror, self._device = seed, mirror, device
        self._labels = dataset.labels if labels else None
        self._mirrored_labels = self._labels if mirrored_labels is None else mirrored_labels

    def batch(self, nimg: int, count: int) -> Drawn:
        """The `count` images after `nimg`, float32 [N, C, H, W], channels last, labels and counterparts.

        Where several ranks share them, this one's rows alone.
        """
        order, flip = self._order(self._dataset, self._seed, nimg, count)
        labels = None
        if self._labels is not None and self._mirrored_labels is not None:
            rows = np.where(flip[:, None], self._mirrored_labels[order], self._labels[order])
            labels = torch.from_numpy(rows).to(self._device)
        others = None
        if self._others is not None and self._aligned:
            others = self._images(self._others, order, flip)
        elif self._others is not None:
            others = self._images(
                self._others, *self._order(self._others, self._seed + _ANOTHER, nimg, count)
            )
        return Drawn(self._images(self._dataset, order, flip), labels, others)

    def _order(self, dataset: Dataset, seed: int, nimg: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The indexes of this rank's images, and a mask of those to flip."""
        order = indexes(len(dataset), seed=seed, nimg=nimg, batch_size=count)
        flip = mirrored(seed=seed, nimg=nimg, batch_size=count) if self._mirror else np.zeros(count, bool)
        rows = ranks.rows(count)
        return order[rows], flip[rows]

    def _images(self, dataset: Dataset, order: np.ndarray, flip: np.ndarray) -> Tensor:
        pixels = dataset.images(order)
        if flip.any():
            pixels = pixels.copy()
            pixels[flip] = pixels[flip][..., ::-1]
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device)
        return to_float(images.contiguous(memory_format=torch.channels_last))

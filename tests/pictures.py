"""Small made-up datasets for tests that need pictures but no faces."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mien.core.types import Spec


class ArrayDataset:
    """A dataset in memory: smooth random blobs, two classes that differ in colour."""

    name = "blobs"
    content_hash = "blobs"

    def __init__(
        self,
        count: int = 48,
        *,
        resolution: int = 16,
        channels: int = 3,
        labelled: bool = False,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        classes = np.arange(count) % 2
        coarse = rng.integers(0, 200, (count, channels, 4, 4))
        coarse[classes == 1, 0] += 55
        scale = resolution // 4
        self._pixels = coarse.repeat(scale, axis=2).repeat(scale, axis=3).astype(np.uint8)
        self.labels = np.eye(2, dtype=np.float32)[classes] if labelled else None
        names = ("dull", "red") if labelled else ()
        self.spec = Spec(resolution, channels, len(names), names)
        self.records: Sequence[Mapping[str, Any]] = [{} for _ in range(count)]

    def __len__(self) -> int:
        return len(self._pixels)

    def images(self, indexes: np.ndarray) -> np.ndarray:
        return self._pixels[indexes]

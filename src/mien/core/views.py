"""A part of a dataset, or the same pictures with other labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mien.core.types import Dataset, Spec


class View:
    """The pictures of `base` at `indexes`, as a dataset of its own.

    labels: float32 [len(indexes), len(class_names)] in place of the base's, NaN where not known; None: none.
    The name and content hash stay the base's, which is what was trained on.
    """

    def __init__(
        self, base: Dataset, indexes: np.ndarray, *, labels: np.ndarray | None, class_names: tuple[str, ...]
    ) -> None:
        self._base, self.indexes = base, np.asarray(indexes, np.int64)
        self.name, self.content_hash, self.labels = base.name, base.content_hash, labels
        self.spec: Spec = replace(base.spec, label_dim=len(class_names), class_names=class_names)
        self.records: Sequence[Mapping[str, Any]] = [base.records[int(index)] for index in self.indexes]

    def __len__(self) -> int:
        return len(self.indexes)

    def images(self, indexes: np.ndarray) -> np.ndarray:
        """uint8 [len(indexes), C, H, W]."""
        return self._base.images(self.indexes[indexes])

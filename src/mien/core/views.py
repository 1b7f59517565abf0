"""Views of datasets: a subset, other labels, or two datasets as one; and their indexing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mien.core.errors import MienError
from mien.core.types import Dataset, Spec


class Indexed:
    """Indexing, slicing and printing of a dataset, which torch's DataLoader takes as it is."""

    name: str
    spec: Spec
    content_hash: str
    labels: np.ndarray | None
    records: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        raise NotImplementedError

    def images(self, indexes: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def __repr__(self) -> str:
        size, labels = self.spec.resolution, f", labels {', '.join(self.spec.class_names[:6])}"
        more = ", ..." if len(self.spec.class_names) > 6 else ""
        shown = labels + more if self.spec.class_names else ""
        return f"<{self.name}: {len(self):,} images of {size}x{size}x{self.spec.channels}{shown}>"

    def __getitem__(self, index: Any) -> Any:
        """The image uint8 [C, H, W] at an integer, with its labels if there are any; else a part."""
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"image {index} of {len(self):,}")
            at = range(len(self))[int(index)]
            image = self.images(np.array([at]))[0]
            return image if self.labels is None else (image, self.labels[at])
        chosen = np.arange(len(self))[index]
        labels = None if self.labels is None else self.labels[chosen]
        return View(self, chosen, labels=labels, class_names=self.spec.class_names)

    def frame(self) -> Any:
        """Labels and manifest fields as a pandas DataFrame, a row an image. Needs pandas."""
        try:
            import pandas
        except ImportError as error:
            raise MienError("frame() needs pandas: pip install pandas") from error

        frame = pandas.json_normalize([dict(record) for record in self.records])
        if self.labels is not None:
            for column, name in enumerate(self.spec.class_names):
                frame[name] = self.labels[:, column]
        return frame


class View(Indexed):
    """The images of `base` at `indexes`, as a dataset of their own.

    labels: float32 [len(indexes), len(class_names)] in place of the base's, NaN where not known; None: none.
    The name and content hash stay the base's, which is what was trained on.
    """

    def __init__(
        self, base: Dataset, indexes: np.ndarray, *, labels: np.ndarray | None, class_names: tuple[str, ...]
    ) -> None:
        self.base, self.indexes = base, np.asarray(indexes, np.int64)
        self.name, self.content_hash, self.labels = base.name, base.content_hash, labels
        self.spec: Spec = replace(base.spec, label_dim=len(class_names), class_names=class_names)
        self.records: Sequence[Mapping[str, Any]] = [base.records[int(index)] for index in self.indexes]

    def __len__(self) -> int:
        return len(self.indexes)

    def images(self, indexes: np.ndarray) -> np.ndarray:
        """uint8 [len(indexes), C, H, W]."""
        return self.base.images(self.indexes[indexes])


class Joined(Indexed):
    """Two datasets of the same spec as one: the images of `first`, then those of `second`."""

    def __init__(self, first: Dataset, second: Dataset) -> None:
        if first.spec != second.spec:
            raise ValueError(f"{first.name} and {second.name} differ: {first.spec}, {second.spec}")
        self.parts = (first, second)
        self.name = f"{first.name} + {second.name}"
        self.spec = first.spec
        self.content_hash = f"{first.content_hash}+{second.content_hash}"
        self.labels = None
        if first.labels is not None and second.labels is not None:
            self.labels = np.concatenate([first.labels, second.labels])
        self.records: Sequence[Mapping[str, Any]] = [*first.records, *second.records]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def images(self, indexes: np.ndarray) -> np.ndarray:
        """uint8 [len(indexes), C, H, W], in the order of `indexes`."""
        order = np.asarray(indexes, np.int64)
        first, second = self.parts
        side = self.spec.resolution
        out = np.empty((len(order), self.spec.channels, side, side), np.uint8)
        in_second = order >= len(first)
        out[~in_second] = first.images(order[~in_second])
        out[in_second] = second.images(order[in_second] - len(first))
        return out

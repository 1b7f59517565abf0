"""What a run leaves behind besides its log and states; each kind of product has its own way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from torch import Tensor

from mien import TOOL
from mien.core.checkpoint import DatasetInfo, NetworkHeader, save_generator
from mien.core.labels import spread_rows
from mien.core.run import RunFolder
from mien.core.types import Dataset
from mien.training.loop import Training


@dataclass(frozen=True)
class Shown:
    """What a look at a run brought. values: scalars for the log, by name.

    fakes: pictures that ought to differ, float [N, C, H, W] in [-1, 1], for the monitor to look at.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    fakes: Tensor | None = None


class Outputs(Protocol):
    """The caller holds the run's lock. None of it may change how training goes on, or use global chance."""

    def begin(self) -> None:
        """Before the first step of a new run."""

    def show(self) -> Shown:
        """Now and then, ever more rarely: pictures or figures as training stands."""

    def save(self) -> None:
        """Write the product, at every checkpoint."""

    def end(self) -> None:
        """When the budget is spent, after the last `save`."""


def save_product(
    run: RunFolder,
    training: Training,
    dataset: Dataset,
    *,
    family: str,
    kind: str = "generator",
    network: str = "g",
    labels: np.ndarray | None = None,
    roles: tuple[str, ...] = (),
) -> None:
    """Write the averaged network named `network` as a file of its own, `<kind>-<kimg>.safetensors`.

    labels: float32 [N, label_dim] of all pictures, of which the file keeps some; None: it keeps none.
    roles: what it turns into what, of a translator.
    """
    product = training.averages.networks[network]
    header = NetworkHeader(
        kind=kind,
        family=family,
        config=training.trainable.config.model_dump(),
        spec=product.spec,
        nimg=training.nimg,
        tool=TOOL,
        dataset=DatasetInfo(name=dataset.name, content_hash=dataset.content_hash, num_images=len(dataset)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        label_rows=() if labels is None else spread_rows(labels),
        roles=roles,
    )
    save_generator(run.product(kind, training.nimg), product.state_dict(), header)

"""The few types that datasets, models and training share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class Spec:
    """What the pictures of a dataset or generator are like.

    resolution: pixels along a side. channels: 3 (RGB) or 1 (gray).
    label_dim: width of a label vector, 0 without labels. class_names: one per label column, if known.
    """

    resolution: int
    channels: int = 3
    label_dim: int = 0
    class_names: tuple[str, ...] = ()

    def unlabelled(self) -> "Spec":
        """The same pictures without labels."""
        return Spec(self.resolution, self.channels)


@dataclass(frozen=True)
class Batch:
    """What one phase learns from.

    images: float32 [N, C, H, W] in [-1, 1]. labels: float32 [N, label_dim] or None.
    others: as many pictures of the other side, or None: what `images` are to become (pairs), or whatever
    comes next in another domain.
    rng: the only source of randomness a loss may use; seeded by the loop from (seed, nimg), so that a
    resumed run draws the same numbers.
    augmentation: how the run disturbs what a discriminator sees, or None.
    """

    images: Tensor
    labels: Tensor | None
    rng: torch.Generator
    augmentation: "Callable[[Tensor, torch.Generator], Tensor] | None" = None
    others: Tensor | None = None

    def augment(self, images: Tensor) -> Tensor:
        """What a discriminator is to see of `images`, reals and fakes alike; differentiable."""
        return images if self.augmentation is None else self.augmentation(images, self.rng)


@dataclass(frozen=True)
class Phase:
    """One update of one network.

    name: appears in logs ("g", "d", "penalty"). network: key in `Trainable.networks` whose gradients are
    taken and whose optimiser steps. gain: factor on the loss (lazy penalties use their interval).
    full_precision: run in float32 even when training in bfloat16 (penalties).
    """

    name: str
    network: str
    gain: float = 1.0
    full_precision: bool = False


@dataclass(frozen=True)
class Progress:
    """How far training has come.

    nimg: real images seen. step: updates done. fraction: share of the budget spent, in [0, 1].
    lr_scale, gamma_scale: factors that the divergence guard sets (1 unless a run had to be rescued); the
    learning rate's also says how the run began.
    """

    nimg: int
    step: int
    fraction: float
    lr_scale: float = 1.0
    gamma_scale: float = 1.0


class Trainable(Protocol):
    """Everything that learns. Losses live here, never in the loop.

    config: the family's frozen pydantic model. Of a generative family's networks, "g" is the generator.
    batch_size: pictures of the next step; `begin_step` may change it, by what progress says alone.
    """

    config: Any
    networks: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    batch_size: int

    def begin_step(self, progress: Progress) -> None:
        """Set learning rates, growth and schedules for the step about to run."""

    def phases(self, progress: Progress) -> Iterable[Phase]:
        """The updates of this step, in order."""

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and scalars to log under NVlabs' names where they exist."""

    def half_lives(self, progress: Progress) -> Mapping[str, float]:
        """For each network that is averaged (EMA), the half-life in images; 0 copies."""

    def state_dict(self) -> dict[str, Any]:
        """What must survive a stop and is in neither networks nor optimizers."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""


class Drawn(NamedTuple):
    """What one step learns from; see `Batch`."""

    images: Tensor
    labels: Tensor | None
    others: Tensor | None = None


@runtime_checkable
class Freezable(Protocol):
    """A discriminator that says which of its layers can be held fixed (FreezeD), the picture's first."""

    @property
    def freezable(self) -> Sequence[nn.Module]: ...


@runtime_checkable
class Generator(Protocol):
    """A network that turns latents into pictures; an `nn.Module`."""

    z_dim: int
    spec: Spec

    def __call__(self, z: Tensor, labels: Tensor | None = None, *, psi: float = 1.0) -> Tensor:
        """z: float32 [N, z_dim]; labels: [N, label_dim]; returns float [N, C, H, W] in about [-1, 1]."""


class Dataset(Protocol):
    """Pictures of one size with optional labels and one manifest record each."""

    name: str
    spec: Spec
    content_hash: str
    labels: np.ndarray | None  # float32 [N, label_dim]
    records: Sequence[Mapping[str, Any]]

    def __len__(self) -> int: ...

    def images(self, indexes: np.ndarray) -> np.ndarray:
        """uint8 [len(indexes), C, H, W]."""


@dataclass(frozen=True)
class Lesson:
    """What a family makes of a dataset before it learns from it (`lesson` of its module).

    train: the pictures and labels that are learnt from. held_out: those kept aside, for testing; None: none.
    how: by what the two were told apart ("by person"), in words.
    mirrored_labels: of the training pictures turned left to right, where those are others.
    notes: lines for the user. others, held_out_others: the pictures of the other side, where there are two.
    aligned: others[i] belongs to train[i], and held_out_others[i] to held_out[i]. roles: of pairs, what is to
    become what: ("front", "profile").
    """

    train: Dataset
    held_out: Dataset | None = None
    mirrored_labels: np.ndarray | None = None
    how: str = ""
    notes: tuple[str, ...] = ()
    others: Dataset | None = None
    held_out_others: Dataset | None = None
    aligned: bool = False
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Example:
    """One picture with what is known about it. image: uint8 [H, W, C]."""

    image: np.ndarray
    label: int | tuple[float, ...] | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

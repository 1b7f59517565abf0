"""The types that datasets, models and training share; torch is not loaded, so that data need not wait."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.optim import Optimizer


@dataclass(frozen=True)
class Spec:
    """The shape of a dataset's or generator's images and labels.

    resolution: pixels along a side. channels: 3 (RGB) or 1 (gray).
    label_dim: width of a label vector, 0 without labels. class_names: one per label column, if known.
    """

    resolution: int
    channels: int = 3
    label_dim: int = 0
    class_names: tuple[str, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """One for each label column: its class's name, or its number where none is known."""
        return self.class_names or tuple(map(str, range(self.label_dim)))

    def unlabelled(self) -> Spec:
        """The same images without labels."""
        return Spec(self.resolution, self.channels)


@dataclass(frozen=True)
class Batch:
    """A batch of images with labels.

    images: float32 [N, C, H, W] in [-1, 1]. labels: float32 [N, label_dim] or None.
    others: counterparts, as many, or None: the targets of `images` (pairs), or images of another domain in
    an order of their own.
    rng: the only source of randomness a loss may use; seeded by the loop from (seed, nimg), so that a
    resumed run draws the same numbers.
    augmentation: of the discriminator's input, or None.
    """

    images: Tensor
    labels: Tensor | None
    rng: torch.Generator
    augmentation: Callable[[Tensor, torch.Generator], Tensor] | None = None
    others: Tensor | None = None

    def augment(self, images: Tensor) -> Tensor:
        """Augment the discriminator's input, reals and fakes alike; differentiable."""
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
    """The progress of training.

    nimg: real images trained on. step: updates done. fraction: share of the budget spent, in [0, 1].
    lr_scale, gamma_scale: factors that the divergence guard sets (1 unless a run had to be rescued); the
    learning rate's also says how the run began.
    """

    nimg: int
    step: int
    fraction: float
    lr_scale: float = 1.0
    gamma_scale: float = 1.0


class Trainable(Protocol):
    """A model in training: its networks, optimizers and losses.

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
        """The state besides networks and optimizers that a checkpoint needs."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of `state_dict`."""


@runtime_checkable
class Capturable(Protocol):
    """A model whose phases may be captured as CUDA graphs and replayed."""

    def depends_on(self, phase: Phase) -> Hashable:
        """The numbers that the phase's loss depends on beside weights, images, labels and chance.

        Whatever else it keeps, it keeps on the device and changes in place.
        """


class Drawn(NamedTuple):
    """The images, labels and counterparts of one step; see `Batch`."""

    images: Tensor
    labels: Tensor | None
    others: Tensor | None = None


@runtime_checkable
class Freezable(Protocol):
    """A discriminator whose layers can be frozen (FreezeD), listed from the image on."""

    @property
    def freezable(self) -> Sequence[nn.Module]: ...


@runtime_checkable
class Generator(Protocol):
    """A network that maps latents to images; an `nn.Module`."""

    z_dim: int
    spec: Spec

    def __call__(self, z: Tensor, labels: Tensor | None = None, *, psi: float = 1.0) -> Tensor:
        """Images float [N, C, H, W] in about [-1, 1] of z float32 [N, z_dim] and labels [N, label_dim]."""


class Dataset(Protocol):
    """Images of one size with optional labels and one manifest record each."""

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
    """Training and held-out data as a family prepares them from a dataset (`lesson` of its module).

    train: the training images and labels. held_out: those for testing; None: none.
    how: by what they were split ("by person"), in words.
    mirrored_labels: of the training images flipped left to right, where those differ.
    notes: lines for the user. others, held_out_others: the counterparts (targets, or another domain), if any.
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

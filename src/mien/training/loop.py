"""The training loop: phases, guarded updates, weight averages; progress is counted in images."""

import copy
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mien.core import ranks
from mien.core.errors import MienError, is_out_of_memory
from mien.core.ranks import Share
from mien.core.types import Batch, Capturable, Drawn, Phase, Progress, Trainable
from mien.training.augment import Schedule
from mien.training.graphs import Graphs


class Averages:
    """One averaged copy of each named network, in eval mode and without gradients.

    Parameters and floating-point buffers (batch-norm statistics) are averaged alike; the half-life is
    counted in images, so that a change of batch size changes nothing.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self.networks = {
            name: copy.deepcopy(network).eval().requires_grad_(False) for name, network in networks.items()
        }

    @torch.no_grad()
    def update(self, sources: Mapping[str, nn.Module], half_lives: Mapping[str, float], nimg: int) -> None:
        """Move each average towards its source as `nimg` further images ask; a half-life of 0 copies."""
        for name, half_life in half_lives.items():
            weight = 1 - 0.5 ** (nimg / half_life) if half_life > 0 else 1.0
            averaged, trained = self.networks[name].state_dict(), sources[name].state_dict()
            floats = [key for key, tensor in averaged.items() if tensor.is_floating_point()]
            torch._foreach_lerp_([averaged[key] for key in floats], [trained[key] for key in floats], weight)
            for key in averaged.keys() - floats:  # counters
                averaged[key].copy_(trained[key])

    def state_dict(self) -> dict[str, Any]:
        """The weights of every average."""
        return {name: network.state_dict() for name, network in self.networks.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of `state_dict`."""
        for name, network in self.networks.items():
            network.load_state_dict(state[name])


class Batches(Protocol):
    """A source of batches: `count` images, labels and counterparts for the step that begins at `nimg`."""

    def batch(self, nimg: int, count: int) -> Drawn: ...


@dataclass(frozen=True)
class Budget:
    """Training ends at `nimg` images or after `seconds`, whichever comes first; None is no limit."""

    nimg: int | None = None
    seconds: float | None = None

    def fraction(self, nimg: int, seconds: float) -> float:
        """The share spent, in [0, 1]."""
        by_images = nimg / self.nimg if self.nimg else 0.0
        by_time = seconds / self.seconds if self.seconds else 0.0
        return min(max(by_images, by_time), 1.0)


@dataclass(frozen=True)
class Beginning:
    """Learning-rate scale, warm-up and image count of a run with initial weights of another.

    lr_scale: factor on every learning rate. warmup_nimg: images over which it rises from 0 to that.
    seen_nimg: images that the weights were trained on before; ramps of averages count them.
    """

    lr_scale: float = 1.0
    warmup_nimg: float = 0.0
    seen_nimg: int = 0

    def lr_at(self, nimg: int) -> float:
        """The factor on learning rates of the step that begins at `nimg`."""
        risen = min((nimg + 1) / self.warmup_nimg, 1.0) if self.warmup_nimg else 1.0
        return self.lr_scale * risen


@dataclass
class Training:
    """The complete training state. nimg: images trained on. rescues: roll-backs after divergence.

    micro_batch: images computed at once, where a step's do not fit in memory; gradients add up, so that the
    batch stays what it is. Layers that look across it (batch norm, minibatch stddev) then see less of it.
    fits: images that do fit, once memory ran out: each time half as many.
    frozen: parameters that stay as they are, whichever network learns. beginning: how it begins.
    """

    trainable: Trainable
    seed: int
    device: torch.device
    precision: torch.dtype = torch.float32
    nimg: int = 0
    step: int = 0
    seconds: float = 0.0
    rescues: int = 0
    augment: Schedule | None = None
    micro_batch: int | None = None
    fits: int | None = None
    frozen: tuple[nn.Parameter, ...] = ()
    beginning: Beginning = Beginning()
    averages: Averages = field(init=False)
    graphs: Graphs = field(default_factory=Graphs, init=False)

    def __post_init__(self) -> None:
        for network in self.trainable.networks.values():
            network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaged = self.trainable.half_lives(self.progress(Budget()))
        self.averages = Averages({name: self.trainable.networks[name] for name in averaged})

    def progress(self, budget: Budget) -> Progress:
        """The current progress; each rescue has halved the learning rate and doubled gamma."""
        fraction = budget.fraction(self.nimg, self.seconds)
        lr_scale = 0.5**self.rescues * self.beginning.lr_at(self.nimg)
        return Progress(self.nimg, self.step, fraction, lr_scale, 2.0**self.rescues)

    def half_lives(self, progress: Progress) -> Mapping[str, float]:
        """Half-lives of the averages. Few of the images before the run count: a long average would trail."""
        total = replace(progress, nimg=progress.nimg + min(self.beginning.seen_nimg, _COUNTED))
        return self.trainable.half_lives(total)

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and strings only."""
        return {
            "counters": {name: getattr(self, name) for name in _COUNTERS},
            "fits": self.fits or 0,
            "networks": {name: net.state_dict() for name, net in self.trainable.networks.items()},
            "optimizers": {name: opt.state_dict() for name, opt in self.trainable.optimizers.items()},
            "averages": self.averages.state_dict(),
            "trainable": self.trainable.state_dict(),
            "augment": {} if self.augment is None else self.augment.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of `state_dict`; KeyError or RuntimeError if it is another family's."""
        self.graphs.clear()
        for name, network in self.trainable.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.trainable.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.averages.load_state_dict(state["averages"])
        self.trainable.load_state_dict(state["trainable"])
        if self.augment is not None:
            self.augment.load_state_dict(state.get("augment", {}))
        self.fits = state.get("fits") or self.fits
        for name in _COUNTERS:
            setattr(self, name, state["counters"][name])


_COUNTED = 40_000  # with a ramp of 5 %, half-lives begin at 2,000 images
_COUNTERS = ("nimg", "step", "seconds", "rescues")


@dataclass(frozen=True)
class Step:
    """The record of one step.

    fraction: share of the budget spent with it. values: logged scalars by name. finite: False if an update
    was skipped. fits: see `Training`.
    """

    nimg: int
    step: int
    fraction: float
    values: dict[str, float]
    finite: bool
    fits: int | None = None


def train(training: Training, batches: Batches, budget: Budget) -> Iterator[Step]:
    """Run steps until the budget is spent, yielding a record after each; the caller saves, logs and stops."""
    started, before = time.perf_counter(), training.seconds
    while budget.fraction(training.nimg, training.seconds) < 1:
        progress = training.progress(budget)
        training.trainable.begin_step(progress)
        count = training.trainable.batch_size
        share = ranks.share_of(count)
        with ranks.sharing(share):
            drawn = batches.batch(training.nimg, count)
        values, finite = _update(training, progress, drawn, share)
        training.averages.update(training.trainable.networks, training.half_lives(progress), count)
        training.nimg += count
        training.step += 1
        training.seconds = ranks.first(before + time.perf_counter() - started)
        spent = budget.fraction(training.nimg, training.seconds)
        yield Step(training.nimg, training.step, spent, values, finite, training.fits)


def _update(
    training: Training, progress: Progress, drawn: Drawn, share: Share
) -> tuple[dict[str, float], bool]:
    """Run all phases of one step; an update whose gradient is not finite is skipped.

    Gradients and logs are sums over all ranks, so that all of them take the same update or none.
    """
    trainable = training.trainable
    augment = training.augment
    if augment is not None:
        augment.begin_step(progress)
    augmentation = None if augment is None else augment.augmentation
    logs: dict[str, Tensor] = {}
    norms: dict[str, Tensor] = {}
    finite = True
    for index, phase in enumerate(trainable.phases(progress)):
        rng = torch.Generator(training.device)
        network = trainable.networks[phase.network]
        _freeze_all_but(training, network)
        batch = Batch(drawn.images, drawn.labels, rng, augmentation, drawn.others)
        logs |= _backward_that_fits(training, phase, batch, share, _phase_seed(training, index))
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        ranks.sum_gradients(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        norms[f"Grad/{phase.name}"] = norm
        if bool(torch.isfinite(norm)):
            trainable.optimizers[phase.network].step()
        else:
            finite = False
    scalars = ranks.summed(_stacked(logs)).tolist() + _stacked(norms).tolist()
    values = dict(zip([*logs, *norms], scalars, strict=True))
    if augment is not None:
        values["Progress/augment"] = augment.augmentation.p
        augment.end_step(values, share.total)
    return values, finite


def _stacked(scalars: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([value.detach().float() for value in scalars.values()]) if scalars else torch.zeros(0)


def _backward_that_fits(
    training: Training, phase: Phase, batch: Batch, share: Share, seed: int
) -> dict[str, Tensor]:
    """`_backward`, in ever smaller micro-batches where memory runs out. Raises MienError where none fits.

    What a network keeps of each batch in training (running means) may then have met some images twice.
    """
    while True:
        training.trainable.optimizers[phase.network].zero_grad(set_to_none=True)
        batch.rng.manual_seed(seed)
        try:
            logs = _replayed(training, phase, batch, share, seed)
            return _backward(training, phase, batch, share) if logs is None else logs
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if training.graphs.give_up():  # what they held may be all that was lacking
                continue
            full = min(training.fits or share.own, training.micro_batch or share.own, share.own)
        if full == 1:
            raise MienError("a single image a step is too much for this memory; take a smaller --preset")
        if ranks.count() > 1:  # the others wait for sums that will not come
            raise MienError(f"out of memory at {full} images; begin with --micro-batch {full // 2} --new")
        training.fits = full // 2
        if training.device.type == "cuda":
            torch.cuda.empty_cache()


def _replayed(
    training: Training, phase: Phase, batch: Batch, share: Share, seed: int
) -> dict[str, Tensor] | None:
    """`_backward` by a CUDA graph, where there can be one; else None.

    Of a batch that is taken as a whole, by one process, as it is: sums over ranks and the strength of
    augmentation, which changes from step to step, cannot be captured.
    """
    model = training.trainable
    parted = training.fits or training.micro_batch or batch.others is not None
    if training.device.type != "cuda" or parted or batch.augmentation is not None or ranks.count() > 1:
        return None
    if not isinstance(model, Capturable):
        return None
    return training.graphs.computed(
        phase,
        model.depends_on(phase),
        batch,
        seed,
        model,
        lambda kept: _backward(training, phase, kept, share),
    )


def _backward(training: Training, phase: Phase, batch: Batch, share: Share) -> dict[str, Tensor]:
    """Accumulate the gradients of the micro-batches; logs are this rank's part of means over all images."""
    low = training.precision != torch.float32 and not phase.full_precision
    logs: dict[str, Tensor] = {}
    parts = ranks.parts_of(share, training.fits or training.micro_batch)
    for part, part_share in zip(_split(batch, [part.own for part in parts]), parts, strict=True):
        weight = len(part.images) / share.total
        with ranks.sharing(part_share):
            with torch.autocast(training.device.type, dtype=torch.bfloat16, enabled=low):
                loss, values = training.trainable.loss(phase, part)
            (loss * (phase.gain * weight)).backward()  # type: ignore[no-untyped-call]
        logs = {name: logs.get(name, 0) + value.detach() * weight for name, value in values.items()}
    return logs


def _split(batch: Batch, sizes: list[int]) -> list[Batch]:
    """The batch in micro-batches of these sizes, all drawing from its generator in turn."""
    if len(sizes) == 1:
        return [batch]
    images = torch.split(batch.images, sizes)
    labels, others = (
        [None] * len(images) if rows is None else torch.split(rows, sizes)
        for rows in (batch.labels, batch.others)
    )
    return [
        replace(batch, images=i, labels=c, others=o) for i, c, o in zip(images, labels, others, strict=True)
    ]


def _freeze_all_but(training: Training, network: nn.Module) -> None:
    for other in training.trainable.networks.values():
        other.requires_grad_(other is network)
    for parameter in training.frozen:
        parameter.requires_grad_(False)


def _phase_seed(training: Training, index: int) -> int:
    """A separate seed for each (run, position, phase, rescue), the same in a resumed run."""
    mixed = 0
    for part in (training.seed, training.nimg, index, training.rescues):
        mixed = (mixed * 6364136223846793005 + part + 1442695040888963407) % 2**63
    return mixed

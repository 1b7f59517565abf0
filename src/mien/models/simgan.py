"""SimGAN: computer-generated pictures made to look real, while what is known of them stays true.

Shrivastava et al. 2017 (arXiv:1612.07828). A refiner learns to fool a discriminator of local patches, and to
change as little as that takes (self-regularisation). First the refiner learns to leave pictures alone, then
the discriminator to tell reals from what that refiner makes, then both in turn. Half of the refined pictures
that the discriminator sees are of earlier steps.

Beyond the paper, and off in the preset "paper": layers on a folded plane, a style by chance, variety seen by
the discriminator, gradient penalties (arXiv:1801.04406); and edges are kept rather than pixels, so that skin
may take another colour while lids and pupil stay where they are.
"""

import math
from collections.abc import Iterable
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from mien.core import ranks
from mien.core.family import FamilyConfig
from mien.core.image import to_float, to_uint8
from mien.core.types import Batch, Phase, Progress, Spec
from mien.models._base import Stateless, cosine
from mien.nn.penalty import squared_gradient
from mien.nn.refiner import LocalDiscriminator, Refiner
from mien.nn.warp import Warp, warped


class History:
    """Up to `size` pictures (Shrivastava et al. 2017, section 2.3). Kept in 8 bits, as reals are."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pictures: Tensor | None = None  # uint8 [count, C, H, W]

    def __len__(self) -> int:
        return 0 if self.pictures is None else len(self.pictures)

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """`count` different pictures, float32 in [-1, 1]; there must be as many."""
        assert self.pictures is not None
        where = torch.randperm(len(self), generator=rng, device=rng.device)[:count]
        return to_float(self.pictures[where])

    def keep(self, pictures: Tensor, rng: torch.Generator) -> None:
        """Take in float pictures [N, C, H, W]: until it is full beside the others, then in place of some."""
        new = to_uint8(pictures)
        room = self.size - len(self)
        self.pictures = new[:room] if self.pictures is None else torch.cat([self.pictures, new[:room]])
        if rest := len(new[room:]):
            where = torch.randperm(self.size, generator=rng, device=rng.device)[:rest]
            self.pictures[where] = new[room : room + len(where)]

    def state_dict(self) -> dict[str, Tensor]:
        """What a stop must preserve."""
        return {} if self.pictures is None else {"pictures": self.pictures}

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Take back what `state_dict` gave."""
        self.pictures = state["pictures"].to(device) if state else None


KIND = "refiner"
PRODUCT = "r"
_STEEP = 2.2  # where tanh is .976, and its slope .05
_SCALES = 3  # of edges: 1, 2 and 4 pixels


class Config(FamilyConfig):
    """Every number of the family."""

    batch_size: int = Field(16, ge=2, le=65_536, description="pictures an update, of either domain")
    width: int = Field(32, ge=1, le=4096, description="channels of the refiner")
    blocks: int = Field(4, ge=1, le=64, description="residual blocks of the refiner")
    fold: int = Field(2, ge=1, le=64, description="pixels a side that become channels; 1 is the paper's")
    style: int = Field(
        8, ge=0, le=4096, description="numbers by chance beside each picture; 0 is the paper's"
    )
    width_d: int = Field(48, ge=3, le=4096, description="channels of the discriminator's first layer")
    halvings: int = Field(2, ge=1, le=5, description="layers of stride 2; 2: patches of 23 px, 3: of 47 px")
    stddev_group: int = Field(
        4, ge=1, le=65_536, description="pictures whose variety the discriminator sees; 1: none"
    )
    keep: float = Field(1.0, ge=0, le=1e6, description="weight of leaving pictures as they are")
    keep_what: Literal["pixels", "gray", "edges"] = Field(
        "edges", description="of which: pixels, their gray values, or the edges of these"
    )
    pretrain_r: int = Field(
        100, ge=0, le=10**9, description="updates in which the refiner learns to change nothing"
    )
    pretrain_d: int = Field(50, ge=0, le=10**9, description="updates of the discriminator alone after that")
    k_g: int = Field(1, ge=1, le=1000, description="refiner updates a step")
    k_d: int = Field(1, ge=1, le=1000, description="discriminator updates a step")
    gamma: float = Field(
        0.05, ge=0, le=1e6, description="weight of the R1 and R2 penalties of a patch's score"
    )
    history: int = Field(512, ge=1, le=1_048_576, description="refined pictures that are shown again")
    lr_r: float = Field(5e-4, gt=0, le=10, description="learning rate of the refiner (Adam)")
    lr_d: float = Field(1e-3, gt=0, le=10, description="learning rate of the discriminator (Adam)")
    lr_final: float = Field(0.1, gt=0, le=1, description="share of both left at the budget's end (cosine)")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's first moment decay; the second is 0.999")
    shear: float = Field(0.1, ge=0, lt=1, description="the discriminator sees pictures sheared by up to this")
    shift: float = Field(0.1, ge=0, lt=0.5, description="moved by up to this share of a side")
    turn: float = Field(10.0, ge=0, le=180, description="turned by up to so many degrees")
    zoom: float = Field(0.1, ge=0, lt=0.5, description="scaled either way by up to this share")
    noise: float = Field(0.02, ge=0, le=10, description="with noise of this standard deviation (of 2)")
    ema_half_life_nimg: float = Field(
        1000, ge=0, le=1e12, description="half-life of the averaged refiner, in images"
    )


# The weightings that the project called normal, more and less passthrough.
_KEEP = {"default": 1.0, "normal": 1.0, "more": 4.0, "less": 0.25}
PRESETS = {
    **{name: Config(keep=keep) for name, keep in _KEEP.items()},
    "quick": Config(width=16, width_d=24),  # to see something after a minute
    "paper": Config(
        width=64,
        fold=1,
        style=0,
        width_d=96,
        stddev_group=1,
        keep_what="pixels",
        pretrain_r=1000,
        pretrain_d=200,
        k_g=2,
        gamma=0,
        lr_r=2e-4,
        lr_d=2e-4,
    ),
}


def sides(config: Config) -> Literal["domains"]:
    """It learns from rendered pictures and real ones that have nothing to do with each other."""
    return "domains"


def build_product(config: Config, spec: Spec) -> Refiner:
    """The refiner alone, untrained."""
    return Refiner(spec, width=config.width, blocks=config.blocks, fold=config.fold, style=config.style)


class SimGan(Stateless):
    """The networks, their optimisers, the schedule of phases, the losses and the history.

    Raises InputError for pictures too small.
    """

    config: Config
    product = PRODUCT

    def __init__(self, config: Config, spec: Spec) -> None:
        self.config, self.batch_size = config, config.batch_size
        d = LocalDiscriminator(
            spec, width=config.width_d, halvings=config.halvings, stddev_group=config.stddev_group
        )
        self.networks: dict[str, nn.Module] = {PRODUCT: build_product(config, spec), "d": d}
        self.optimizers: dict[str, Optimizer] = {
            name: Adam(network.parameters(), lr=config.lr_r, betas=(config.beta1, 0.999))
            for name, network in self.networks.items()
        }
        self._gamma = config.gamma
        self.history = History(config.history)
        self._warp = Warp(config.shear, config.shift, config.turn, config.zoom, config.noise)

    def stage(self, progress: Progress) -> Literal["prefit", "warm", "game"]:
        """What is learnt at this step: to change nothing, to tell apart, or both networks in turn."""
        if progress.step < self.config.pretrain_r:
            return "prefit"
        warm = progress.step < self.config.pretrain_r + self.config.pretrain_d
        return "warm" if warm else "game"

    def begin_step(self, progress: Progress) -> None:
        """Learning rates; and pictures for every update of the step, since each takes its own."""
        config = self.config
        share = cosine(1.0, config.lr_final, progress.fraction)
        rates = {PRODUCT: config.lr_r * share, "d": config.lr_d * share}
        for name, rate in rates.items():
            self.optimizers[name].param_groups[0]["lr"] = rate * progress.lr_scale
        self._gamma = config.gamma * progress.gamma_scale
        self.batch_size = config.batch_size * (self._most_updates if self.stage(progress) == "game" else 1)

    @property
    def _most_updates(self) -> int:
        return max(self.config.k_g, self.config.k_d)

    def phases(self, progress: Progress) -> Iterable[Phase]:
        """One update of one network while pretraining; then k_g of the refiner, k_d of the discriminator."""
        stage, steep = self.stage(progress), self.config.gamma > 0
        if stage == "prefit":
            return (Phase("prefit", PRODUCT),)
        if stage == "warm":
            return (Phase("warm", "d", full_precision=steep),)
        d = Phase("d", "d", full_precision=steep)
        return (Phase("r", PRODUCT),) * self.config.k_g + (d,) * self.config.k_d

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one phase; "prefit" and "warm" are the pretraining of refiner and discriminator."""
        if phase.name == "prefit":
            prefit = F.l1_loss(self._made(batch.images, batch), batch.images)  # of pixels, whatever is kept
            return prefit, {"Loss/R/prefit": prefit.detach()}
        if phase.name == "warm":
            with torch.no_grad():
                fakes = self._made(batch.images, batch)
            return self._tell_apart(fakes, self._reals(batch), batch)
        chosen = [self._chosen(pictures, batch) for pictures in (batch.images, self._reals(batch))]
        with ranks.dealt(len(chosen[0])) as (_, weight):
            images, reals = map(ranks.own, chosen)
            if phase.name == "r":
                loss, logs = self._refine(images, batch)
            else:
                with torch.no_grad():
                    fakes = self._with_history(self._made(images, batch), batch)
                loss, logs = self._tell_apart(fakes, reals, batch)
        return loss * weight, {name: value * weight for name, value in logs.items()}

    def _chosen(self, pictures: Tensor, batch: Batch) -> Tensor:
        """One update's share of the pictures of a step, of all ranks, by chance."""
        pictures = ranks.whole(pictures)
        count = math.ceil(len(pictures) / self._most_updates)
        where = torch.randperm(len(pictures), generator=batch.rng, device=pictures.device)[:count]
        return pictures[where]

    def _refine(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Equation 4 of the paper: look real patch by patch, and keep `keep_what`."""
        raw = self._r.before_tanh(images, self._r.draw(len(images), batch.rng))
        refined = torch.tanh(raw)
        realism = F.softplus(-self._scores(refined, batch)).mean()
        what = self.config.keep_what
        kept = F.l1_loss(features(refined, what), features(images, what))
        # Where a tanh has no slope left nothing can be learnt any more: all black would stay black.
        flat = F.relu(raw.abs() - _STEEP).mean()
        loss = realism + self.config.keep * kept + flat
        logs = {"Loss/G/loss": loss, "Loss/R/realism": realism, "Loss/R/kept": kept}
        return loss, {name: value.detach() for name, value in logs.items()}

    def _tell_apart(self, fakes: Tensor, reals: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Equation 2: the mean over patches, each domain weighing one half however many pictures it has.

        And the gradient penalties that keep scores from running away where all pictures are alike.
        """
        steep = self._gamma > 0
        reals, fakes = (side.detach().requires_grad_(steep) for side in (reals, fakes))
        real, fake = self._scores(reals, batch), self._scores(fakes, batch)
        loss = (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2
        logs = {"Loss/D/loss": loss, "Loss/scores/real": real.mean(), "Loss/scores/fake": fake.mean()}
        if steep:
            logs["Loss/r1_penalty"], logs["Loss/r2_penalty"] = (
                squared_gradient(scores.flatten(1).sum(dim=1) / scores[0].numel() ** 0.5, pictures).mean()
                * (self._gamma / 2)
                for scores, pictures in ((real, reals), (fake, fakes))
            )
            loss = loss + (logs["Loss/r1_penalty"] + logs["Loss/r2_penalty"]) / 2
        return loss, {name: value.detach() for name, value in logs.items()}

    def _with_history(self, fresh: Tensor, batch: Batch) -> Tensor:
        """Half of them give way to pictures of earlier steps, once there are enough; some are remembered.

        All ranks keep the same history, of the pictures of all.
        """
        fresh = ranks.whole(fresh)
        half = len(fresh) // 2
        shown = fresh
        if half and len(self.history) >= half:
            shown = torch.cat([fresh[half:], self.history.draw(half, batch.rng)])
        self.history.keep(fresh[: max(half, 1)], batch.rng)
        return ranks.own(shown)

    def _made(self, images: Tensor, batch: Batch) -> Tensor:
        return cast(Tensor, self._r(images, self._r.draw(len(images), batch.rng)))

    def _scores(self, pictures: Tensor, batch: Batch) -> Tensor:
        """Of pictures disturbed as those of the other domain are."""
        return cast(Tensor, self.networks["d"](warped(batch.augment(pictures), self._warp, batch.rng)))

    @staticmethod
    def _reals(batch: Batch) -> Tensor:
        if batch.others is None:
            raise ValueError("a refiner needs pictures of a second domain")
        return batch.others

    @property
    def _r(self) -> Refiner:
        return cast(Refiner, self.networks[PRODUCT])

    def state_dict(self) -> dict[str, Any]:
        """The history."""
        return dict(self.history.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the history back."""
        self.history.load_state_dict(state, next(self._r.parameters()).device)


build = SimGan


def features(images: Tensor, what: str) -> Tensor:
    """What of float pictures [N, C, H, W] is to stay: [N, anything].

    edges: differences of neighbours across and down in gray pictures reduced 1, 2 and 4 times.
    """
    if what == "pixels":
        return images.flatten(1)
    gray = images.mean(dim=1, keepdim=True)
    if what == "gray":
        return gray.flatten(1)
    parts: list[Tensor] = []
    for _ in range(_SCALES):
        parts += [gray.diff(dim=2).flatten(1), gray.diff(dim=3).flatten(1)]
        gray = F.avg_pool2d(gray, 2)
    return torch.cat(parts, dim=1)

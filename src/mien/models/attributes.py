"""A compact residual network that reads labels off a face: yes or no, one of several, or a number.

Which labels is said by name: --set labels=Smiling,Male,age,hair_colour,age:20/40/60 (default: every yes-no
column of the dataset). Labels that are not known count for nothing, neither for nor against.
"""

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from mien.core import ranks
from mien.core.errors import InputError
from mien.core.family import FamilyConfig
from mien.core.types import Batch, Dataset, Lesson, Phase, Progress, Spec
from mien.core.views import View
from mien.labels import encoding
from mien.labels.encoding import Target
from mien.labels.split import split_people
from mien.models._base import SingleNetwork
from mien.nn.batch_norm import Residual, norm_conv

KIND = "attributes"
PRODUCT = "net"


class Config(FamilyConfig):
    """Every number of the family."""

    labels: str = Field(
        "", description='labels to learn, "Smiling,age,hair_colour"; "" is every yes-no column'
    )
    held_out: float = Field(0.2, gt=0, lt=1, description="share of the people that is kept out, for testing")
    batch_size: int = Field(64, ge=2, le=65_536, description="pictures a step")
    width: int = Field(
        32, ge=4, le=4096, description="channels of the first stage; doubled a stage, to 8 times"
    )
    lr: float = Field(
        2e-3, gt=0, le=10, description="learning rate (AdamW) at its height, then a cosine to 0"
    )
    weight_decay: float = Field(0.05, ge=0, le=1e3, description="AdamW's weight decay")
    most_weight: float = Field(4.0, ge=1, le=1e6, description="most that a rare yes may weigh beside a no")
    shift: float = Field(0.06, ge=0, lt=0.5, description="pictures are moved by up to this share of a side")
    zoom: float = Field(0.08, ge=0, lt=0.5, description="and scaled by up to this share")
    brightness: float = Field(0.15, ge=0, lt=1, description="and lit and contrasted by up to this share")
    ema_half_life_nimg: float = Field(
        1000, ge=0, le=1e12, description="half-life of the averaged network, in images"
    )


PRESETS = {"default": Config(), "quick": Config(width=16)}


def lesson(config: Config, dataset: Dataset) -> Lesson:
    """Choose the labels, and keep people out for testing. InputError for labels that cannot be learnt."""
    targets = encoding.choose(dataset, config.labels)
    rows = encoding.encode(dataset, targets)
    split = split_people(dataset.records, share=config.held_out)
    targets, rows, notes = _varied(targets, rows, split.train, named=bool(config.labels.strip()))
    names = tuple(name for target in targets for name in target.column_names)
    train, held_out = (
        View(dataset, side, labels=rows[side], class_names=names) for side in (split.train, split.held_out)
    )
    count = f"{len(train):,} pictures; {len(held_out):,}"
    summary = f"learns {len(targets)} labels from {count} kept out {split.how}"
    mirrored = encoding.mirrored(targets, rows[split.train])
    return Lesson(train, held_out, mirrored, split.how, (summary, *notes))


def build_product(config: Config, spec: Spec) -> "Reader":
    """The network alone, untrained."""
    return Reader(spec, width=config.width)


class Reader(nn.Module):
    """Pictures to label columns.

    Buffers hold what follows from the training labels (`meet`): centre and scale of every column, and the
    log of the weight that a yes has in the loss.
    """

    centre: Tensor
    scale: Tensor
    log_weight: Tensor

    def __init__(self, spec: Spec, *, width: int) -> None:
        super().__init__()
        if not spec.class_names:
            raise InputError("an attribute model needs labels to learn, and none are named")
        if spec.resolution < 8:
            raise InputError(f"pictures of {spec.resolution} px: an attribute model needs 8 or more")
        self.spec, self.targets = spec, encoding.parse(spec.class_names)
        stages = max(spec.resolution.bit_length() - 3, 1)  # down to about 4 px
        widths = [min(width * 2**i, width * 8) for i in range(stages)]
        layers: list[nn.Module] = []
        for before, after in zip([spec.channels, *widths], widths, strict=False):
            layers += [norm_conv(before, after, 4, stride=2), nn.ReLU(inplace=True)]
            layers.append(Residual(after, begins=0.0))
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], spec.label_dim)
        for name, value in (("centre", 0.0), ("scale", 1.0), ("log_weight", 0.0)):
            self.register_buffer(name, torch.full((spec.label_dim,), value))

    def forward(self, images: Tensor) -> Tensor:
        """float [N, C, H, W] in [-1, 1] -> float32 [N, columns]: log-odds, logits, standardised numbers."""
        features = self.layers(images).float().mean(dim=(2, 3))
        # In float32: log-odds of rare labels need more than three digits.
        with torch.autocast(images.device.type, enabled=False):
            return cast(Tensor, self.head(features))

    @torch.no_grad()
    def read(self, images: Tensor) -> Tensor:
        """Probabilities of yes-no and one-of columns, and numbers in their own unit; float32 [N, columns]."""
        raw = self(images).float()
        out = torch.empty_like(raw)
        for target in self.targets:
            place, part = target.columns, raw[:, target.columns]
            if target.kind == "yes-no":
                out[:, place] = torch.sigmoid(part)
            elif target.kind == "one-of":
                out[:, place] = torch.softmax(part, dim=1)
            else:
                out[:, place] = part * self.scale[place] + self.centre[place]
        return out

    @torch.no_grad()
    def meet(self, labels: Tensor, *, most_weight: float) -> None:
        """Take centre, scale and weights from the training labels, and begin at the base rates.

        A yes that is rare weighs sqrt(no / yes) in the loss, `most_weight` at most.
        """
        known = ~torch.isnan(labels)
        count = known.sum(0).clamp(min=1)
        mean = torch.nan_to_num(labels).sum(0) / count
        spread = (torch.nan_to_num(labels - mean) ** 2).sum(0).div(count).sqrt()
        for target in self.targets:
            place = target.columns
            if target.kind == "number":
                self.centre[place], self.scale[place] = mean[place], spread[place].clamp(min=1e-6)
                self.head.bias[place] = 0
                continue
            rate = mean[place].clamp(1e-3, 1 - 1e-3)
            if target.kind == "yes-no":
                self.log_weight[place] = ((1 - rate) / rate).sqrt().clamp(1, most_weight).log()
                self.head.bias[place] = torch.logit(rate)
            else:
                self.head.bias[place] = rate.log()


class Attributes(SingleNetwork):
    """The network of the columns that `spec` names, its optimiser and its loss; InputError for no names."""

    def __init__(self, config: Config, spec: Spec) -> None:
        self.config, self.batch_size = config, config.batch_size
        net = build_product(config, spec)
        self.networks: dict[str, nn.Module] = {PRODUCT: net}
        optimizer = AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        self.optimizers: dict[str, Optimizer] = {PRODUCT: optimizer}

    def meet(self, dataset: Dataset) -> None:
        """Look at the labels that will be learnt, once before training."""
        labels = torch.from_numpy(np.asarray(dataset.labels, np.float32))
        self._net.meet(labels, most_weight=self.config.most_weight)

    @property
    def _net(self) -> Reader:
        return cast(Reader, self.networks[PRODUCT])

    def begin_step(self, progress: Progress) -> None:
        """Warm up over 2 % of the budget, then a cosine to 0."""
        warm = min((progress.step + 1) / 50, 1.0)
        cosine = (1 + np.cos(np.pi * progress.fraction)) / 2
        rate = self.config.lr * warm * max(cosine, 1e-3) * progress.lr_scale
        self.optimizers[PRODUCT].param_groups[0]["lr"] = float(rate)

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over labels of the mean over the pictures of which the label is known."""
        assert batch.labels is not None
        raw = self._net(disturbed(batch.images, batch.rng, self.config))
        losses = [self._target_loss(target, raw, batch.labels) for target in self._net.targets]
        loss = torch.stack(losses).mean()
        return loss, {"Loss/net/loss": loss.detach()}

    def _target_loss(self, target: Target, raw: Tensor, labels: Tensor) -> Tensor:
        place, truth = target.columns, labels[:, target.columns]
        known = ~torch.isnan(truth[:, :1])
        truth = torch.nan_to_num(truth)
        part = raw[:, place]
        if target.kind == "one-of":
            each = F.cross_entropy(part, truth, reduction="none")[:, None]
        elif target.kind == "number":
            scaled = (truth - self._net.centre[place]) / self._net.scale[place]
            each = F.smooth_l1_loss(part, torch.where(known, scaled, part.detach()), reduction="none")
        else:
            # Weighing a yes by w raises the log-odds that are learnt by log w; adding it here leaves
            # the network's own output calibrated (King and Zeng 2001).
            shifted, weight = part + self._net.log_weight[place], self._net.log_weight[place].exp()
            each = F.binary_cross_entropy_with_logits(shifted, truth, pos_weight=weight, reduction="none")
        return ranks.weighted_mean(each, known)


build = Attributes


def disturbed(images: Tensor, rng: torch.Generator, config: Config) -> Tensor:
    """Pictures moved, scaled, lit and contrasted a little, each in its own way; none is mirrored here."""
    count, device = len(images), images.device

    def draw(*shape: int) -> Tensor:
        return ranks.drawn(torch.rand, (count, *shape), rng) * 2 - 1

    with torch.autocast(device.type, enabled=False):
        theta = torch.zeros(count, 2, 3, device=device)
        theta[:, 0, 0] = theta[:, 1, 1] = 1 + config.zoom * draw()
        theta[:, :, 2] = 2 * config.shift * draw(2)
        places = F.affine_grid(theta, list(images.shape), align_corners=False)
        moved = F.grid_sample(images.float(), places, padding_mode="reflection", align_corners=False)
        light, contrast = config.brightness * draw(1, 1, 1), 1 + config.brightness * draw(1, 1, 1)
        lit = (moved * contrast + light).clamp(-1, 1)
    return lit.contiguous(memory_format=torch.channels_last)


def _varied(
    targets: tuple[Target, ...], rows: np.ndarray, train: np.ndarray, *, named: bool
) -> tuple[tuple[Target, ...], np.ndarray, list[str]]:
    """Leave out labels that are the same for all to learn from; InputError where they were asked for."""
    flat = []
    for target in targets:
        columns = rows[train][:, target.columns]
        known = columns[~np.isnan(columns).any(axis=1)]
        if len(known) < 2 or (known == known[0]).all():
            flat.append(target)
    names = ", ".join(target.name for target in flat)
    if flat and (named or len(flat) == len(targets)):
        raise InputError(f"nothing to learn about {names}: it is the same in every picture to learn from")
    left = [target for target in targets if target not in flat]
    places = [place for target in left for place in range(target.columns.start, target.columns.stop)]
    column_names = [name for target in left for name in target.column_names]
    notes = [f"left out, since they are the same in every picture: {names}"] if flat else []
    return encoding.parse(column_names), rows[:, places], notes

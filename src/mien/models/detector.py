"""detector: tells synthetic faces from photographs by shapes, up-sampling traces and the spectrum.

It learns from pictures with the label `synthetic`, all of them after a history of resizing, JPEG, blur, noise
and colours that is drawn from one distribution. `mien detector train` makes such a dataset and trains it.
"""

from functools import partial
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
from mien.core.image import to_float, to_uint8
from mien.core.reencode import drawn_history
from mien.core.types import Batch, Dataset, Lesson, Phase, Progress, Spec
from mien.core.views import View
from mien.labels.encoding import encode, parse
from mien.labels.split import split_people
from mien.models._base import SingleNetwork, cosine
from mien.models._pseudo import spoilt
from mien.nn.forensic import ForensicNet

KIND = "detector"
PRODUCT = "net"
LABEL = "synthetic"


class Config(FamilyConfig):
    """Every number of the family."""

    batch_size: int = Field(64, ge=2, le=65_536, description="pictures a step")
    held_out: float = Field(0.2, gt=0, lt=1, description="share of the pictures kept out, to calibrate by")
    width: int = Field(16, ge=2, le=4096, description="channels of the first stage that sees pixels")
    traces_width: int = Field(12, ge=2, le=4096, description="channels of the first that sees residuals")
    members: int = Field(
        1,
        ge=1,
        le=16,
        description="experts, each for other fakes; benchmarks/package_detector.py joins trained ones",
        json_schema_extra={"since": "0.2"},
    )
    lr: float = Field(2e-3, gt=0, le=10, description="learning rate (AdamW) at its height, then a cosine")
    weight_decay: float = Field(0.05, ge=0, le=1e3, description="AdamW's weight decay")
    smoothing: float = Field(0.05, ge=0, lt=0.5, description="of the labels, against being too sure")
    spoilt: float = Field(
        0.4, ge=0, le=1, description="share of the real pictures that are spoilt and then count as synthetic"
    )
    histories: bool = Field(True, description="draw a history of resizing, JPEG, blur... for each picture")
    ema_half_life_nimg: float = Field(
        2000, ge=0, le=1e12, description="half-life of the averaged network, in images"
    )


PRESETS = {"default": Config(), "tiny": Config(batch_size=16, width=4, traces_width=4)}


def lesson(config: Config, dataset: Dataset) -> Lesson:
    """Take the label `synthetic`, and keep pictures out. InputError where it is missing or constant."""
    rows = encode(dataset, parse((LABEL,)))
    if np.isnan(rows).any() or len(np.unique(rows)) < 2:
        raise InputError(
            f"{dataset.name}: every picture needs the label `{LABEL}`, 0 or 1, and both must occur;"
            " mien detector train makes such a dataset"
        )
    split = split_people(dataset.records, share=config.held_out)
    for part, name in ((split.train, "learn from"), (split.held_out, "keep out")):
        if len(np.unique(rows[part])) < 2:
            raise InputError(f"{dataset.name}: too few pictures: those to {name} are all alike")
    train, held_out = (
        View(dataset, part, labels=rows[part], class_names=(LABEL,)) for part in (split.train, split.held_out)
    )
    summary = (
        f"learns from {int(rows[split.train].sum()):,} synthetic and {int((1 - rows[split.train]).sum()):,}"
    )
    return Lesson(train, held_out, None, split.how, (f"{summary} real pictures; {len(held_out):,} kept out",))


def build_product(config: Config, spec: Spec) -> ForensicNet:
    """The network alone, untrained."""
    if spec.resolution < 8 or spec.resolution % 2:
        raise InputError(f"pictures of {spec.resolution} px: a detector needs an even number, 8 or more")
    return ForensicNet(spec, width=config.width, traces_width=config.traces_width, members=config.members)


class DetectorTraining(SingleNetwork):
    """The network, its optimiser and its loss. share: of synthetic pictures among those to learn from."""

    def __init__(self, config: Config, spec: Spec) -> None:
        self.config, self.batch_size, self.share = config, config.batch_size, 0.5
        net = build_product(config, spec)
        self.networks: dict[str, nn.Module] = {PRODUCT: net}
        optimizer = AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        self.optimizers: dict[str, Optimizer] = {PRODUCT: optimizer}

    def meet(self, dataset: Dataset) -> None:
        """Count the synthetic pictures, so that both classes weigh alike whatever their numbers."""
        self.share = float(np.mean(np.asarray(dataset.labels)[:, 0]))

    def begin_step(self, progress: Progress) -> None:
        """Warm up over 50 steps, then a cosine to 0."""
        rate = self.config.lr * min((progress.step + 1) / 50, 1.0) * cosine(1.0, 0.001, progress.fraction)
        self.optimizers[PRODUCT].param_groups[0]["lr"] = float(rate * progress.lr_scale)

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of the sum of the parts, and a little of each alone: none leaves it to the others."""
        assert batch.labels is not None
        images, labels = prepared(batch, self.config)
        parts = cast(ForensicNet, self.networks[PRODUCT]).parts(images)
        share = self.share + (1 - self.share) * self.config.spoilt
        weights = torch.where(labels > 0.5, 0.5 / share, 0.5 / max(1 - share, 1e-3))
        target = labels * (1 - 2 * self.config.smoothing) + self.config.smoothing
        whole = F.binary_cross_entropy_with_logits(parts.sum(dim=1, keepdim=True), target, weights)
        each = F.binary_cross_entropy_with_logits(parts, target.expand_as(parts), weights.expand_as(parts))
        return whole + 0.3 * each, {"Loss/net/loss": whole.detach()}


build = DetectorTraining


def prepared(batch: Batch, config: Config) -> tuple[Tensor, Tensor]:
    """Images with a history each, some real ones spoilt first, and the labels [N, 1] that they then have."""
    assert batch.labels is not None
    seeds = ranks.drawn(partial(torch.randint, 1 << 62), (len(batch.images),), batch.rng).tolist()
    channels, device = batch.images.shape[1], batch.images.device
    pixels = to_uint8(batch.images).permute(0, 2, 3, 1).cpu().numpy()
    pixels = np.repeat(pixels, 3, axis=3) if channels == 1 else pixels
    labels = batch.labels[:, :1].cpu().numpy().copy()
    changed = []
    for index, (one, seed) in enumerate(zip(pixels, seeds, strict=True)):
        rng = np.random.default_rng(seed)
        one = np.ascontiguousarray(one)
        if labels[index, 0] < 0.5 and rng.random() < config.spoilt:
            one, labels[index] = spoilt(one, rng), 1.0
        changed.append(drawn_history(one, rng) if config.histories else one)
    tensor = torch.from_numpy(np.stack(changed)[..., :channels]).permute(0, 3, 1, 2).to(device)
    images = to_float(tensor).contiguous(memory_format=torch.channels_last)
    return images, torch.from_numpy(labels).to(device)

"""encoder: images to a generator's latents in a few passes (ReStyle; Alaluf et al. 2021, arXiv:2104.02699).

It learns in turn from the generator's own samples, whose latents are known, and from real images; by the
latents, and by what is drawn of them: pixels and, where it is given, a perceptual distance. `mien encoder`
trains it. Latents are coordinates: where one row of ws leads (lite), the others count from there, so that
few numbers say nearly all.
"""

import math
from collections.abc import Callable, Iterable
from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from mien.core.errors import InputError
from mien.core.family import FamilyConfig
from mien.core.ranks import drawn
from mien.core.sampling import on_its_device
from mien.core.styles import Styled, from_unled, mean_latent, row_deviation, sample_styles, synthesised, unled
from mien.core.types import Batch, Dataset, Generator, Lesson, Phase, Progress, Spec
from mien.models import lite
from mien.models._base import Stateless, cosine
from mien.nn.latent_encoder import LatentEncoder

KIND = "encoder"
PRODUCT = "encoder"
_SMALLER = 4  # the pixel loss looks at averages of so many pixels' sides too
Distance = Callable[[Tensor, Tensor], Tensor]  # of images [N, C, H, W] each to its partner: [N]


class Config(FamilyConfig):
    """Every number of the family."""

    batch_size: int = Field(16, ge=1, le=65_536, description="pictures a step")
    model: str = Field("", description="id of the generator whose latents it finds")
    shape: tuple[int, ...] = Field((), description="of a latent: num_ws, w_dim or z_dim; by the generator")
    passes: int = Field(2, ge=1, le=64, description="passes that are learnt, each refining the latent")
    passes_at_use: int = Field(5, ge=1, le=64, description="passes when it is used")
    width: int = Field(64, ge=1, le=4096, description="channels of the first stage")
    max_width: int = Field(192, ge=1, le=8192, description="most channels of any stage")
    hidden: int = Field(256, ge=1, le=65_536, description="size of the layer before the latent")
    axes: int = Field(
        256, ge=0, le=4096, description="directions of w that images react to most, for refining; at most"
    )
    lr: float = Field(1e-3, gt=0, le=10, description="learning rate (Adam)")
    lr_final: float = Field(
        0.05, gt=0, le=1, description="share of lr left at the end of the budget (cosine)"
    )
    image_interval: int = Field(
        2, ge=0, le=65_536, description="every so manieth step learns from real images; 0: none"
    )
    pixel_weight: float = Field(5.0, ge=0, le=1e6, description="weight of the pixels' squared error")
    perceptual_weight: float = Field(1.0, ge=0, le=1e6, description="weight of LPIPS, where it is to be had")
    ema_half_life_nimg: float = Field(
        1000, ge=0, le=1e12, description="half-life of the averaged encoder, in images"
    )


PRESETS = {
    "default": Config(),
    "tiny": Config(batch_size=4, width=4, max_width=8, hidden=8, passes_at_use=2, axes=8),
}
_UNTRAINED = lite.Config(z_dim=8, mapping_layers=2, w_dim=8, width_g=4, width_d=4, max_width=8)


def lesson(config: Config, dataset: Dataset) -> Lesson:
    """Refuses: this family learns about a generator, which `mien train` has none of."""
    raise InputError("encoders are trained by: mien encoder RUN --out FOLDER")


def build(config: Config, spec: Spec) -> "EncoderTraining":
    """A new encoder, of an untrained generator; `EncoderTraining` takes any other."""
    return EncoderTraining(config, spec, lite.build_generator(_UNTRAINED, spec).eval())


def build_product(config: Config, spec: Spec) -> LatentEncoder:
    """The encoder alone, untrained."""
    if not config.shape:
        raise ValueError("the file does not say what latents are like")
    return LatentEncoder(
        spec,
        config.shape,
        width=config.width,
        most=config.max_width,
        hidden=config.hidden,
        axes=min(config.axes, math.prod(config.shape)) if len(config.shape) == 2 else 0,
    )


class EncoderTraining(Stateless):
    """The encoder, the generator that it learns about (which stays as it is) and the optimiser.

    distance: the perceptual one, differentiable in the first images.
    """

    product = "encoder"
    ramp = None

    def __init__(
        self, config: Config, spec: Spec, generator: nn.Module, distance: Distance | None = None
    ) -> None:
        mean, scale = latent_statistics(generator)
        self.config = config.model_copy(update={"shape": tuple(mean.shape)})
        self.batch_size = config.batch_size
        self._distance = distance
        encoder = build_product(self.config, spec)
        encoder.mean.copy_(mean)
        encoder.scale.copy_(scale)
        self.networks: dict[str, nn.Module] = {"encoder": encoder, "g": generator}
        self.optimizers: dict[str, Optimizer] = {"encoder": Adam(encoder.parameters(), lr=config.lr)}

    def begin_step(self, progress: Progress) -> None:
        """Cosine from lr to lr * lr_final over the budget, times what the divergence guard asks."""
        share = cosine(1.0, self.config.lr_final, progress.fraction)
        self.optimizers["encoder"].param_groups[0]["lr"] = self.config.lr * share * progress.lr_scale

    def phases(self, progress: Progress) -> Iterable[Phase]:
        """Samples of the generator, or every so manieth step real images."""
        interval = self.config.image_interval
        real = interval and progress.step % interval == interval - 1
        yield Phase("images" if real else "samples", "encoder")

    def loss(self, phase: Phase, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over all passes; no gradient flows from one pass into the one before."""
        encoder, generator = cast(LatentEncoder, self.networks["encoder"]), self.networks["g"]
        labels = batch.labels if cast(Generator, generator).spec.label_dim else None
        images, true = batch.images, None
        if phase.name == "samples":
            images, true = self._samples(batch, labels)
        # Without labels the first image is the same for all.
        count = 1 if labels is None else len(images)
        coordinates = encoder.mean.expand(count, *encoder.mean.shape)
        with torch.no_grad():
            drawn = draw_latents(generator, from_coordinates(generator, coordinates), labels)
        losses: list[Tensor] = []
        for number in range(1, self.config.passes + 1):
            last = number == self.config.passes
            coordinates = coordinates.detach() + encoder(images, drawn.expand(len(images), -1, -1, -1))
            latents = from_coordinates(generator, coordinates)
            loss = torch.zeros(()) if true is None else _latents(latents, true, encoder.scale)
            by_images = last or true is None
            with torch.set_grad_enabled(by_images):
                drawn = draw_latents(generator, latents, labels)
            if by_images:
                loss = loss + self._apart(drawn, images, perceptual=last)
            losses.append(loss)
            drawn = drawn.detach()
        return torch.stack(losses).mean(), {f"Loss/{phase.name}/loss": losses[-1].detach()}

    def _apart(self, drawn: Tensor, images: Tensor, *, perceptual: bool) -> Tensor:
        """How far drawn images are from those they should be."""
        loss: Tensor = self.config.pixel_weight * _pixels(drawn, images)
        if perceptual and self._distance is not None:
            loss = loss + self.config.perceptual_weight * self._distance(drawn, images).mean()
        return loss

    @torch.no_grad()
    def _samples(self, batch: Batch, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """As many of the generator's own images, and their latents."""
        network = self.networks["g"]
        z_dim = cast(Generator, network).z_dim
        z = drawn(torch.randn, (len(batch.images), z_dim), batch.rng)
        latents = network.mapping(z, labels) if isinstance(network, Styled) else z
        return draw_latents(network, latents, labels), latents

    def depends_on(self, phase: Phase) -> None:
        """See `Capturable`: nothing else."""


def latent_statistics(generator: nn.Module) -> tuple[Tensor, Tensor]:
    """The mean as coordinates, and the deviation of each row of ws over what varies; [num_ws, w_dim].

    Of a generator without w: 0 and 1, [z_dim].
    """
    if not isinstance(generator, Styled):
        z_dim = cast(Generator, generator).z_dim
        return torch.zeros(z_dim), torch.ones(z_dim)
    width = generator.spec.label_dim
    labels = torch.eye(width) if width else None
    with torch.no_grad():
        mean = unled(generator, mean_latent(generator, labels))[0]
    return mean, row_deviation(sample_styles(generator, labels))


def from_coordinates(generator: nn.Module, coordinates: Tensor) -> Tensor:
    """Latents of what an encoder adds up: ws [N, num_ws, w_dim], or z [N, z_dim]; differentiable."""
    return from_unled(generator, coordinates) if isinstance(generator, Styled) else coordinates


def draw_latents(generator: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor:
    """Images float [N, C, H, W] of ws [N, num_ws, w_dim], or of z [N, z_dim] with labels; differentiable."""
    if isinstance(generator, Styled):
        return synthesised(generator, latents)
    return on_its_device(generator, generator, latents, labels)


def _pixels(drawn: Tensor, images: Tensor) -> Tensor:
    """Mean squared error of the images and of their averages."""
    difference = drawn.float() - images
    return difference.square().mean() + F.avg_pool2d(difference, _SMALLER).square().mean()


def _latents(predicted: Tensor, true: Tensor, scale: Tensor) -> Tensor:
    """Mean squared error in deviations: the mean over rows of w of that over the numbers that vary."""
    moving = (scale > 0).float()
    error = ((predicted - true) / scale.clamp(min=1e-6)).square() * moving
    if scale.ndim == 1:
        return error.mean()
    numbers = moving.sum(dim=-1)  # of each row; rows that never vary have none
    rows = error.sum(dim=-1) / numbers.clamp(min=1)
    return rows.sum() / ((numbers > 0).sum() * (rows.numel() // len(numbers)))

"""The strided 4x4 topology of DCGAN (Radford et al. 2016, arXiv:1511.06434), shared by `dcgan` and `lite`."""

import itertools
import math
from typing import cast

import torch
from torch import Tensor, nn

from mien.core.errors import power_of_two
from mien.core.types import Spec
from mien.nn.batch_norm import BatchNorm2d, minibatch_stddev


def stages(resolution: int) -> int:
    """How many doublings lead from 4 px to `resolution`; InputError unless a power of two, 8 to 256."""
    return power_of_two(resolution, 8, 256) - 2


class Generator(nn.Module):
    """Latents to pictures: 1x1 -> 4x4 -> ... -> resolution by transposed 4x4 convolutions, BN, ReLU, tanh."""

    def __init__(self, spec: Spec, *, z_dim: int, width: int, max_width: int) -> None:
        super().__init__()
        self.spec, self.z_dim = spec, z_dim
        self.embed = nn.Linear(spec.label_dim, z_dim, bias=False) if spec.label_dim else None
        if self.embed is not None:
            # Several labels at once must not drown the latent: all who share them would look the same.
            nn.init.normal_(self.embed.weight, std=spec.label_dim**-0.5)
        doublings = stages(spec.resolution)
        widths = [min(width * 2**i, max_width) for i in reversed(range(doublings))]
        inputs = z_dim * 2 if spec.label_dim else z_dim
        layers: list[nn.Module] = [nn.ConvTranspose2d(inputs, widths[0], 4, bias=False)]
        for before, after in itertools.pairwise(widths):
            layers += [BatchNorm2d(before), nn.ReLU(inplace=True)]
            layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)]
        layers += [BatchNorm2d(widths[-1]), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(widths[-1], spec.channels, 4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, z: Tensor, labels: Tensor | None = None, *, psi: float = 1.0) -> Tensor:
        """z: [N, z_dim], labels: [N, label_dim] -> [N, C, H, W] in [-1, 1]. psi scales z towards its mean."""
        z = z * psi
        if self.embed is not None:
            if labels is None:
                raise ValueError("this generator is conditional: labels are needed")
            z = torch.cat([z, self.embed(labels)], dim=1)
        return torch.tanh(self.layers(z[:, :, None, None]).float())


class Discriminator(nn.Module):
    """Pictures to scores: strided 4x4 convolutions, leaky ReLU, optional BN, optional minibatch stddev.

    With labels the last layer gives a vector that is projected on the label's embedding (Miyato and Koyama
    2018, arXiv:1802.05637). bias: of the last layer; a relativistic loss, which sees differences of scores
    alone, gives it no gradient.
    """

    def __init__(
        self, spec: Spec, *, width: int, max_width: int, norm: bool, stddev_group: int, bias: bool
    ) -> None:
        super().__init__()
        self.spec, self.stddev_group = spec, stddev_group
        doublings = stages(spec.resolution)
        widths = [min(width * 2**i, max_width) for i in range(doublings)]
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(zip([spec.channels, *widths], widths, strict=False)):
            normed = norm and index > 0
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not normed))
            layers += [BatchNorm2d(after)] if normed else []
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.layers = nn.Sequential(*layers)
        outputs = widths[-1] if spec.label_dim else 1
        self.head = nn.Conv2d(widths[-1] + (stddev_group > 1), outputs, 4, bias=bias)
        self.embed = nn.Linear(spec.label_dim, outputs) if spec.label_dim else None
        self.apply(initialise)
        if self.embed is not None:
            # The bias is the score that no label changes: without it a row of zeros would score nothing.
            nn.init.normal_(self.embed.weight)
            nn.init.normal_(self.embed.bias)

    @property
    def freezable(self) -> list[nn.Module]:
        """Each convolution with its batch norm, if it has one; the picture's first."""
        parts: list[nn.Module] = []
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                parts.append(layer)
            elif isinstance(layer, nn.BatchNorm2d):
                parts[-1] = nn.ModuleList([parts[-1], layer])
        return parts

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """images: [N, C, H, W] in [-1, 1] -> scores, float32 [N]; the higher the more real."""
        return self.score(self.features(images), labels)

    def features(self, images: Tensor) -> Tensor:
        """float32 [N, outputs]: what is seen, before any label is looked at."""
        x = self.layers(images)
        if self.stddev_group > 1:
            x = minibatch_stddev(x, group_size=self.stddev_group)
        return cast(Tensor, self.head(x)).flatten(1).float()

    def score(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Scores [N] of pictures with these features and labels."""
        if self.embed is None:
            return features[:, 0]
        if labels is None:
            raise ValueError("this discriminator is conditional: labels are needed")
        embedded = cast(Tensor, self.embed(labels)).float()
        return (features * embedded).sum(dim=1) / math.sqrt(features.shape[1])


def initialise(module: nn.Module) -> None:
    """DCGAN's initialisation: weights N(0, .02), BN scales N(1, .02), biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
    bias = getattr(module, "bias", None)
    if isinstance(bias, Tensor):
        nn.init.zeros_(bias)

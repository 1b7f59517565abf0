"""The spaces a projection moves in: z, w and W+ as coordinates around the mean of many samples; noise maps.

Coordinates are in standard deviations, so that one learning rate serves generators of any scale. StyleGAN's
noise maps are part of a projection (Karras et al. 2020, arXiv:1912.04958, appendix D).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mien.core.errors import InputError
from mien.core.network import LoadedNetwork
from mien.core.sampling import device_of, on_its_device
from mien.core.styles import (
    Styled,
    from_unled,
    has_leading_row,
    row_deviation,
    sample_styles,
    tied_rows,
    to_size,
    unled,
)

Name = Literal["z", "w", "w+"]
Parameters = dict[str, Tensor]  # what is optimised, each [N, ...]: "latent", perhaps "label" and noise maps
NoiseMaps = Mapping[str, Tensor]  # "noise:" and the buffer's name: float32 [N, 1, H, W]
_PREFIX = "noise:"
_BUFFER = "noise_const"
_COARSEST = 8  # pixels of the last level of the noise penalty's pyramid
# How quickly w leaves what the latent leads to, beside the latent itself: less finds the true w more often.
_LOOSE: dict[str, float] = {"w": 0.1, "w+": 0.3}
_GRADIENTS = 16  # images at once for `sensitive_directions`
_SHELL = 3.0  # standard deviations by which the length of z may differ from that of a normal latent


@dataclass(frozen=True)
class Labels:
    """Labels of the targets. rows: float32 [N, label_dim], or None. moves: are they optimised too?

    choice: exactly one column is 1 (classes), else each lies between 0 and 1.
    """

    rows: Tensor | None = None
    moves: bool = False
    choice: bool = False

    def coordinates(self, rows: Tensor) -> Tensor:
        """Logits whose `meant` is `rows`, softened so that they can still move."""
        soft = rows.clamp(0.02, 0.98)
        return soft.log() if self.choice else torch.logit(soft)

    def meant(self, coordinates: Tensor) -> Tensor:
        """The labels [N, label_dim] of logits."""
        return coordinates.softmax(dim=1) if self.choice else coordinates.sigmoid()


class WSpace:
    """w, where tied layers share a vector, or W+, where each layer has its own.

    Coordinates count from the mean; where the first row is the latent itself (lite), those of the others
    count from the w that this latent leads to, so that latent and w move together.

    basis: orthonormal [k, rows * w_dim], see `sensitive_directions`. Coordinates along it stand first, then
    what is left. Adam steps along each coordinate alike, and gets on faster where each does its own thing.
    dims: numbers in one latent's coordinates, for the strength of noise.
    """

    def __init__(
        self, loaded: LoadedNetwork[Any], name: Name, labels: Tensor | None, basis: Tensor | None = None
    ) -> None:
        self.name, self._basis = name, basis
        self._generator = cast(Styled, loaded.network)
        self._groups = tied_rows(self._generator)
        if name == "w+":
            self._groups = tuple((row,) for row in range(self._generator.num_ws))
        self._place = torch.zeros(self._generator.num_ws, dtype=torch.long)
        for index, group in enumerate(self._groups):
            self._place[list(group)] = index
        samples = sample_styles(self._generator, labels)
        self.dims = samples.shape[2]
        vectors = samples[:, [group[0] for group in self._groups]]
        self._mean = vectors.mean(dim=0)[self._place]
        self._scale = row_deviation(vectors)
        self._deviation = self._scale[self._place].clamp(min=1e-6)
        self._led = has_leading_row(self._generator)
        if self._led:
            self._mean = torch.zeros_like(self._mean)
            self._scale[1:] *= _LOOSE[name]

    def parameters(self, values: Tensor, labels: Tensor | None) -> Parameters:
        """The coordinates of latents as `values` gives them, and of labels [N, label_dim] where they move."""
        offsets = unled(self._generator, values) - self._mean
        vectors = torch.stack([offsets[:, list(group)].mean(dim=1) for group in self._groups], dim=1)
        latent = torch.where(self._scale > 0, vectors / self._scale.clamp(min=1e-6), 0)
        if self._basis is None:
            return {"latent": latent}
        flat = latent.flatten(1)
        along = flat @ self._basis.T
        return {"latent": torch.cat([along, flat - along @ self._basis], dim=1)}

    def values(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Latents [N, num_ws, w_dim], or [N, z_dim] of a generator without w, that the coordinates mean."""
        return from_unled(self._generator, self._unled(parameters))

    def _unled(self, parameters: Mapping[str, Tensor]) -> Tensor:
        latent = parameters["latent"]
        if self._basis is not None:
            along, rest = latent[:, : len(self._basis)], latent[:, len(self._basis) :]
            flat = rest + (along - rest @ self._basis.T) @ self._basis
            latent = flat.view(len(flat), *self._scale.shape)
        return self._mean + (latent * self._scale)[:, self._place]

    def departure(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """How far each w is from such as the mapping network gives, [N], in squared standard deviations.

        From where its own latent leads (lite), else that of its rows from their mean; 0 for the generator's
        own samples. Encoders keep such offsets small for latents that can be edited (e4e; Tov et al. 2021,
        arXiv:2102.02766).
        """
        rows, deviation = self._unled(parameters), self._deviation
        if self._led:
            rows, deviation = rows[:, 1:], deviation[1:]
        else:
            rows = rows - rows.mean(dim=1, keepdim=True)
        return (rows / deviation).square().mean(dim=(1, 2))

    def labels(self, parameters: Mapping[str, Tensor]) -> Tensor | None:
        """Labels [N, label_dim] where z needs some to draw, else None."""
        return None

    def images(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Float [N, C, H, W] in about [-1, 1], differentiable."""
        return synthesised(self._generator, self.values(parameters), noise_of(parameters))


class ZSpace:
    """z of any generator, its length kept to what normal latents have; perhaps with the label."""

    name: Name = "z"

    def __init__(self, loaded: LoadedNetwork[Any], labels: Labels) -> None:
        self._network, self._labels = loaded.network, labels
        self.dims = int(self._network.z_dim)

    def parameters(self, values: Tensor, labels: Tensor | None) -> Parameters:
        parameters = {"latent": values.clone()}
        if labels is not None and self._labels.moves:
            parameters["label"] = self._labels.coordinates(labels)
        elif labels is not None:
            parameters["fixed_label"] = labels.clone()
        return parameters

    def values(self, parameters: Mapping[str, Tensor]) -> Tensor:
        z = self._z(parameters)
        if not isinstance(self._network, Styled):
            return z
        return on_its_device(self._network, self._network.mapping, z, self.labels(parameters))

    def departure(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """0: every z leads where the mapping network leads."""
        return torch.zeros(len(parameters["latent"]))

    def labels(self, parameters: Mapping[str, Tensor]) -> Tensor | None:
        if "label" in parameters:
            return self._labels.meant(parameters["label"])
        return parameters.get("fixed_label")

    def images(self, parameters: Mapping[str, Tensor]) -> Tensor:
        if isinstance(self._network, Styled):
            return synthesised(self._network, self.values(parameters), noise_of(parameters))
        return on_its_device(self._network, self._network, self._z(parameters), self.labels(parameters))

    def _z(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The root mean square of n normal numbers is 1 with a deviation of about 1 / sqrt(2 n)."""
        z = parameters["latent"]
        length = z.square().mean(dim=1, keepdim=True).sqrt()
        room = _SHELL / (2 * self.dims) ** 0.5
        return z * (length.clamp(1 - room, 1 + room) / length.clamp(min=1e-6))


Space = WSpace | ZSpace


def sensitive_directions(loaded: LoadedNetwork[Any], labels: Tensor | None, count: int) -> Tensor:
    """Orthonormal [count, rows * w_dim]: the directions of W+ coordinates, spanned by the images' gradients.

    Each image of a sample is weighed with noise, fine and coarse in turn, and its gradient normed; the
    principal axes of twice as many as are asked for tell what moves images much from what hardly does.
    """
    space, generator = WSpace(loaded, "w+", labels), cast(Styled, loaded.network)
    rng, rows = torch.Generator().manual_seed(0), []
    for number in range(0, 2 * count, _GRADIENTS):
        z = torch.randn((_GRADIENTS, generator.z_dim), generator=rng)
        some = None if labels is None else labels[torch.arange(_GRADIENTS) % len(labels)]
        coordinates = space.parameters(generator.mapping(z, some), None)["latent"].detach().requires_grad_()
        images = space.images({"latent": coordinates})
        side = images.shape[-1] // (4 if number // _GRADIENTS % 2 else 1)
        noise = torch.randn((*images.shape[:2], side, side), generator=rng)
        noise = F.interpolate(noise, images.shape[-2:], mode="bilinear")
        (gradient,) = torch.autograd.grad((images * noise).sum(), coordinates)
        rows.append(F.normalize(gradient.flatten(1), dim=1))
    axes: Tensor = torch.linalg.svd(torch.cat(rows).double(), full_matrices=False).Vh
    return axes[:count].float()


def open_space(
    name: Name | None, loaded: LoadedNetwork[Any], labels: Labels, basis: Tensor | None = None
) -> Space:
    """The space to project into: W+ where there is a w unless told, else z. Raises InputError.

    basis: of the coordinates of W+, see `WSpace`.
    """
    styled = isinstance(loaded.network, Styled)
    if not styled and name in ("w", "w+"):
        raise InputError(f"--space {name}: a {loaded.header.family} model has z alone; use --space z")
    if not styled or name == "z":
        return ZSpace(loaded, labels)
    name = name or "w+"
    return WSpace(loaded, name, labels.rows, basis if name == "w+" else None)


def synthesised(generator: Styled, ws: Tensor, noise: NoiseMaps | None = None) -> Tensor:
    """Images float [N, C, H, W] of ws [N, num_ws, w_dim], with noise maps of their own if given."""
    draw = partial(generator.synthesis, noise="const")
    if noise:
        place, module = device_of(generator), cast(nn.Module, generator.synthesis)
        buffers = {name.removeprefix(_PREFIX): value.to(place) for name, value in noise.items()}
        draw = partial(functional_call, module, buffers, kwargs={"noise": "const"})
    return to_size(generator, on_its_device(generator, draw, ws))


def noise_of(parameters: Mapping[str, Tensor]) -> NoiseMaps:
    """The noise maps among parameters."""
    return {name: value for name, value in parameters.items() if name.startswith("noise:")}


def draw_noise_maps(generator: Styled, count: int, rng: torch.Generator) -> dict[str, Tensor]:
    """Normal noise for `count` images, a map for each layer that adds noise; {} for other generators."""
    module = generator.synthesis
    if not isinstance(module, nn.Module):
        return {}
    return {
        _PREFIX + name: torch.randn((count, 1, *buffer.shape[-2:]), generator=rng)
        for name, buffer in module.named_buffers()
        if name.endswith(_BUFFER)
    }


def noise_penalty(maps: NoiseMaps) -> Tensor:
    """How far each image's maps are from white noise: float32 [N].

    At every level of a pyramid by averages of 2 x 2 (kept at unit variance), the squared mean product of
    each pixel with its neighbour to the right and below.
    """
    penalties = []
    for level in maps.values():
        while True:
            for dim in (2, 3):
                penalties.append((level * level.roll(1, dims=dim)).mean(dim=(1, 2, 3)).square())
            if min(level.shape[2:]) <= _COARSEST:
                break
            level = F.avg_pool2d(level, 2) * 2
    return sum(penalties, start=torch.zeros(()))


@torch.no_grad()
def normalise_noise(maps: NoiseMaps) -> None:
    """Bring each map to mean 0 and variance 1, in place."""
    for value in maps.values():
        value -= value.mean(dim=(1, 2, 3), keepdim=True)
        value *= value.square().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12).rsqrt()

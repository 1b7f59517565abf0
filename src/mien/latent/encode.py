"""Images to latents by a trained encoder, in a few passes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.core.errors import InputError
from mien.core.image import to_float
from mien.core.network import LoadedNetwork, load_network
from mien.models.encoder import KIND, Config, draw_latents
from mien.nn.latent_encoder import LatentEncoder

_BATCH = 32


class Encoding:
    """An encoder and the generator that it was trained for. model: the encoder's id."""

    def __init__(self, encoder: LatentEncoder, generator: Any, passes: int, model: str) -> None:
        self._encoder, self._generator, self._passes = encoder, generator, passes
        self.model = model

    @torch.no_grad()
    def latents(self, images: Tensor, labels: Tensor | None = None, *, passes: int | None = None) -> Tensor:
        """uint8 [N, C, S, S] to ws [N, num_ws, w_dim], or to z [N, z_dim] of a generator without w.

        labels: [N, label_dim] for z of a conditional generator.
        """
        pieces = []
        for start in range(0, len(images), _BATCH):
            piece = slice(start, start + _BATCH)
            rows = None if labels is None else labels[piece]
            pieces.append(self._one(to_float(images[piece]), rows, passes or self._passes))
        return torch.cat(pieces)

    def _one(self, images: Tensor, labels: Tensor | None, passes: int) -> Tensor:
        mean = self._encoder.mean
        latents = mean.expand(len(images), *[-1] * mean.ndim)
        for _ in range(passes):
            drawn = draw_latents(self._generator, latents, labels)
            latents = latents + self._encoder(images, drawn)
        return latents


def open_encoder(path: Path, loaded: LoadedNetwork[Any]) -> Encoding:
    """The encoder of a file or folder of `mien encoder`. Raises InputError where it is another model's."""
    found = load_network(path, kind=KIND)
    config = Config(**found.header.config)
    model = config.model
    if model != loaded.model and not loaded.header.origin.startswith(f"{model} tuned"):
        raise InputError(f"{path}: an encoder for {model}, and the generator here is {loaded.model}")
    return Encoding(found.network, loaded.network, config.passes_at_use, found.model)

"""Styles for training, mixed from two latents (Karras et al. 2019, arXiv:1812.04948, section 3.1)."""

import torch
from torch import Tensor

from mien.nn.stylegan2_generator import Mapping


def mixed_styles(
    mapping: Mapping,
    labels: Tensor | None,
    count: int,
    *,
    layers: int,
    mixing: float,
    rng: torch.Generator,
) -> Tensor:
    """ws [count, num_ws, w_dim] of new latents; some pictures take those of a second latent from a layer on.

    layers: how many of the ws are in use; the change comes at 1 .. layers - 1. mixing: the chance of one.
    """
    z = torch.randn((2, count, mapping.z_dim), generator=rng, device=rng.device)
    ws: Tensor = mapping(z[0], labels)
    if not mixing:
        return ws
    cut = torch.rand((2, count), generator=rng, device=rng.device)
    first = 1 + (cut[0] * (layers - 1)).long()
    first[cut[1] >= mixing] = mapping.num_ws
    second = torch.arange(mapping.num_ws, device=ws.device)[None] >= first[:, None]
    return torch.where(second[..., None], mapping(z[1], labels), ws)

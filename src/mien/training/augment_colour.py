"""Colour augmentations as one 4x4 matrix for each image (arXiv:2006.06676, appendix B)."""

import math

import torch
from torch import Tensor

from mien.training.augment_draws import Draws

_BRIGHTNESS, _CONTRAST, _SATURATION = 0.2, 0.5, 1.0  # spreads; the latter two of base-2 logarithms


def colour_matrices(x: Tensor, p: float, rng: torch.Generator) -> Tensor:
    """Brightness, contrast, luma flip, hue, saturation for x [N, C, H, W]: [N, 4, 4] on (r, g, b, 1)."""
    draws = Draws(len(x), p, rng, x.device)
    one = torch.eye(4, device=x.device)
    m = one.repeat(len(x), 1, 1)
    m = _shift(draws.chosen(draws.normal() * _BRIGHTNESS, 0.0)) @ m
    m = _stretch(torch.exp2(draws.chosen(draws.normal() * _CONTRAST, 0.0))) @ m
    luma = torch.tensor([1.0, 1.0, 1.0, 0.0], device=x.device) / math.sqrt(3)
    along = torch.outer(luma, luma)
    flips = draws.chosen(draws.integers(2).float(), 0.0)
    m = (one - 2 * along * flips[:, None, None]) @ m
    if x.shape[1] == 1:
        return m
    m = _turn(draws.chosen(draws.uniform(-math.pi, math.pi), 0.0)) @ m
    strength = torch.exp2(draws.chosen(draws.normal() * _SATURATION, 0.0))
    return (along + (one - along) * strength[:, None, None]) @ m


def recoloured(x: Tensor, m: Tensor) -> Tensor:
    """Apply m [N, 4, 4] to the colours of x [N, 3, H, W]; gray ones [N, 1, H, W] take its mean row."""
    flat = x.flatten(2)
    if x.shape[1] == 3:
        return (m[:, :3, :3] @ flat + m[:, :3, 3:]).view_as(x)
    if x.shape[1] != 1:
        raise ValueError(f"colours are 1 or 3 channels, not {x.shape[1]}")
    rows = m[:, :3].mean(dim=1, keepdim=True)
    return (rows[:, :, :3].sum(dim=2, keepdim=True) * flat + rows[:, :, 3:]).view_as(x)


def _shift(amount: Tensor) -> Tensor:
    m = torch.eye(4, device=amount.device).repeat(len(amount), 1, 1)
    m[:, :3, 3] = amount[:, None]
    return m


def _stretch(factor: Tensor) -> Tensor:
    ones = torch.ones_like(factor)
    return torch.diag_embed(torch.stack([factor, factor, factor, ones], dim=1))


def _turn(angle: Tensor) -> Tensor:
    """Rotation by `angle` about the gray axis (Rodrigues)."""
    axis = 1 / math.sqrt(3)
    cross = torch.tensor([[0, -axis, axis], [axis, 0, -axis], [-axis, axis, 0]], device=angle.device)
    outer = torch.full((3, 3), 1 / 3, device=angle.device)
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    turn = cos * torch.eye(3, device=angle.device) + sin * cross + (1 - cos) * outer
    m = torch.eye(4, device=angle.device).repeat(len(angle), 1, 1)
    m[:, :3, :3] = turn
    return m

"""Styles acting on features: by modulated convolutions (StyleGAN2) and by their statistics (StyleGAN)."""

import torch
from torch import Tensor

from mien.nn.precision import wide


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """One over the standard deviation of each output channel, for unit inputs: float32 [N, D].

    weight: [D, C, k, k]. styles: [N, C], the factors on the input channels. Karras et al. 2020
    (arXiv:1912.04958), Eq. 3.
    """
    energy = wide(weight).square().sum(dim=(2, 3))  # [D, C]
    return torch.rsqrt(wide(styles).square() @ energy.t() + 1e-8)


def scaled(x: Tensor, factors: Tensor, *, plus: Tensor | None = None) -> Tensor:
    """x [N, C, H, W] times one factor for each sample and channel [N, C], plus [C], in x's precision."""
    factors = factors.to(x.dtype)[:, :, None, None]
    return x * factors if plus is None else torch.addcmul(plus.to(x.dtype)[:, None, None], x, factors)


def adaptive_instance_norm(x: Tensor, styles: Tensor) -> Tensor:
    """Give each channel of each picture the mean and the deviation that its style asks for, in x's precision.

    x: [N, C, H, W]. styles: [N, 2C], first the deviations less one, then the means. Karras et al. 2019
    (arXiv:1812.04948), Eq. 1.
    """
    deviation, mean = styles.float()[:, :, None, None].chunk(2, dim=1)
    full = x.float()
    centred = full - full.mean(dim=(2, 3), keepdim=True)
    unit = centred * torch.rsqrt(centred.square().mean(dim=(2, 3), keepdim=True) + 1e-8)
    return (unit * (deviation + 1) + mean).to(x.dtype)

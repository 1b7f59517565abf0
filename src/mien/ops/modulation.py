"""Style modulation of convolutions (Karras et al. 2020, arXiv:1912.04958, section 2.2)."""

import torch
from torch import Tensor


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Eq. 3: one over the standard deviation of each output channel, for unit inputs: float32 [N, D].

    weight: [D, C, k, k]. styles: [N, C], the factors on the input channels.
    """
    energy = weight.float().square().sum(dim=(2, 3))  # [D, C]
    return torch.rsqrt(styles.float().square() @ energy.t() + 1e-8)


def scaled(x: Tensor, factors: Tensor) -> Tensor:
    """x [N, C, H, W] times one factor for each sample and channel [N, C], in x's precision."""
    return x * factors.to(x.dtype)[:, :, None, None]

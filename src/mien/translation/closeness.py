"""How near pictures are to others, pixel by pixel: one number a pair. See `ms_ssim` for SSIM."""

from torch import Tensor

_LEAST = 1e-10  # mean squared error that counts as none: 100 dB


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of uint8 [N, C, H, W] as a share of the range: float32 [N], 0 for equal."""
    return (a.float() - b.float()).abs().mean(dim=(1, 2, 3)) / 255


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of uint8 [N, C, H, W] in dB: float32 [N], at most 100, for equal ones."""
    squared = ((a.float() - b.float()) / 255).square().mean(dim=(1, 2, 3))
    return -10 * squared.clamp(min=_LEAST).log10()

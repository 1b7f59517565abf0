"""Arithmetic of single blocks inside a run that computes in low precision."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def arithmetic(device: torch.device, *, low: bool) -> AbstractContextManager[None]:
    """A context in which the run's low precision holds only if `low`; else everything is float32."""
    enabled = low and torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def narrow(x: Tensor) -> Tensor:
    """x in the low precision that the run computes in, if it does."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def wide(x: Tensor) -> Tensor:
    """x in float32 at least: half precision is widened, float64 stays."""
    return x if x.dtype == torch.float64 else x.float()

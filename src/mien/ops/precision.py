"""Arithmetic of single blocks inside a run that computes in low precision."""

from contextlib import AbstractContextManager

import torch


def arithmetic(device: torch.device, *, low: bool) -> AbstractContextManager[None]:
    """A context in which the run's low precision holds only if `low`; else everything is float32."""
    enabled = low and torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)

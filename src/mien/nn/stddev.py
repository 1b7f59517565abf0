"""Minibatch standard deviation."""

import torch
from torch import Tensor

from mien.core import ranks
from mien.nn.precision import wide


def minibatch_stddev(x: Tensor, *, group_size: int = 4) -> Tensor:
    """Append one channel holding the mean standard deviation over groups of samples.

    x: [N, C, H, W] -> [N, C+1, H, W]. Groups are of the rows of all ranks; their size shrinks to the largest
    divisor of N that is at most `group_size`. Karras et al. 2018 (arXiv:1710.10196), section 3.
    """
    everyone = ranks.whole(wide(x))
    count, channels, height, width = everyone.shape
    group = next(size for size in range(min(group_size, count), 0, -1) if count % size == 0)
    grouped = everyone.reshape(group, count // group, channels, height, width)
    variance = (grouped - grouped.mean(dim=0)).square().mean(dim=0)  # Tensor.var takes ten times as long
    deviation = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
    feature = ranks.own(deviation.repeat(group)).view(-1, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, feature.to(x.dtype)], dim=1)

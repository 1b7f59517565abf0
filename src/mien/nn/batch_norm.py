"""Statistics over the batch of all ranks: batch normalisation and minibatch standard deviation."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.core import ranks
from mien.nn.precision import wide


class BatchNorm2d(nn.BatchNorm2d):
    """torch's own where one process trains; among ranks, mean and variance are those of all rows.

    Written in operations that can be differentiated any number of times, sums over ranks among them.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, H, W], normalised channel by channel."""
        share = ranks.current()
        if share is None or not self.training:
            return super().forward(x)
        values = wide(x)
        number = share.total * x.shape[2] * x.shape[3]
        mean = ranks.summed(values.sum(dim=(0, 2, 3), keepdim=True)) / number
        centred = values - mean
        variance = ranks.summed(centred.square().sum(dim=(0, 2, 3), keepdim=True)) / number
        self._follow(mean.detach().flatten(), variance.detach().flatten() * (number / max(number - 1, 1)))
        y = centred * (variance + self.eps).rsqrt()
        if self.affine:
            y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


class BatchNorm1d(BatchNorm2d):
    """The same of features [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C], normalised feature by feature."""
        return super().forward(x[:, :, None, None])[:, :, 0, 0]


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm beside the identity. begins: the second norm's gain at first."""

    def __init__(self, width: int, *, begins: float) -> None:
        super().__init__()
        first, second = (norm_conv(width, width, 3, stride=1) for _ in range(2))
        nn.init.constant_(cast(Tensor, second[1].weight), begins)
        self.layers = nn.Sequential(first, nn.ReLU(inplace=True), second)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.layers(x))


def norm_conv(before: int, after: int, kernel: int, *, stride: int) -> nn.Sequential:
    """A convolution without bias, of He's initialisation, and batch norm."""
    convolution = nn.Conv2d(before, after, kernel, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, BatchNorm2d(after))


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

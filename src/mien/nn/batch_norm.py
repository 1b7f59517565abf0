"""Batch normalisation over the batch of all ranks (Ioffe and Szegedy 2015, arXiv:1502.03167)."""

import torch
from torch import Tensor, nn

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

"""Gradient penalties on a discriminator."""

import torch
from torch import Tensor


def squared_gradient(scores: Tensor, images: Tensor) -> Tensor:
    """Squared norm of each sample's score gradient with respect to its picture, [N], differentiable.

    `images` [N, C, H, W] must require grad and `scores` [N] come from it in float32. Mescheder et al. 2018
    (arXiv:1801.04406), Eq. 9: R1 on reals, R2 on fakes. Raises RuntimeError if the graph was lost.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    if not gradient.requires_grad:
        raise RuntimeError("the penalty's gradient lost its graph; keep it on the eager network")
    return gradient.square().sum(dim=(1, 2, 3))

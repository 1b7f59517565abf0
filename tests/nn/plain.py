"""Networks' parts written plainly in numpy, float64: the oracle for what `mien.nn` computes in torch."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def convolve(x, weight, bias=None, *, stride=1, padding=(0, 0)):
    """[C, H, W] with [O, C, k, k]; padding: pixels before and after each side, of zeros."""
    x = np.pad(x, ((0, 0), padding, padding))
    windows = sliding_window_view(x, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    out = np.einsum("chwij,ocij->ohw", windows, weight, optimize=True)
    return out if bias is None else out + bias[:, None, None]


def depthwise(x, weight, *, stride=1, padding=(0, 0)):
    """[C, H, W] with [C, 1, k, k], each channel by itself."""
    x = np.pad(x, ((0, 0), padding, padding))
    windows = sliding_window_view(x, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,cij->chw", windows, weight[:, 0])


def pool(x, side, stride, how):
    """Maximum or mean over squares that lie wholly inside."""
    return how(sliding_window_view(x, (side, side), axis=(1, 2))[:, ::stride, ::stride], axis=(3, 4))


def relu(x):
    return np.maximum(x, 0)


def doubles(tensors):
    return {name: tensor.numpy().astype(np.float64) for name, tensor in tensors.items()}

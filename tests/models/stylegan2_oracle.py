"""StyleGAN2's forward pass, written slowly from the paper's equations, in float64 numpy and scipy alone."""

import math
from collections.abc import Mapping

import numpy as np
from scipy.signal import convolve2d, correlate2d

Array = np.ndarray
Weights = Mapping[str, Array]
_FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64  # tests put other filters and clamps here
_CLAMP = math.inf


def held(x: Array) -> Array:
    return np.clip(x, -_CLAMP, _CLAMP)


def lrelu(x: Array) -> Array:
    return np.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def pixel_norm(x: Array) -> Array:
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)


def dense(x: Array, weights: Weights, name: str, *, rate: float = 1.0) -> Array:
    w, b = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return x @ w.T * (rate / math.sqrt(w.shape[1])) + b * rate


def mapping(z: Array, c: Array | None, weights: Weights, layers: int, prefix: str = "mapping") -> Array:
    parts = [pixel_norm(z)] if z.shape[1] else []
    if c is not None:
        parts.append(pixel_norm(dense(c, weights, f"{prefix}.embed")))
    w = np.concatenate(parts, axis=1)
    for index in range(layers):
        w = lrelu(dense(w, weights, f"{prefix}.fc{index}", rate=0.01))
    return w


def _planes(x: Array, kernels: Array, one) -> Array:
    """Sum over input planes of `one(plane, kernel)` for each output: x [C, H, W], kernels [D, C, k, k]."""
    return np.stack([sum(one(x[c], kernel[c]) for c in range(len(x))) for kernel in kernels])


def _each(x: Array, one) -> Array:
    return np.stack([one(plane) for plane in x])


def zeros_between(plane: Array) -> Array:
    spread = np.zeros((2 * plane.shape[0], 2 * plane.shape[1]))
    spread[::2, ::2] = plane
    return spread


def up(x: Array) -> Array:
    """Zeros between the pixels, the filter with gain 4, cut so that it is centred."""
    size, first = 2 * x.shape[1], len(_FIR) - 1 - (len(_FIR) + 1) // 2
    cut = slice(first, first + size)
    return _each(x, lambda plane: 4 * convolve2d(zeros_between(plane), _FIR)[cut, cut])


def down(x: Array) -> Array:
    half, first = x.shape[1] // 2, len(_FIR) - 1 - (len(_FIR) - 1) // 2
    return _each(x, lambda plane: convolve2d(plane, _FIR)[first::2, first::2][:half, :half])


def conv(x: Array, kernels: Array) -> Array:
    edge = kernels.shape[-1] // 2
    padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
    return _planes(padded, kernels, lambda plane, kernel: correlate2d(plane, kernel, mode="valid"))


def conv_up(x: Array, kernels: Array) -> Array:
    """A true convolution of the picture with zeros between its pixels, then the filter."""
    first = len(_FIR) - (len(_FIR) + 1) // 2
    cut = slice(first, first + 2 * x.shape[1])
    grown = _planes(_each(x, zeros_between), kernels, convolve2d)
    return _each(grown, lambda plane: 4 * convolve2d(plane, _FIR)[cut, cut])


def conv_down(x: Array, kernels: Array) -> Array:
    half = x.shape[1] // 2
    if kernels.shape[-1] == 1:
        return conv(down(x), kernels)
    first = len(_FIR) - 2 - (len(_FIR) - 1) // 2
    cut = slice(first, first + x.shape[1] + 1)
    smooth = _each(x, lambda plane: convolve2d(plane, _FIR)[cut, cut])
    full = _planes(smooth, kernels, lambda plane, kernel: correlate2d(plane, kernel, mode="valid"))
    return full[:, ::2, ::2][:, :half, :half]


def styled(
    x: Array, w: Array, weights: Weights, name: str, *, doubles: bool, noise: bool, gain: float = 1.0
) -> Array:
    """Eq. 1 (modulate), Eq. 3 (demodulate), convolution, noise, bias, leaky ReLU; one sample [C, H, W]."""
    style = dense(w[None], weights, f"{name}.affine")[0]
    kernels = weights[f"{name}.weight"] * style[None, :, None, None]
    kernels = kernels / np.sqrt((kernels**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
    y = conv_up(x, kernels) if doubles else conv(x, kernels)
    if noise:
        y = y + weights[f"{name}.noise_const"] * weights[f"{name}.noise_strength"]
    return held(lrelu(y + weights[f"{name}.bias"][:, None, None])) * gain


def to_rgb(x: Array, w: Array, weights: Weights, name: str) -> Array:
    kernel = weights[f"{name}.weight"]
    style = dense(w[None], weights, f"{name}.affine")[0] / math.sqrt(kernel.shape[1])
    return held(conv(x, kernel * style[None, :, None, None]) + weights[f"{name}.bias"][:, None, None])


def plain(x: Array, weights: Weights, name: str, *, how=conv, linear: bool = False) -> Array:
    kernel = weights[f"{name}.weight"]
    y = how(x, kernel / math.sqrt(kernel[0].size))
    if f"{name}.bias" in weights:
        y = y + weights[f"{name}.bias"][:, None, None]
    if linear or name == "b4.fromrgb":  # published without a clamp
        return y if linear else lrelu(y)
    return held(lrelu(y))


def synthesis(ws: Array, weights: Weights, resolution: int, architecture: str, *, noise: bool) -> Array:
    """One sample: ws [num_ws, w_dim] -> [C, H, W]."""
    x, image, at, size = weights["synthesis.b4.const"], None, 0, 4
    while size <= resolution:
        name, half = f"synthesis.b{size}", math.sqrt(0.5)
        if size > 4:
            past = x
            x = styled(x, ws[at], weights, f"{name}.conv0", doubles=True, noise=noise)
            at += 1
        residual = architecture == "resnet" and size > 4
        gain = half if residual else 1.0
        x = styled(x, ws[at], weights, f"{name}.conv1", doubles=False, noise=noise, gain=gain)
        at += 1
        if residual:
            skip = plain(past, weights, f"{name}.skip", how=lambda a, k: up(conv(a, k)), linear=True)
            x = x + skip * half
        if architecture == "skip" or size == resolution:
            drawn = to_rgb(x, ws[at], weights, f"{name}.torgb")
            image = drawn if image is None else up(image) + drawn
        elif image is not None:
            image = up(image)
        size *= 2
    return image


def discriminator(
    images: Array,
    c: Array | None,
    weights: Weights,
    resolution: int,
    architecture: str,
    *,
    group: int,
    layers: int,
) -> Array:
    """images [N, C, H, W] -> scores [N]."""
    trunk = [_trunk(image, weights, resolution, architecture) for image in images]
    x = np.stack(trunk)
    members = max(size for size in range(1, min(group, len(x)) + 1) if len(x) % size == 0)
    if group > 1:
        groups = x.reshape(members, len(x) // members, *x.shape[1:])
        spread = np.sqrt(groups.var(axis=0) + 1e-8).mean(axis=(1, 2, 3))
        extra = np.broadcast_to(np.tile(spread, members)[:, None, None, None], (len(x), 1, 4, 4))
        x = np.concatenate([x, extra], axis=1)
    x = np.stack([plain(one, weights, "b4.conv") for one in x])
    x = dense(lrelu(dense(x.reshape(len(x), -1), weights, "b4.fc")), weights, "b4.out")
    if c is None:
        return x[:, 0]
    embedded = mapping(np.zeros((len(c), 0)), c, weights, layers)
    return (x * embedded).sum(axis=1) / math.sqrt(embedded.shape[1])


def _trunk(image: Array, weights: Weights, resolution: int, architecture: str) -> Array:
    size, x = resolution, None
    while size > 4:
        name, half = f"b{size}", math.sqrt(0.5)
        if x is None or architecture == "skip":
            seen = plain(image, weights, f"{name}.fromrgb")
            x = seen if x is None else x + seen
            image = down(image)
        y = plain(plain(x, weights, f"{name}.conv0"), weights, f"{name}.conv1", how=conv_down)
        if architecture == "resnet":
            y = half * (y + plain(x, weights, f"{name}.skip", how=conv_down, linear=True))
        x, size = y, size // 2
    return x + plain(image, weights, "b4.fromrgb") if architecture == "skip" else x

"""EfficientNet-Lite0 (Tan & Le 2019, arXiv:1905.11946, the Lite variant of 2020) for image features.

Lite leaves out the squeeze-and-excitation of EfficientNet-B0 and takes ReLU6. The published weights came
through TensorFlow, so padding is its "same" (the odd pixel goes right and below) and the batch norms' epsilon
is .001. Batch norms are folded into their convolutions when weights are loaded: in evaluation they are
affine.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.core.artefacts import require
from mien.nn.weights import read_tensors

DIMS = 1280
_EPSILON = 1e-3
# kernel, stride, expansion, output channels, repeats
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class EfficientNetLite0(nn.Module):
    """Float RGB [N, 3, H, W], values (x - 127) / 128 of 0..255, to features [N, 1280].

    Features are the global average of the last convolution's activations. Any size from 32 px works; the
    weights were trained at 224 px. Differentiable in its input; its weights take no gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, 32, 3, 2)
        blocks: list[nn.Module] = []
        channels = 32
        for kernel, stride, expansion, width, repeats in _STAGES:
            for index in range(repeats):
                blocks.append(_Block(channels, width, kernel, stride if index == 0 else 1, expansion))
                channels = width
        self.blocks = nn.ModuleList(blocks)
        self.head = _Convolution(channels, DIMS, 1, 1)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(images).mean((2, 3))

    def maps(self, images: Tensor) -> Tensor:
        """The last activations before the average, [N, 1280, ceil(H / 32), ceil(W / 32)]."""
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        return cast(Tensor, self.head(x))

    def load_published(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the published weights (their names), folding each batch norm into its convolution."""
        _fold(self.stem, tensors, "_conv_stem", "_bn0")
        for index, block in enumerate(self.blocks):
            at = f"_blocks.{index}."
            assert isinstance(block, _Block)
            if block.expand is not None:
                _fold(block.expand, tensors, f"{at}_expand_conv", f"{at}_bn0")
            _fold(block.depthwise, tensors, f"{at}_depthwise_conv", f"{at}_bn1")
            _fold(block.project, tensors, f"{at}_project_conv", f"{at}_bn2")
        _fold(self.head, tensors, "_conv_head", "_bn1")


def load(*, device: str | torch.device = "cpu", path: Path | None = None) -> EfficientNetLite0:
    """The network with its published weights: artefact `efficientnet-lite0`.

    path: another safetensors file of the same names. Raises MienError if it is not here, saying how to get
    it.
    """
    net = EfficientNetLite0()
    net.load_published(read_tensors(path or require("efficientnet-lite0")))
    return net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class _Convolution(nn.Module):
    """A convolution with bias, "same" padding and ReLU6 (none with `linear`)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.convolution.kernel_size, self.convolution.stride
        if stride == 1:
            padding = kernel // 2
        else:
            # Pixels of padding that "same" adds along each side.
            high, wide = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:])
            x = functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
            padding = 0
        weight, bias = self.convolution.weight, self.convolution.bias
        x = functional.conv2d(x, weight, bias, stride, padding, groups=self.convolution.groups)
        return x if self.linear else functional.relu6(x, inplace=True)  # of the convolution's own result


class _Block(nn.Module):
    """An inverted residual: expand 1x1, depthwise, project 1x1 linearly; plus the input if it fits."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _Convolution(inputs, inner, 1, 1) if expansion > 1 else None
        self.depthwise = _Convolution(inner, inner, kernel, stride, groups=inner)
        self.project = _Convolution(inner, outputs, 1, 1, linear=True)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return cast(Tensor, x + y if self.residual else y)


def _fold(part: _Convolution, tensors: Mapping[str, Tensor], convolution: str, norm: str) -> None:
    """Set weight and bias of `part` from a convolution without bias and the batch norm after it."""
    weight = tensors[f"{convolution}.weight"].double()
    gain, shift = tensors[f"{norm}.weight"].double(), tensors[f"{norm}.bias"].double()
    mean, variance = tensors[f"{norm}.running_mean"].double(), tensors[f"{norm}.running_var"].double()
    scale = gain / (variance + _EPSILON).sqrt()
    assert part.convolution.bias is not None
    part.convolution.weight.data.copy_(weight * scale[:, None, None, None])
    part.convolution.bias.data.copy_(shift - mean * scale)

"""A small network for seven expressions: four densely summed blocks of separable convolutions.

The topology is that of the published weights (face-api, 2018): blocks of 32, 64, 128 and 256 channels,
each of four convolutions of which every one after the second sees the sum of those before it; then an
average and a linear layer. Padding is TensorFlow's "same".
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
SIZE = 112
MEAN = (122.782, 117.001, 104.298)  # subtracted from 0..255, then divided by 255
_WIDTHS = (32, 64, 128, 256)


class ExpressionNet(nn.Module):
    """Float RGB faces [N, 3, 112, 112] of 0..255 to logits [N, 7] in the order of EXPRESSIONS."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        blocks = []
        inner = 3
        for index, width in enumerate(_WIDTHS):
            first = _Separable(inner, width, 2) if index else nn.Conv2d(inner, width, 3, stride=2)
            blocks.append(nn.ModuleList([first, *(_Separable(width, width, 1) for _ in range(3))]))
            inner = width
        self.blocks = nn.ModuleList(blocks)
        self.fc = nn.Linear(inner, len(EXPRESSIONS))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def forward(self, faces: Tensor) -> Tensor:
        x = (faces - self.mean) / 255
        for block in self.blocks:
            assert isinstance(block, nn.ModuleList)
            # Over an even side, "same" padding for a stride of 2 is one pixel at the right and below.
            total = functional.relu(block[0](functional.pad(x, (0, 1, 0, 1))))
            given = total
            for convolution in list(block)[1:]:
                total = total + convolution(given)
                given = functional.relu(total)
            x = given
        return cast(Tensor, self.fc(x.mean((2, 3))))

    def load_published(self, tensors: Mapping[str, Tensor]) -> None:
        """Take weights by the names of the artefact's file."""
        for index, block in enumerate(self.blocks):
            assert isinstance(block, nn.ModuleList)
            for number, part in enumerate(block):
                at = f"dense{index}.conv{number}."
                if isinstance(part, _Separable):
                    part.depthwise.weight.data.copy_(tensors[f"{at}depthwise_filter"])
                    part.pointwise.weight.data.copy_(tensors[f"{at}pointwise_filter"])
                    assert part.pointwise.bias is not None
                    part.pointwise.bias.data.copy_(tensors[f"{at}bias"])
                else:
                    part.load_state_dict({"weight": tensors[f"{at}filters"], "bias": tensors[f"{at}bias"]})
        self.fc.load_state_dict({"weight": tensors["fc.weights"], "bias": tensors["fc.bias"]})


class _Separable(nn.Module):
    """A depthwise 3x3 and a pointwise convolution, the bias after both."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        padding = 1 if stride == 1 else 0
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.pointwise(self.depthwise(x)))

"""VGG16's convolutions (Simonyan & Zisserman 2014, arXiv:1409.1556), with trained weights from outside.

`mien.nn.random_vgg` is the same topology with weights that nobody trained.
"""

from torch import Tensor, nn
from torch.nn import functional

from mien.nn.random_vgg import WIDTHS as LAYERS

WIDTHS = (64, 128, 256, 512, 512)
LEAST_SIDE = 16


class VGG16(nn.Module):
    """Float [N, 3, H, W] to the activations at the end of each of five stages, a list of [N, C, h, w].

    Strides from the input: 1, 2, 4, 8, 16. Sides of 16 px or more.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        convolutions: list[nn.Module] = []
        self._ends: list[int] = []
        for width in LAYERS:
            if width == 0:
                self._ends.append(len(convolutions) - 1)
                continue
            convolutions.append(nn.Conv2d(channels, width, 3, padding=1))
            channels = width
        self.convolutions = nn.ModuleList(convolutions)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for index, convolution in enumerate(self.convolutions):
            x = functional.relu(convolution(x))
            if index in self._ends:
                maps.append(x)
                if len(maps) < len(WIDTHS):
                    x = functional.max_pool2d(x, 2)
        return maps

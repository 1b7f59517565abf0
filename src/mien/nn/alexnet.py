"""AlexNet's convolutions (Krizhevsky 2014, arXiv:1404.5997, the variant of one column)."""

from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (64, 192, 384, 256, 256)
LEAST_SIDE = 31  # of a picture: a smaller one leaves nothing for the second pool


class AlexNet(nn.Module):
    """Float [N, 3, H, W] to the activations after each of the five convolutions, a list of [N, C, h, w].

    Strides from the input: 4, 8, 16, 16, 16. Sides of 31 px or more. Weights come from outside.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            (
                nn.Conv2d(3, WIDTHS[0], 11, stride=4, padding=2),
                nn.Conv2d(WIDTHS[0], WIDTHS[1], 5, padding=2),
                nn.Conv2d(WIDTHS[1], WIDTHS[2], 3, padding=1),
                nn.Conv2d(WIDTHS[2], WIDTHS[3], 3, padding=1),
                nn.Conv2d(WIDTHS[3], WIDTHS[4], 3, padding=1),
            )
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for index, convolution in enumerate(self.convolutions):
            if index in (1, 2):
                x = functional.max_pool2d(x, 3, 2)
            x = functional.relu(convolution(x))
            maps.append(x)
        return maps

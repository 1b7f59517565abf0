"""What every run of an image-to-image network writes; arrays of images through a network, and compared."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mien import TOOL
from mien.core.image import grid, to_float, to_uint8
from mien.core.picture import Pixels
from mien.core.provenance import Provenance, SourceType, save_picture
from mien.training.outputs import ProductOutputs, Snapshot, write_timelapse

_BATCH = 64
_LEAST = 1e-10  # mean squared error that counts as none: 100 dB


@torch.no_grad()
def apply_network(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """The network's output for uint8 images [N, C, H, W]; uint8 [N, C, H, W]."""
    device = next(network.parameters()).device
    outputs = [np.zeros((0, *pixels.shape[1:]), np.uint8)]
    for start in range(0, len(pixels), _BATCH):
        images = to_float(torch.from_numpy(pixels[start : start + _BATCH]).to(device))
        output = network(images.contiguous(memory_format=torch.channels_last))
        outputs.append(to_uint8(output).cpu().numpy())
    return np.concatenate(outputs)


def side_by_side(*columns: np.ndarray) -> Pixels:
    """One image with a row for each example; every column is uint8 [N, C, H, W]."""
    cells = np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:])
    return grid(torch.from_numpy(cells), len(columns))


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of uint8 [N, C, H, W] as a share of the range: float32 [N], 0 for equal."""
    return (a.float() - b.float()).abs().mean(dim=(1, 2, 3)) / 255


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of uint8 [N, C, H, W] in dB: float32 [N], at most 100, for equal ones."""
    squared = ((a.float() - b.float()) / 255).square().mean(dim=(1, 2, 3))
    return -10 * squared.clamp(min=_LEAST).log10()


class ChangeOutputs(ProductOutputs, ABC):
    """The network, strips of the same pictures as training goes on, and a film of them; see `Outputs`.

    source_type: of what is made.
    """

    source_type = SourceType.COMPOSITE

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._choose()

    @abstractmethod
    def _choose(self) -> None:
        """Take the pictures that every strip shows from the lesson."""

    @abstractmethod
    def _draw(self) -> np.ndarray:
        """Write the strip as training stands; return the outputs, uint8 [N, C, H, W]."""

    @abstractmethod
    def show(self) -> Snapshot:
        """A strip, and a figure; nothing is chosen by it."""

    def begin(self) -> None:
        """Some of the targets, and the output before any training."""
        super().begin()
        self._draw()

    def end(self) -> None:
        """The last strip, and all of them in one film."""
        self._draw()
        write_timelapse(self._run, self._provenance())

    def _write_strip(self, *columns: np.ndarray) -> None:
        """A row a picture, all uint8 [N, C, H, W]."""
        save_picture(self._run.fakes(self._training.nimg), side_by_side(*columns), self._provenance())

    def _provenance(self) -> Provenance:
        model = f"{self._family}-{self._run.name}-{self._training.nimg}"
        return Provenance(model, None, TOOL, self.source_type)

"""Who a face is: 128 numbers that are near for one person and far for two."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.core.artefacts import artefact_sha256, require
from mien.core.atomic import file_sha256
from mien.faces.chips import Chip
from mien.nn.face_resnet import DIMS, SIZE, FaceResNet
from mien.nn.weights import read_tensors

ARTEFACT = "identity"
SAME_PERSON = 0.5  # Euclidean distance: all of 102 same pairs are nearer, .04 % of other pairs (.7 % masked)
CHIP = Chip(side=0.66, centre=0.6, size=SIZE)
_BATCH = 16


class IdentityNetwork:
    """dlib's face recognition network on aligned face pictures (layout "ffhq", 64 px or more).

    hash: SHA-256 of the weights' file; the two sources (full precision, 8 bits) differ in it, and by about
    .04 in distance. The chip was chosen on 51 of 102 people photographed neutral and smiling at 64 px: any
    side from .6 to .72 serves. On the other 51, and on all 102, rank 1 is 1.00, of the inner face alone too
    (mirrored, gray, darker). Distances of one person: mean .24 whole, .28 of the inner face; of others .83
    and .73.
    """

    name = "identity"
    dims = DIMS
    resize = f"side {CHIP.side} at {CHIP.centre} of the picture, bicubic antialiased to {SIZE}"

    def __init__(self, net: FaceResNet, *, hash: str, device: str | torch.device = "cpu") -> None:
        self._device = torch.device(device)
        self._net = net.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.hash = hash

    @classmethod
    def load(cls, device: str | torch.device = "cpu", *, path: Path | None = None) -> "IdentityNetwork":
        """With the published weights: artefact `identity`, or file `path`.

        Raises MienError if it is not here, saying how to get it.
        """
        net = FaceResNet()
        net.load_published(read_tensors(path or require(ARTEFACT)))
        digest = str(artefact_sha256(ARTEFACT)) if path is None else file_sha256(path)
        return cls(net, hash=digest, device=device)

    def embed(self, images: Tensor) -> Tensor:
        """Float [N, 1 or 3, H, W] in [-1, 1] to [N, 128]; differentiable, as an identity term needs it."""
        chips = CHIP.cut((images + 1) * 127.5)
        result: Tensor = self._net(chips.contiguous(memory_format=torch.channels_last))
        return result

    @torch.inference_mode()
    def features(self, images: Tensor) -> NDArray[np.float32]:
        """uint8 [N, 1 or 3, H, W] to float32 [N, 128]; about 18 ms a face on one core."""
        out = [np.zeros((0, DIMS), np.float32)]
        for chunk in torch.split(images, _BATCH) if len(images) else ():
            chips = CHIP.bytes_cut(chunk.to(self._device))
            out.append(self._net(chips.contiguous(memory_format=torch.channels_last)).cpu().numpy())
        return np.concatenate(out)


def distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean distances [N, M] of features [N, 128] and [M, 128]; SAME_PERSON or less: one person."""
    one, two = a.astype(np.float64), b.astype(np.float64)
    squares = (one**2).sum(1)[:, None] + (two**2).sum(1)[None] - 2 * one @ two.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))

"""dlib's face recognition network as a feature network: sensitive to identity, and little else."""

import numpy as np
import torch
from torch import Tensor

from mien.faces.identity import ARTEFACT, IdentityNetwork
from mien.metrics.features._images import chunks, named_hash

NAME = "identity"
ARTEFACTS = (ARTEFACT,)


def build(device: str | torch.device = "cpu") -> "IdentityFeatures":
    """The network on `device`. Raises MienError when its weights are not here."""
    return IdentityFeatures(device=device)


class IdentityFeatures:
    """The 128 numbers of `mien.faces.identity` for aligned faces; Euclidean distance .5 parts people.

    Of a set of faces they tell how various its people are, hardly how good its images: dlib's network was
    trained to be blind to light, pose and quality. Weights public domain.
    """

    name = NAME

    def __init__(self, *, device: str | torch.device = "cpu") -> None:
        self._network = IdentityNetwork.load(device)
        self.dims = self._network.dims
        self.resize = self._network.resize
        self.hash = named_hash(self.name, self.resize, self._network.hash)

    def features(self, images: Tensor) -> np.ndarray:
        """uint8 [N, 1 or 3, H, W] to float32 [N, 128]."""
        first = [np.zeros((0, self.dims), np.float32)]
        batches = chunks(images, 64) if len(images) else ()
        return np.concatenate(first + [self._network.features(chunk) for chunk in batches])

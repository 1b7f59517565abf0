"""The face-mesh network as a feature network: trained on faces, and insensitive to the rest."""

import numpy as np
import torch
from torch import Tensor

from mien.faces.mesh import MeshNetwork
from mien.metrics.features._images import chunks

NAME = "mesh"
ARTEFACTS = ("face-mesh",)


def build(device: str | torch.device = "cpu") -> "MeshFeatures":
    """The network; it runs through OpenCV, always on the CPU. Raises MienError without its file."""
    return MeshFeatures()


class MeshFeatures:
    """Inner activations of `face_landmark.tflite` for whole aligned face images; 256 features.

    The means over space of its last 6x6 and 3x3 maps, 128 channels each (`mien.faces.mesh`): how the parts of
    a face lie, and skin, hair and edges. It looks at the face and at little else.
    """

    name = NAME

    def __init__(self) -> None:
        """Raises MienError when the artefact is not here, saying how to get it."""
        self._network = MeshNetwork()
        self.dims = self._network.num_features
        self.resize = self._network.resize_rule
        self.hash = self._network.identity

    def features(self, images: Tensor) -> np.ndarray:
        """uint8 [N, 1 or 3, H, W] to float32 [N, dims]."""
        batches = [np.zeros((0, self.dims), np.float32)]
        for chunk in chunks(images, 64):
            rgb = chunk.cpu().permute(0, 2, 3, 1).contiguous().numpy()
            batches.append(self._network.features(rgb))
        return np.concatenate(batches)

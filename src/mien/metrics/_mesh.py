"""The face-mesh network as a feature network: it was trained on faces, and looks at nothing else."""

import numpy as np
from torch import Tensor

from mien.faces.mesh import MeshNetwork
from mien.metrics._features import chunks


class MeshFeatures:
    """Inner activations of `face_landmark.tflite` for whole aligned face pictures; 256 features."""

    name = "mesh"

    def __init__(self) -> None:
        """Raises MienError when the artefact is not here, saying how to get it."""
        self._network = MeshNetwork()
        self.dims = self._network.num_features
        self.resize = self._network.resize_rule
        self.hash = self._network.identity

    def features(self, images: Tensor) -> np.ndarray:
        """uint8 [N, 1 or 3, H, W] to float32 [N, dims]."""
        found = [np.zeros((0, self.dims), np.float32)]
        for chunk in chunks(images, 64):
            pictures = chunk.cpu().permute(0, 2, 3, 1).contiguous().numpy()
            found.append(self._network.features(pictures))
        return np.concatenate(found)

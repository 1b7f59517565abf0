"""What is projected: images of the generator's size, drawn from seeds or cut out of photos."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.core.events import Events
from mien.core.image import to_hwc
from mien.core.picture import Pixels
from mien.faces.finder import Finder, open_face_finder
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.projection.photos import PhotoFace, as_rgb, face_mask, mesh_points

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in every conversion of pictures to gray


@dataclass(frozen=True)
class Target:
    """An image to find the latent of.

    name: fit for a folder. image: uint8 [C, S, S]. source: where it comes from, in words. latent: the true
    one, [num_ws, w_dim] or [z_dim], of an image that the generator drew. photo: the photo it was cut out of.
    points: float64 [468, 2], its mesh as shares of the side, where it was looked for.
    """

    name: str
    image: Tensor
    source: str
    latent: Tensor | None = None
    photo: PhotoFace | None = None
    points: NDArray[np.float64] | None = None

    @property
    def pixels(self) -> Pixels:
        """The image as uint8 [S, S, C]."""
        return to_hwc(self.image)


def targets_of_seeds(drawing: Drawing, seeds: Sequence[int]) -> list[Target]:
    """Faces that the generator draws, with their true latents."""
    codes = Codes.of_seeds(drawing, seeds)
    images = drawing.faces(list(seeds))
    return [
        Target(f"seed{seed:04d}", image, f"seed {seed}", latent=latent)
        for seed, image, latent in zip(seeds, images, codes.values, strict=True)
    ]


def targets_of_photos(faces: Sequence[PhotoFace], channels: int) -> list[Target]:
    """Aligned faces, gray for a gray generator."""
    names = _distinct([_folder_name(face) for face in faces])
    return [
        Target(name, _tensor(face.crop, channels), _told(face), photo=face, points=face.points)
        for name, face in zip(names, faces, strict=True)
    ]


def with_meshes(targets: Sequence[Target], events: Events) -> list[Target]:
    """The targets with their meshes; where none is seen, all of that image counts alike, which is said."""
    finder: Finder | None = None
    found = []
    for target in targets:
        if target.points is None and target.photo is None:
            finder = finder or open_face_finder(events)
            target = replace(target, points=mesh_points(as_rgb(target.pixels), finder))
        if target.points is None:
            events.warn(f"{target.source}: no mesh of its face; all of it counts alike")
        found.append(target)
    return found


def face_masks(targets: Sequence[Target]) -> Tensor:
    """float32 [N, 1, S, S]: 1 in the face, 0 outside; 1 all over where there is no mesh."""
    size = targets[0].image.shape[-1]
    whole = np.ones((size, size), np.float32)
    masks = [whole if target.points is None else face_mask(target.points, size) for target in targets]
    return torch.from_numpy(np.stack(masks))[:, None]


def _tensor(crop: Pixels, channels: int) -> Tensor:
    if channels == 1:
        crop = np.round(crop @ np.array(_LUMA)).astype(np.uint8)[..., None]
    return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))


def _folder_name(face: PhotoFace) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", face.path.stem).strip("-.")[:60] or "photo"
    return name if face.number == 1 else f"{name}-face{face.number}"


def _told(face: PhotoFace) -> str:
    name = "".join(letter if letter.isprintable() else "?" for letter in face.path.name)
    return name if face.count == 1 else f"{name}, face {face.number} of {face.count}"


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, numbered where they or their like were there before (some disks know no case)."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        fresh = name
        while fresh.casefold() in seen:
            seen[name.casefold()] += 1
            fresh = f"{name}-{seen[name.casefold()]}"
        seen[fresh.casefold()] = 1
        result.append(fresh)
    return result

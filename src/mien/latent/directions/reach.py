"""How far a direction can be followed before images are no faces any more, or worse ones."""

from collections.abc import Iterable
from itertools import takewhile

import numpy as np
import torch
from pydantic import BaseModel, FiniteFloat
from scipy.ndimage import gaussian_filter
from torch import Tensor

from mien.core import artefacts
from mien.core.errors import MienError
from mien.faces.finder import needed_artefacts, open_finder
from mien.generation.drawing import Drawing, rgb
from mien.latent.codes import Codes, moved
from mien.metrics.features.mesh import MeshFeatures
from mien.metrics.kernel import estimate

AMOUNTS = (1.0, 2.0, 3.0, 4.0, 5.0)
_BLUR = 1.0 / 64  # of the image's side: a blur whose kernel distance is the bound of what passes for good
_FOUND = 0.9  # share of the faces found unmoved that must still be found
_FEWEST_OTHERS = 128  # unmoved samples that distances are taken from
_FEWEST_FOUND = 0.5  # share of the unmoved images: a generator that draws fewer faces draws something else


class Fare(BaseModel, frozen=True):
    """How images fare at one amount: the share in which a face is found, the distance from other samples."""

    found: float
    distance: FiniteFloat
    good: bool


class Quality:
    """The faces that directions are tried on, and what looks at them.

    images: they, unmoved; other_images: of other samples. bound: kernel distance in mesh features that counts
    as spoiled: that of the same faces, unmoved, under a blur of `blur` pixels. found: share of them found.
    """

    def __init__(self, drawing: Drawing, first: int, faces: int) -> None:
        """first: seed of the first face. Raises MienError where the finder's files cannot be had."""
        for name in needed_artefacts("mesh"):
            artefacts.obtain(name, announce=lambda line: None)
        self._drawing, self._finder, self._features = drawing, open_finder("mesh"), MeshFeatures()
        self.codes = Codes.of_seeds(drawing, range(first, first + faces))
        seeds = range(first + faces, first + faces + max(faces, _FEWEST_OTHERS))
        self.images = self.codes.draw(drawing)
        self.other_images = Codes.of_seeds(drawing, seeds).draw(drawing)
        self._others = self._features.features(self.other_images)
        self.blur = max(drawing.resolution * _BLUR, 0.5)
        self.bound = self._distance(blurred(self.images, self.blur))
        self.found = self._share_found(self.images)

    def moved(self, step: Tensor) -> Tensor:
        """The faces moved by a step: uint8 [N, C, H, W]."""
        return moved(self._drawing, self.codes, step).draw(self._drawing)

    def of(self, images: Tensor) -> Fare:
        """How faces fare that were moved."""
        share, distance = self._share_found(images), self._distance(images)
        good = share >= _FOUND * self.found and distance <= self.bound
        return Fare(found=share, distance=distance, good=good)

    def reach(self, step: Tensor) -> tuple[float, float]:
        """The farthest good amounts of a step, downwards and upwards, of those tried."""
        low, high = (
            farthest((amount, self.of(self.moved(sign * amount * step)).good) for amount in AMOUNTS)
            for sign in (-1, 1)
        )
        return -low, high

    def _distance(self, images: Tensor) -> float:
        return estimate(self._others, self._features.features(images))

    def _share_found(self, images: Tensor) -> float:
        return float(np.mean([bool(self._finder.find(rgb(image), most=1)) for image in images]))


def quality_of(drawing: Drawing, first: int, faces: int) -> Quality | str:
    """What looks at faces; or why it cannot be known how far directions go."""
    try:
        quality = Quality(drawing, first, faces)
    except MienError as error:
        return str(error)
    if quality.found < _FEWEST_FOUND:
        return f"a face is found in {quality.found:.0%} of its images"
    return quality


def farthest(tried: Iterable[tuple[float, bool]]) -> float:
    """The farthest amount up to which all that were tried, nearest first, are good; 0 where none is."""
    good = list(takewhile(lambda one: one[1], tried))
    return good[-1][0] if good else 0.0


def blurred(images: Tensor, sigma: float) -> Tensor:
    """uint8 [N, C, H, W] under a Gaussian of `sigma` pixels, mirrored at the edge."""
    radius = max(1, round(3 * sigma))
    floats = images.float().numpy()
    soft = gaussian_filter(floats, sigma, mode="mirror", radius=radius, axes=(2, 3))
    return torch.from_numpy(soft).round().clamp(0, 255).to(torch.uint8)

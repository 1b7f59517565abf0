"""Diversity: mean perceptual distance of random pairs (LPIPS; Zhang et al. 2018, arXiv:1801.03924)."""

import numpy as np
import torch
from torch import Tensor

from mien.core import artefacts
from mien.core.errors import InputError
from mien.core.image import to_float
from mien.metrics._intervals import named, of_mean
from mien.nn.lpips import ARTEFACT, Lpips

NEEDS = "images"
# Higher is more various, but only the reals' own value says what is right: hence no "better".
BETTER: dict[str, str] = {}
TITLES = {"lpips_fake": "LPIPS among generated", "lpips_real": "LPIPS among real"}
ARTEFACTS = (ARTEFACT["alexnet"],)
MOST = 1000  # images a side: 500 pairs

_BATCH = 32
_SIDE = 64  # smaller images are enlarged to it: AlexNet sees nothing under 31 px


def compute(real: Tensor, fake: Tensor, *, seed: int = 0) -> dict[str, float]:
    """Mean distance within pairs of fakes (`lpips_fake`) and within pairs of reals (`lpips_real`).

    real, fake: uint8 [N, C, S, S] and [M, C, S, S], four images or more each. Pairs are random and disjoint,
    so no image weighs more than another and the 95 % interval (`_low`, `_high`) is a plain one of a mean of
    independent numbers. A generator that has collapsed scores below the reals.
    """
    with torch.random.fork_rng(
        devices=[]
    ):  # building a network draws weights before it reads the published ones
        network = Lpips.load("alexnet")
    return {**_of_pairs("lpips_fake", fake, network, seed), **_of_pairs("lpips_real", real, network, seed)}


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when pairs are few, else None."""
    fewest = min(num_real, num_fake)
    return None if fewest >= 100 else f"{fewest} images make {fewest // 2} pairs: use 100 images or more"


def provenance() -> tuple[str, str, str]:
    """Name, hash and resize rule of the network, for the provenance of scores."""
    return "lpips-alexnet", str(artefacts.artefact_sha256(ARTEFACTS[0])), f"as they are, from {_SIDE} px on"


def _of_pairs(name: str, images: Tensor, network: Lpips, seed: int) -> dict[str, float]:
    if len(images) < 4:
        raise InputError("LPIPS of pairs needs four images or more on each side")
    order = np.random.RandomState(seed).permutation(len(images))[: len(images) // 2 * 2].reshape(-1, 2)
    values = []
    with torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            pairs = torch.from_numpy(order[start : start + _BATCH])
            values.append(network(_prepared(images[pairs[:, 0]]), _prepared(images[pairs[:, 1]])))
    distances = torch.cat(values).double().numpy()
    return named(name, float(distances.mean()), of_mean(distances))


def _prepared(images: Tensor) -> Tensor:
    x = to_float(images).expand(-1, 3, -1, -1)
    if min(x.shape[2:]) < _SIDE:
        x = torch.nn.functional.interpolate(x, (_SIDE, _SIDE), mode="bicubic").clamp(-1, 1)
    return x

"""Perceptual path length: how fast pictures change along latents (Karras et al. 2019, section 4.1)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mien.core import artefacts
from mien.core.errors import InputError
from mien.core.sampling import latents
from mien.core.styles import Styled, constrained, styles, to_size
from mien.core.types import Generator
from mien.metrics._intervals import around, named
from mien.nn.lpips import ARTEFACT, Lpips

NEEDS = "generator"
ALSO = {"ppl": ""}
BETTER = {"path_length_z": "lower", "path_length_w": "lower"}
TITLES = {"path_length_z": "path length in z", "path_length_w": "path length in w"}
ARTEFACTS = (ARTEFACT["alexnet"],)
ASKED_FOR = True  # computed only where it is named

_STEP = 1e-4
_TRIM = 1.0  # per cent left out at either end, as in the paper: a few paths cross from face to face
_BATCH = 32
_SIDE = 64


def compute(
    generator: Generator,
    labels: Tensor | None = None,
    *,
    count: int = 500,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> dict[str, float]:
    """Mean LPIPS (AlexNet) of two pictures a ten-thousandth of the way apart, over that step's square.

    path_length_z: along great circles between random z. path_length_w: along straight lines between the
    styles of random z, of generators that have styles. labels: float32 [count, label_dim] of a conditional
    one. device: where the generator is. The ends 0 to 1 % and 99 to 100 % are left out, and images stay
    floats, not bytes. `_low`, `_high`: 95 % intervals, of independent paths.
    """
    if count < 16:
        raise InputError(f"path length needs 16 paths or more, not {count}")
    with torch.random.fork_rng(devices=[]):
        network = Lpips.load("alexnet", device=device)
    at = torch.from_numpy(np.random.RandomState(seed).rand(count, 1).astype(np.float32)).to(device)
    starts, ends = (
        latents(list(range(s, s + count)), generator.z_dim).to(device) for s in (seed, seed + count)
    )
    labels = None if labels is None else labels.to(device)

    def from_z(places: Tensor, chosen: slice) -> Tensor:
        z = slerp(starts[chosen], ends[chosen], places) * generator.z_dim**0.5
        return generator(z, None if labels is None else labels[chosen])

    result = _mean("path_length_z", network, from_z, at)
    if not isinstance(generator, Styled):
        return result
    w_starts, w_ends = (styles(generator, z, labels) for z in (starts, ends))

    def from_w(places: Tensor, chosen: slice) -> Tensor:
        ws = torch.lerp(w_starts[chosen], w_ends[chosen], places[:, :, None])
        return to_size(generator, generator.synthesis(constrained(generator, ws), noise="const"))

    return {**result, **_mean("path_length_w", network, from_w, at)}


def advice(num_real: int, num_fake: int, dims: int) -> str | None:
    """A warning in words when paths are few, else None. num_fake: paths."""
    return None if num_fake >= 500 else f"{num_fake} paths: use 500 or more"


def provenance() -> tuple[str, str, str]:
    """Name, hash and step of the network, for the provenance of scores."""
    return (
        "lpips-alexnet",
        str(artefacts.artefact_sha256(ARTEFACTS[0])),
        f"from {_SIDE} px on, step {_STEP:g}",
    )


def slerp(a: Tensor, b: Tensor, at: Tensor) -> Tensor:
    """Points on the great circles from a to b [N, D]; at: [N, 1] in 0 to 1. Of unit length."""
    a, b = (torch.nn.functional.normalize(x, dim=1) for x in (a, b))
    cosine = (a * b).sum(1, keepdim=True)
    across = torch.nn.functional.normalize(b - cosine * a, dim=1)
    angle = at * torch.acos(cosine.clamp(-1, 1))
    return a * angle.cos() + across * angle.sin()


def _mean(name: str, network: Lpips, draw: Callable[[Tensor, slice], Tensor], at: Tensor) -> dict[str, float]:
    """The mean over paths without its ends. draw(places, which paths): float images there."""
    values = []
    with torch.inference_mode():
        for start in range(0, len(at), _BATCH):
            chosen = slice(start, start + _BATCH)
            near, far = (_prepared(draw(at[chosen] + step, chosen)) for step in (0.0, _STEP))
            values.append(network(near, far).cpu() / _STEP**2)
    lengths = torch.cat(values).double().numpy()
    low, high = np.percentile(lengths, (_TRIM, 100 - _TRIM))
    mean = float(lengths[(lengths >= low) & (lengths <= high)].mean())
    # Where the ends lie is chance too: the error is of lengths drawn in to them (Tukey and McLaughlin 1963).
    error = float(lengths.clip(low, high).std(ddof=1)) / (1 - 2 * _TRIM / 100) / len(lengths) ** 0.5
    return named(name, mean, around(mean, error, len(lengths) - 1))


def _prepared(images: Tensor) -> Tensor:
    x = images.float().expand(-1, 3, -1, -1)
    if min(x.shape[2:]) < _SIDE:
        x = torch.nn.functional.interpolate(x, (_SIDE, _SIDE), mode="bicubic")
    return x

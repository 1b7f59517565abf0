"""LPIPS of random pairs: diversity of fakes beside that of reals."""

import hashlib

import pytest
import torch

from contracts.metric_contract import MetricContract, smooth_pictures
from mien.core.artefacts import artefact_path
from mien.core.errors import InputError
from mien.core.image import to_float
from mien.metrics import lpips
from mien.nn.lpips import Lpips

pytestmark = pytest.mark.skipif(
    artefact_path("lpips-alexnet") is None, reason="the lpips-alexnet artefact is not cached"
)


class TestContract(MetricContract):
    metric = "lpips"
    swapped = (("lpips_fake", "lpips_real"), ("lpips_fake_low", "lpips_real_low"))


def test_it_is_the_mean_distance_of_disjoint_pairs():
    pictures = smooth_pictures(6, seed=3)
    network, x = Lpips.load("alexnet"), to_float(pictures)
    values = lpips.compute(pictures, pictures)
    each = {(i, j): float(network(x[i : i + 1], x[j : j + 1])) for i in range(6) for j in range(i)}
    matchings = [
        sum(each[max(pair), min(pair)] for pair in matching) / 3
        for matching in (
            ((0, a), (b, c), (d, e))
            for a in range(1, 6)
            for b, c, d, e in _pairings([n for n in range(1, 6) if n != a])
        )
    ]
    assert min(abs(values["lpips_fake"] - mean) for mean in matchings) < 1e-5
    assert values["lpips_fake_low"] < values["lpips_fake"] < values["lpips_fake_high"]


def _pairings(four):
    first, *rest = four
    return [(first, one, *[n for n in rest if n != one]) for one in rest]


def test_a_collapsed_generator_scores_below_the_reals_and_the_intervals_part():
    real = smooth_pictures(40, seed=0)
    noise = torch.randint(-9, 10, real.shape, generator=torch.Generator().manual_seed(0))
    collapsed = (real[:1].int() + noise).clamp(0, 255).to(torch.uint8)
    values = lpips.compute(real, collapsed)
    assert values["lpips_fake_high"] < values["lpips_real_low"]


def test_small_and_gray_pictures_are_taken_and_three_are_too_few():
    small = smooth_pictures(8, seed=0, size=16)[:, :1]
    assert lpips.compute(small, small)["lpips_real"] > 0
    with pytest.raises(InputError, match="four images"):
        lpips.compute(small, small[:3])


def test_its_provenance_is_the_file_that_it_read():
    path = artefact_path("lpips-alexnet")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert lpips.provenance() == ("lpips-alexnet", digest, "as they are, from 64 px on")

"""Feature networks: pinned, independent of batches, and the more upset the more a picture is disturbed."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from contracts.metric_contract import smooth_pictures
from mien.core import artefacts
from mien.core.errors import InputError, MienError
from mien.metrics import frechet, kernel
from mien.metrics.features import USUAL, is_here, names, needs_of, open_network, usual_networks
from mien.metrics.features._images import resized
from mien.metrics.features.vgg_random import VggRandom

BLURS = (0.5, 1.0, 2.0)
NOISES = (10, 25, 60)
MIXES = (0.1, 0.25, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def vgg():
    return open_network("vgg-random")


@pytest.fixture(scope="module", params=["vgg-random", "mesh"])
def network(request, vgg):
    if request.param == "vgg-random":
        return vgg
    from mien.core.artefacts import artefact_path

    if artefact_path("face-mesh") is None:
        pytest.skip("the face-mesh artefact is not cached")
    return open_network("mesh")


@pytest.mark.slow
def test_the_random_network_is_pinned(vgg):
    assert vgg.hash == "b6d47940020b3f83ae010013289b8e5d13a497013a1b7d917063a7ca87572335"
    assert VggRandom().hash == vgg.hash


def test_the_random_network_answers_as_it_always_did(vgg):
    ramp = torch.arange(64).mul(4).to(torch.uint8).expand(1, 3, 64, 64)
    first = vgg.features(ramp)[0, :4]
    assert first.tolist() == pytest.approx([0.52176, 0.27430, -0.19422, 0.37926], abs=2e-4)


@pytest.mark.slow
def test_features_do_not_depend_on_batches(network):
    pictures = smooth_pictures(40, seed=0)
    whole = network.features(pictures)
    assert whole.shape == (40, network.dims)
    assert whole.dtype == np.float32
    parts = np.concatenate([network.features(part) for part in torch.split(pictures, (1, 7, 32))])
    assert np.abs(whole - parts).max() < 1e-4 * np.abs(whole).max()
    assert network.features(pictures[:0]).shape == (0, network.dims)


def test_gray_is_seen_as_equal_channels_and_other_sizes_are_taken(network):
    pictures = smooth_pictures(3, seed=0, size=96)
    gray = pictures[:, :1]
    assert np.array_equal(network.features(gray), network.features(gray.expand(-1, 3, -1, -1)))


def test_what_is_no_picture_is_refused(network):
    with pytest.raises(TypeError, match="uint8"):
        network.features(torch.zeros(2, 3, 64, 64))
    with pytest.raises(TypeError, match="uint8"):
        network.features(torch.zeros(2, 64, 64, 3, dtype=torch.uint8))


def test_an_unknown_network_is_named():
    with pytest.raises(InputError, match=r"lite0, mesh.*vgg-random"):
        open_network("resnet")


def test_without_networks_the_random_one_is_left_and_each_that_could_not_be_had_is_named(
    tmp_path, monkeypatch
):
    """Nothing in the cache, and no network: two lines of what is left out, one of what that costs."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))

    def offline(name, *, announce):
        raise MienError(f"{name} cannot be fetched: no network")

    monkeypatch.setattr(artefacts, "obtain", offline)
    said = []
    assert usual_networks(fetch=True, announce=said.append) == ["vgg-random"]
    assert [line.partition(": ")[0] for line in said[:-1]] == [
        f"left out the feature network {name}" for name in USUAL
    ]
    for name, line in zip(USUAL, said, strict=False):
        assert line.endswith(f"{needs_of(name)[0]} cannot be fetched: no network")
    assert "vgg-random alone" in said[-1]
    unasked = []
    assert usual_networks(fetch=False, announce=unasked.append) == ["vgg-random"]
    assert unasked == said[-1:], "what is not to be fetched is not complained of"


@pytest.mark.skipif(not all(map(is_here, USUAL)), reason="the usual networks are not cached")
def test_the_usual_networks_are_those_that_are_here(tmp_path, monkeypatch):
    said = []
    found = usual_networks(fetch=False, announce=said.append)
    assert (tuple(found[:2]), said) == (USUAL, [])
    (tmp_path / "artefacts").mkdir()
    for name in needs_of("mesh"):
        path = artefacts.artefact_path(name)
        (tmp_path / "artefacts" / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    assert usual_networks(fetch=False, announce=said.append) == ["mesh"]
    assert said == []


def test_shrinking_is_antialiased():
    stripes = torch.zeros(1, 1, 256, 256, dtype=torch.uint8)
    stripes[..., ::2] = 255
    # Without antialiasing every fourth column would be hit, all of them white.
    assert resized(stripes, 64)[..., 4:-4].abs().max() < 0.02


def test_the_range_is_minus_one_to_one():
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(-1, -1, 64, 64)
    assert resized(ends, 64).amin().item() == -1
    assert resized(ends, 64).amax().item() == 1
    assert resized(ends, 299).abs().amax().item() <= 1


def blurred(pictures, sigma):
    reach = int(4 * sigma + 0.5)
    taps = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).view(1, 1, 1, -1)
    planes = functional.pad(pictures.float().flatten(0, 1)[:, None], (reach,) * 4, mode="reflect")
    planes = functional.conv2d(functional.conv2d(planes, taps), taps.transpose(2, 3))
    return planes.view(pictures.shape).round().clamp(0, 255).to(torch.uint8)


def noisy(pictures, level):
    noise = torch.from_numpy(np.random.RandomState(1).randn(*pictures.shape).astype(np.float32))
    return (pictures + level * noise).round().clamp(0, 255).to(torch.uint8)


def photos(folder: Path, count: int) -> torch.Tensor:
    files = sorted(folder.rglob("*.jpg"))[:: max(len(list(folder.rglob("*.jpg"))) // count, 1)][:count]
    squares = []
    for file in files:
        with Image.open(file, formats=["JPEG"]) as picture:
            side = min(picture.size)
            square = picture.convert("RGB").crop((0, 0, side, side)).resize((64, 64), Image.Resampling.BOX)
            squares.append(np.asarray(square))
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()


def mixed(plain: np.ndarray, foreign: np.ndarray, share: float, draw: int) -> np.ndarray:
    """`plain` with a random `share` of its rows replaced by random rows of `foreign`."""
    rng = np.random.RandomState(draw)
    count = round(share * len(plain))
    rows = plain.copy()
    rows[rng.permutation(len(plain))[:count]] = foreign[rng.permutation(len(foreign))[:count]]
    return rows


def disturbance_rises(network, pictures, others):
    """FID's own test (Heusel et al. 2017, figure 3), for the Frechet and the kernel distance.

    Sets are small, so a mixture's distance depends on who happens to be in it: it is averaged over draws.
    """
    plain, foreign = network.features(pictures), network.features(others)
    kinds = {
        "blur": [[network.features(blurred(pictures, level))] for level in BLURS],
        "noise": [[network.features(noisy(pictures, level))] for level in NOISES],
        "mix": [[mixed(plain, foreign, share, draw) for draw in range(10)] for share in MIXES],
    }
    for name, metric in (("frechet", frechet), ("kernel", kernel)):
        for kind, levels in kinds.items():
            values = [
                float(np.mean([metric.compute(plain, rows)[name] for rows in draws]))
                for draws in ([plain], *levels)
            ]
            if os.environ.get("MIEN_SHOW"):
                print(network.name, name, kind, *(f"{value:.4g}" for value in values))
            assert all(a < b for a, b in itertools.pairwise(values)), (name, kind, values)


@pytest.mark.slow
def test_disturbing_smooth_pictures_raises_the_distances(network):
    disturbance_rises(network, smooth_pictures(24, seed=0), 255 - smooth_pictures(24, seed=1) // 2)


@pytest.mark.slow
def test_disturbing_photographs_raises_the_distances(network, shared_data):
    disturbance_rises(network, photos(shared_data / "photos", 32), photos(shared_data / "eyes", 32))


@pytest.fixture(scope="module")
def heads():
    from mien.render.people import render_people

    return torch.from_numpy(render_people(32, size=64, seed=0)[0])


@pytest.mark.slow
def test_disturbing_rendered_heads_raises_the_distances(network, heads):
    disturbance_rises(network, heads, smooth_pictures(32, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_network_answers_alone_as_in_a_batch_and_builds_without_touching_chance(name):
    if not is_here(name):
        pytest.skip(f"what {name} needs is not cached")
    before = torch.get_rng_state()
    network = open_network(name)
    assert torch.equal(torch.get_rng_state(), before)
    pictures = smooth_pictures(3, seed=5)
    together = network.features(pictures)
    assert together.shape == (3, network.dims)
    assert together.dtype == np.float32
    alone = np.concatenate([network.features(one) for one in torch.split(pictures, 1)])
    assert np.abs(together - alone).max() < 1e-3 * np.abs(together).max()
    assert len(network.hash) >= 16
    assert network.features(pictures[:0]).shape == (0, network.dims)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if is_here(name)])
def test_every_network_answers_alike_on_another_device(name, on_second_device):
    images = torch.randint(
        0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    there = on_second_device(features_there, name, images.numpy())
    assert np.allclose(open_network(name).features(images), there, rtol=1e-3, atol=1e-4)


def features_there(second, name, images):
    return open_network(name, device=second).features(torch.from_numpy(images))

"""Identity, expression, age and sex: where the chip lies, and on real people what each is worth."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mien.core.artefacts import artefact_path
from mien.core.errors import MienError
from mien.faces.age_sex import AgeSexNetworks
from mien.faces.align import ffhq_square
from mien.faces.chips import Chip
from mien.faces.crop import cut
from mien.faces.expressions import EXPRESSIONS, ExpressionNetwork
from mien.faces.finder import needed_artefacts, open_finder
from mien.faces.identity import SAME_PERSON, IdentityNetwork, distances
from mien.nn.face_resnet import FaceResNet


def random_identity():
    torch.manual_seed(0)
    net = FaceResNet()
    for unit in net.units:
        torch.nn.init.kaiming_normal_(unit.weight)
    return IdentityNetwork(net, hash="random")


@pytest.mark.parametrize("side", [64, 256, 600])
def test_a_chip_lies_where_it_says(side):
    chip = Chip(side=0.5, centre=0.6, size=100)
    picture = torch.zeros(1, 1, side, side)
    across, down = round(0.6 * side), round(0.7 * side)
    span = max(1, side // 32)
    picture[..., down : down + span, across : across + span] = 1
    found = chip.cut(picture)[0, 0]
    weights = found.clamp(min=0) / found.clamp(min=0).sum()
    middle = torch.arange(100) + 0.5
    x, y = (weights.sum(0) * middle).sum().item(), (weights.sum(1) * middle).sum().item()
    assert x == pytest.approx(((across + span / 2) / side - 0.25) / 0.5 * 100, abs=0.6)
    assert y == pytest.approx(((down + span / 2) / side - 0.35) / 0.5 * 100, abs=0.6)


def test_a_chip_of_a_flat_picture_is_flat_and_of_a_fine_grid_has_no_moire():
    chip = Chip(side=0.66, centre=0.6, size=150)
    assert (chip.cut(torch.full((1, 3, 64, 64), 77.0)) - 77).abs().max() < 1e-3
    fine = (torch.arange(1024) % 2 * 255.0).expand(1, 3, 1024, 1024)
    assert chip.cut(fine).std() < 20
    with pytest.raises(ValueError, match="side, side"):
        chip.cut(torch.zeros(1, 3, 64, 32))


def test_the_two_ways_into_the_identity_network_agree():
    network = random_identity()
    images = torch.randint(
        0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    smooth = torch.nn.functional.avg_pool2d(images.float(), 5, 1, 2).round().to(torch.uint8)
    features = network.features(smooth)
    x = (smooth.float() / 127.5 - 1).requires_grad_()
    embedded = network.embed(x)
    np.testing.assert_allclose(features, embedded.detach().numpy(), atol=1e-3 * np.abs(features).max())
    np.testing.assert_allclose(
        network.features(smooth[1:2])[0], features[1], atol=1e-4 * np.abs(features).max()
    )
    embedded.square().sum().backward()
    assert x.grad.abs().sum() > 0
    gray = smooth[:, :1]
    np.testing.assert_array_equal(network.features(gray), network.features(gray.expand(-1, 3, -1, -1)))
    assert network.features(smooth[:0]).shape == (0, 128)


def test_distances_are_euclidean():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 128)).astype(np.float32), rng.normal(size=(3, 128)).astype(np.float32)
    expected = [[np.linalg.norm(one.astype(float) - other) for other in b] for one in a]
    np.testing.assert_allclose(distances(a, b), expected, rtol=1e-6)
    np.testing.assert_allclose(np.diagonal(distances(a, a)), 0, atol=1e-6)


@pytest.mark.parametrize("network", [IdentityNetwork, ExpressionNetwork, AgeSexNetworks])
def test_what_is_not_here_says_how_to_get_it(network, tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    with pytest.raises(MienError, match="mien artefacts fetch"):
        network.load()


@pytest.fixture(scope="module")
def people(shared_data):
    """uint8 [102, 3, 64, 64] neutral and smiling, in the same order, as `mien prepare` cuts them."""
    from PIL import Image

    if any(artefact_path(name) is None for name in needed_artefacts("mesh")):
        pytest.skip("the face finder's files are not in the cache")
    finder = open_finder("mesh")
    sides = []
    for kind in ("neutral", "smiling"):
        crops = {}
        for file in sorted((shared_data / "expressions" / kind).glob("*.jpg")):
            with Image.open(file, formats=["JPEG"]) as image:
                pixels = np.asarray(image.convert("RGB"))
            face = finder.find(pixels, most=1)[0]
            large = Image.fromarray(cut(pixels, ffhq_square(face), 256))
            crops[file.name.partition("_")[0]] = np.asarray(large.resize((64, 64), Image.Resampling.LANCZOS))
        sides.append(crops)
    assert sides[0].keys() == sides[1].keys()
    assert len(sides[0]) == 102
    return [
        torch.from_numpy(np.stack(list(side.values()))).permute(0, 3, 1, 2).contiguous() for side in sides
    ]


def inner(images):
    """Only brows to chin and cheek to cheek, on gray: no hair, no ears, no clothes, no background."""
    line = (torch.arange(64) + 0.5) / 64
    inside = ((line[None] - 0.5) / 0.2).square() + ((line[:, None] - 0.58) / 0.26).square() < 1
    return torch.where(inside, images, torch.tensor(128, dtype=torch.uint8))


def loaded(network, *names):
    for name in names:
        if artefact_path(name) is None:
            pytest.skip(f"not in the cache (run `mien artefacts fetch {name}`)")
    return network.load()


@pytest.mark.slow
def test_smiling_people_are_known_by_the_inner_face_alone(people):
    network = loaded(IdentityNetwork, "identity")
    neutral, smiling = people
    far = distances(network.features(inner(neutral)), network.features(inner(smiling).flip(3)))
    assert (far.argmin(1) == np.arange(102)).mean() >= 0.98
    assert (far.argmin(0) == np.arange(102)).mean() >= 0.98
    whole = distances(network.features(neutral[:40]), network.features(smiling[:40]))
    assert (np.diagonal(whole) < SAME_PERSON).all()
    assert (whole[~np.eye(40, dtype=bool)] < SAME_PERSON).mean() < 0.01


@pytest.mark.slow
def test_smiles_ages_and_sexes_are_read_as_well_as_the_pages_say(people):
    expressions = loaded(ExpressionNetwork, "expressions")
    both = torch.cat(people)
    chances = expressions.probabilities(both)
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
    happy = chances[:, EXPRESSIONS.index("happy")]
    assert roc_auc_score(np.repeat((0, 1), 102), happy) > 0.93
    guess = loaded(AgeSexNetworks, "age", "sex").guess(both)
    assert ((guess.female[:102] > 0.5) == (guess.female[102:] > 0.5)).mean() > 0.98
    assert np.abs(guess.years[:102] - guess.years[102:]).mean() < 4
    one = AgeSexNetworks.load().guess(both[7:8])
    np.testing.assert_allclose(one.years, guess.years[7:8], atol=1e-3)

"""What a generator does not draw: planted drops are found, nothing else is; the support by closed form."""

import json
import re

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from sklearn.cluster import KMeans

from mien.cli import main
from mien.core.errors import InputError
from mien.evaluation import mode_scores
from mien.evaluation.mode_scores import cut_of, occupancy, power, support
from mien.evaluation.modes import Modes, sentences


def clusters(count, *, among=range(20), seed=0, tight=0.3):
    """Points of equally many clusters in 8 dimensions, some of twenty."""
    centres = np.random.RandomState(42).randn(20, 8) * 4
    rng = np.random.RandomState(seed)
    return (centres[rng.choice(list(among), count)] + rng.randn(count, 8) * tight).astype(np.float32)


def test_a_tenth_of_the_clusters_dropped_is_found_and_nothing_else():
    found = occupancy(clusters(1000), clusters(1000, among=range(2, 20), seed=1), bins=20)
    assert 1 <= len(found.missing) <= 2
    assert all(one.fake == 0 and one.real > 0.03 for one in found.missing)
    assert len(found.missing_reals) == pytest.approx(100, abs=20)
    whole = occupancy(clusters(1000), clusters(1000, seed=2), bins=20)
    assert whole.missing == ()
    assert whole.jsd < 0.02 < found.jsd


def test_without_a_drop_a_bin_is_called_missing_once_in_twenty_times_at_most():
    called = [
        bool(occupancy(clusters(400, seed=s), clusters(400, seed=500 + s), bins=10).missing)
        for s in range(40)
    ]
    assert sum(called) <= 5


def test_half_the_classes_dropped_and_one_face_repeated():
    half = occupancy(clusters(600), clusters(600, among=range(10), seed=1), bins=20)
    assert len(half.missing_reals) == pytest.approx(300, abs=30)
    assert half.ndb > 0.8 > 0.2 > half.ndb_real
    one = occupancy(clusters(600), np.repeat(clusters(1), 600, axis=0), bins=20)
    assert len(one.missing_reals) > 0.9 * 570
    assert one.jsd > 0.7


def test_few_fakes_get_bins_that_can_be_missed():
    one = occupancy(clusters(1000), np.repeat(clusters(1), 60, axis=0))
    assert len(one.bins) == 6
    assert len(one.missing_reals) > 700
    with pytest.raises(InputError, match="choose 2 to 50"):
        occupancy(clusters(100), clusters(100), bins=51)
    with pytest.raises(InputError, match="0 bins"):
        occupancy(clusters(100), clusters(100), bins=0)


def test_ndb_and_jsd_are_the_textbooks():
    real, fake = clusters(500), clusters(300, among=range(5, 20), seed=1)
    found = occupancy(real, fake, bins=12)
    p, q = (np.array([getattr(one, side) for one in found.bins]) for side in ("real", "fake"))
    assert found.jsd == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)
    pooled = (p * 500 + q * 300) / 800
    z = np.abs(p - q) / np.sqrt(pooled * (1 - pooled) * (1 / 500 + 1 / 300))
    assert found.ndb == pytest.approx(np.mean(z > 1.959964))
    assert p.sum() == pytest.approx(1)
    assert q.sum() == pytest.approx(1)


def cloud(count, seed=0):
    """Points without clusters of their own, as faces have none."""
    rng = np.random.RandomState(seed)
    return (rng.randn(count, 12) * np.linspace(3, 0.3, 12)).astype(np.float32)


@pytest.mark.slow
def test_the_stated_power_is_that_of_fresh_losses(monkeypatch):
    """Losses of clusters of 1,200 images; the stated powers know 500 others."""
    images, rng, found = cloud(1200), np.random.RandomState(0), []
    for seed in range(40):
        kinds = KMeans(20, n_init=1, random_state=seed).fit(images).labels_
        kept, rest = np.split(rng.permutation(1200), [500])
        fakes = rest[~np.isin(kinds[rest], rng.choice(20, 2, replace=False))][:400]
        found.append(bool(occupancy(images[kept], images[fakes]).missing))
    monkeypatch.setattr(mode_scores, "_PLANTINGS", 36)
    stated = [power(cloud(500, seed), 400, seed=seed) for seed in (1, 2)]
    assert np.mean([each.chance for each in stated]) == pytest.approx(np.mean(found), abs=0.2)
    assert all(each.low < np.mean(found) < each.high for each in stated)


@pytest.mark.slow
def test_power_grows_with_the_number_of_images():
    few, some, many = (power(cloud(count), count) for count in (150, 400, 600))
    assert few.chance < some.chance < many.chance
    assert few.times > some.times > many.times > 1
    always = mode_scores._carried_on(np.array([72, 72]), np.log([0.5, 0.3]))
    assert always.chance > 0.95
    assert always.times == 1
    assert power(clusters(90), 90) is None


def test_the_support_of_equally_likely_things_is_their_number():
    rng = np.random.RandomState(0)
    held, sizes = 0, []
    for _ in range(100):
        drawn = rng.randint(0, 3000, 300)
        found = support((drawn[:, None] != drawn[None]).astype(float), 0.5)
        held += found.low <= 3000 <= found.high
        sizes.append(1 / found.size)
    assert 1 / np.mean(sizes) == pytest.approx(3000, rel=0.1)
    assert held >= 91
    none = support(np.ones((50, 50)), 0.5)
    assert none.size == none.high == np.inf
    assert none.low == pytest.approx(50 * 49 / 2 / 2.512, rel=1e-3)


def test_the_cut_lets_one_real_in_a_hundred_have_a_twin():
    points = np.random.RandomState(0).randn(400, 4)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    cut = cut_of(apart)
    nearest = (apart + np.diag(np.full(400, np.inf))).min(1)
    assert np.mean(nearest < cut) == pytest.approx(0.01, abs=0.005)


def test_too_few_images_are_refused():
    with pytest.raises(InputError, match="50 images"):
        occupancy(clusters(49), clusters(200))


def coloured(count, *, hues, seed=0):
    """Flat pictures of some hues with a little noise, uint8 [N, 32, 32, 3]."""
    rng = np.random.RandomState(seed)
    palette = np.random.RandomState(1).randint(0, 220, (10, 3))
    chosen = palette[rng.choice(hues, count)][:, None, None]
    return np.clip(chosen + rng.randint(0, 20, (count, 32, 32, 3)), 0, 255).astype(np.uint8)


@pytest.mark.slow
def test_the_command_shows_what_is_missing(tmp_path, monkeypatch, fails):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mode_scores, "_PLANTINGS", 8)
    np.save("train.npy", coloured(120, hues=range(10)))
    np.save("fakes.npy", coloured(120, hues=range(1, 10), seed=1))
    np.save("few.npy", coloured(20, hues=[1]))
    options = ["--data", "train.npy", "--features", "vgg-random", "--bins", "10"]
    assert main(["modes", "fakes.npy", *options]) == 0
    found = json.loads((tmp_path / "modes" / "modes.json").read_text())
    assert len(found["missing"]) == 1
    ((real, fake),) = found["missing"]
    assert fake == 0 < real
    assert found["prdc"]["coverage"][0] < 0.97
    chance, low, high = found["power"]
    assert 0 <= low < chance < high <= 1
    page = (tmp_path / "modes" / "modes.html").read_text()
    assert "A kind of training image is missing" in page
    assert page.count("missing: ") == 1
    assert page.count("<img") == 10
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "50 images or more" in fails("modes", "few.npy", *options)
    np.save("large.npy", np.zeros((60, 64, 64, 3), np.uint8))
    assert "64 pixels a side, but train.npy has 32" in fails("modes", "large.npy", *options)
    np.save("gray.npy", np.zeros((60, 32, 32, 1), np.uint8))
    assert "1 channel, but train.npy has 3" in fails("modes", "gray.npy", *options)


def test_bins_that_overlap_are_named_once_and_none_is_mostly_in_another():
    found = occupancy(clusters(600), clusters(600, among=range(14), seed=1))
    covered = np.zeros(600, int)
    for one in found.missing:
        assert np.mean(covered[one.members] > 0) < 0.5
        covered[one.members] += 1
    assert np.flatnonzero(covered).tolist() == found.missing_reals.tolist()


def test_what_was_found_is_said_as_far_as_it_is_known():
    """Nothing missing, and a power that is high enough or not known, each in its own words."""
    share = (0.9, 0.8, 1.0)
    known = Modes(
        **{"model": "m", "data": "d", "data_hash": "h", "network": "n", "num_real": 900, "num_fake": 900},
        **{"num_bins": 30, "ndb": 0.0, "ndb_real": 0.0, "jsd": 0.0, "missing": (), "missing_share": 0.0},
        **{"power": (0.91, 0.85, 0.96), "enough": None, "support": (None, 400.0, None)},
        **{"support_real": (None, 500.0, None), "prdc": {"coverage": share}},
    )
    first, second, third = sentences(known)
    assert first == ("good", "no kind of training image is surely missing")
    chance = "a loss of a tenth of all kinds of faces would be found with a chance of 91% (85% to 96%)"
    assert second == ("plain", chance)
    assert third == ("plain", "no two fakes are alike: there are more than 400 different faces")
    weak = known.model_copy(update={"enough": (2000, 3000)})
    assert sentences(weak)[1] == (
        "doubt",
        f"{chance}; for 80 % use some 2,000 training images and 3,000 fakes",
    )
    few = known.model_copy(update={"power": None})
    assert sentences(few)[1][0] == "doubt"
    assert "use 1,000 training images and fakes" in sentences(few)[1][1]
    gone = known.model_copy(update={"missing": ((0.04, 0.0), (0.03, 0.001)), "missing_share": 0.07})
    assert sentences(gone)[0][0] == "doubt"
    assert sentences(gone)[0][1].startswith("2 kinds of training image are missing among the fakes")
    one = known.model_copy(update={"support": (1.2, 1.0, 1.6), "support_real": (90.0, 50.0, 200.0)})
    words = "all fakes look like one face by pairs that are alike (training images by the same rule: 90)"
    assert sentences(one)[2] == ("doubt", words)

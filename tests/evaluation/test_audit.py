"""The audit: copies are called out, new faces are not; planted copies are found; scores beside it."""

import hashlib
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import norm, t

from mien.cli import main
from mien.core import artefacts
from mien.core.errors import InputError
from mien.core.packed import PackWriter, encode_png
from mien.datasets.opening import open_dataset
from mien.evaluation import copies
from mien.evaluation import verdict as module
from mien.evaluation.audit import _unseen, audit
from mien.evaluation.verdict import attraction, authenticity, c_t
from rendered_heads import small_heads

pytestmark = pytest.mark.skipif(
    any(artefacts.artefact_path(name) is None for name in ("lpips-alexnet", "identity")),
    reason="lpips-alexnet or identity is not cached (mien artefacts fetch)",
)


@pytest.fixture(scope="module")
def people():
    """Rendered heads of as many people, uint8 [120, 3, 64, 64]."""
    return torch.from_numpy(small_heads(120))


@pytest.fixture(scope="module", autouse=True)
def _compared_once():
    """Audits of these tests share most of their images: the same one among the same is compared once."""
    known, compare = {}, copies.Gallery._nearest

    def nearest(gallery, picture, candidates):
        others = gallery._images[torch.from_numpy(candidates)]
        key = tuple(hashlib.sha256(each.numpy().tobytes()).digest() for each in (picture, others))
        if key not in known:
            index, far, aligned = compare(gallery, picture, candidates)
            known[key] = int(np.flatnonzero(candidates == index)[0]), far, aligned
        place, far, aligned = known[key]
        return int(candidates[place]), far, aligned

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies.Gallery, "_nearest", nearest)
        yield


@pytest.fixture
def folder(tmp_path, people, monkeypatch):
    """Forty training images, forty people unseen, forty new faces, noisy copies of five training images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mien.evaluation.audit._PLANTED", 10)
    monkeypatch.setattr(module, "_LEAST", {"unseen": 30, "fakes": 30})
    sets = {"train": people[:40], "hold": people[40:80], "new": people[80:]}
    rng = torch.Generator().manual_seed(0)
    repeated = people[:5].repeat(8, 1, 1, 1)
    noise = torch.randn(repeated.shape, generator=rng) * 6
    sets["memorised"] = copies.planted((repeated + noise).clamp(0, 255).to(torch.uint8), "brighter")
    for name, images in sets.items():
        np.save(f"{name}.npy", images.numpy())
    return tmp_path


@pytest.mark.slow
def test_new_faces_may_be_released_and_copies_are_held_back(folder):
    assert main(["audit", "new.npy", "--data", "train.npy", "--holdout", "hold.npy", "--out", "good"]) == 0
    good = json.loads((folder / "good" / "audit.json").read_text())
    assert good["verdict"] == "release"
    assert good["copies"] == 0
    assert not good["stand_in"]
    power = {one["way"]: one for one in good["power"]}
    assert set(power) == {*copies.WAYS, "all"}
    assert all(one["nearest"] >= 0.95 and one["found"] >= 0.6 for one in power.values())
    assert good["most_copies"] < 0.2
    code = main(["audit", "memorised.npy", "--data", "train.npy", "--holdout", "hold.npy", "--out", "bad"])
    assert code == 1
    bad = json.loads((folder / "bad" / "audit.json").read_text())
    assert bad["verdict"] == "hold back"
    assert bad["copies"] > 25
    assert bad["c_t"]["high"] < -3 < good["c_t"]["value"]
    assert good["c_t"]["low"] < good["c_t"]["value"] < good["c_t"]["high"]
    assert good["attraction"]["ratio"] < 2 < bad["attraction"]["ratio"]
    assert bad["authenticity"]["value"] < 0.2 < good["authenticity"]["low"]
    page = (folder / "bad" / "audit.html").read_text()
    assert "Hold it back" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


@pytest.mark.slow
def test_what_the_model_was_not_trained_on_gives_no_release(folder, people, monkeypatch):
    """The packaged model's faces are no rendered heads' copies, which says nothing of its training images."""
    monkeypatch.setattr(module, "_LEAST", {"unseen": 8, "fakes": 8})
    for name, images in {"some": people[:12], "others": people[40:52]}.items():
        np.save(f"{name}.npy", images.numpy())
    result = audit("packaged", data="some.npy", holdout="others.npy", out=folder / "out", count=8).run()
    assert result.verdict == "undecided"
    assert any("some holds other pictures (12) than the model says" in line for line in result.reasons)


@pytest.mark.slow
def test_without_a_hold_out_training_images_stand_in_and_it_says_so(folder):
    result = audit("new.npy", data="train.npy", out=folder / "out").run()
    assert result.stand_in
    assert any("stand in" in line for line in result.notes)
    assert result.verdict != "hold back"
    assert audit("memorised.npy", data="train.npy", out=folder / "out").run().verdict == "hold back"


@pytest.mark.slow
def test_what_is_said_of_the_hold_out_stands_beside_the_verdict(folder, monkeypatch):
    """Of one that is given; training images that stand in were drawn by chance."""
    monkeypatch.setattr(module, "cleared_by_identity", lambda unseen, own: f"{len(unseen)}, {len(own)}")
    result = audit("new.npy", data="train.npy", holdout="hold.npy", out=folder / "out").run()
    assert (result.verdict, result.notes) == ("release", ("40, 40",))
    assert "40, 40" in (folder / "out" / "audit.html").read_text()
    result = audit("new.npy", data="train.npy", out=folder / "out").run()
    assert "40, 40" not in result.notes


@pytest.mark.slow
def test_what_cannot_be_audited_is_said_in_a_line(folder, fails):
    np.save("small.npy", np.zeros((20, 32, 32, 3), np.uint8))
    np.save("few.npy", np.zeros((3, 64, 64, 3), np.uint8))
    assert "32 pixels a side, but train.npy has 64" in fails("audit", "small.npy", "--data", "train.npy")
    assert "8 images or more" in fails("audit", "few.npy", "--data", "train.npy")
    assert "8 images or more" in fails("audit", "new.npy", "--data", "train.npy", "--holdout", "few.npy")
    assert "no such run folder" in fails("audit", "nothing", "--data", "train.npy")


@pytest.mark.parametrize("way", [*copies.WAYS, "all"])
def test_a_disturbed_copy_is_brought_back_onto_its_original(people, way):
    original = people[:1]
    disturbed = copies.planted(original, way)
    assert not torch.equal(disturbed, original)
    (picture,), others = copies.small(disturbed), copies.small(torch.cat([original, people[1:4]]))
    aligned, fits = copies.align(picture, others)
    assert fits.argmax() == 0
    assert fits[0] > 0.95
    inside = slice(6, -6)
    apart = [(aligned[i] - others[i])[:, inside, inside].abs().mean() for i in range(4)]
    assert apart[0] < 0.05 < min(apart[1:])


def test_planting_mirrors_zooms_and_brightens(people):
    one = people[:1]
    assert torch.equal(copies.planted(one, "mirrored"), one.flip(3))
    assert (copies.planted(one, "brighter").int() - one.int()).max() == 20
    dot = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    dot[..., 60:62, 31:33] = 200
    rows = copies.planted(dot, "3 % zoom")[0, 0].float().sum(1)
    assert float((rows * torch.arange(64)).sum() / rows.sum()) == pytest.approx(31.5 + 29 * 1.03, abs=0.2)


def test_c_t_is_a_standard_normal_of_ranks():
    """Against the textbook form of the Mann-Whitney statistic; signs as in the paper."""
    rng = np.random.RandomState(0)
    held_out, fake = rng.rand(80) + 0.3, rng.rand(60)
    u = sum(float(f > h) for f in fake for h in held_out)
    expected = (u - 80 * 60 / 2) / np.sqrt(80 * 60 * 141 / 12)
    cells = np.zeros(80, int), np.zeros(60, int)
    assert c_t(held_out, fake, *cells).value == pytest.approx(expected)
    assert expected < -3
    swapped = c_t(fake, held_out, cells[1], cells[0]).value
    assert swapped == pytest.approx(-expected), "arguments swapped: it underfits as much"
    equal = [c_t(rng.rand(80), rng.rand(60), *cells).value for _ in range(300)]
    assert np.std(equal) == pytest.approx(1, abs=0.12)
    assert abs(np.mean(equal)) < 0.2


def test_c_t_averages_cells_by_the_hold_out_and_leaves_thin_ones_out():
    rng = np.random.RandomState(1)
    held_out, fake = rng.rand(87), rng.rand(57)
    one, two = np.repeat([0, 1, 2], [60, 25, 2]), np.repeat([0, 1, 2], [30, 25, 2])
    parts = [c_t(held_out[one == i], fake[two == i], one[one == i], two[two == i]).value for i in (0, 1)]
    assert c_t(held_out, fake, one, two).value == pytest.approx((60 * parts[0] + 25 * parts[1]) / 85)
    assert c_t(held_out[:2], fake, one[:2], two) is None


def test_the_error_of_c_t_is_that_of_leaving_each_image_out():
    """Against the jackknife as its definition says, image by image; equal distances count half."""
    rng = np.random.RandomState(2)
    held_out, fake = rng.randint(0, 30, 40), rng.randint(5, 40, 30)
    one, two = rng.randint(0, 2, 40), rng.randint(0, 2, 30)
    whole = c_t(held_out, fake, one, two)
    variance = 0.0
    for size, without in (
        (40, lambda i: (np.delete(held_out, i), fake, np.delete(one, i), two)),
        (30, lambda i: (held_out, np.delete(fake, i), one, np.delete(two, i))),
    ):
        variance += (size - 1) * np.var([c_t(*without(i)).value for i in range(size)])
    half = t.ppf(0.975, 29) * variance**0.5
    assert (whole.low, whole.high) == pytest.approx((whole.value - half, whole.value + half))


def test_authenticity_of_copies_is_none_and_of_the_same_distribution_about_a_half():
    own = np.full(4, 1.0)
    assert authenticity(np.array([0.1, 1.5, 0.9, 2.0]), np.array([0, 1, 2, 3]), own).value == 0.5
    points = np.random.RandomState(0).randn(400, 3)
    fakes = np.random.RandomState(1).randn(300, 3)

    def apart(a, b):
        return np.linalg.norm(a[:, None] - b[None], axis=2)

    within = apart(points, points) + np.diag(np.full(400, np.inf))
    across = apart(fakes, points)
    value = authenticity(across.min(1), across.argmin(1), within.min(1)).value
    assert 0.4 < value < 0.75
    assert authenticity(across.min(1) * 0, across.argmin(1), within.min(1)).value == 0


def judged_with(fakes, unseen, copied, pull=None):
    """The verdict on made-up distances."""
    space = [module._space(part, unseen, copied) for part in (fakes, np.ones_like(fakes) + 1e-3 * fakes)]
    power = module.Power(way="all", count=50, nearest=1.0, found=float(np.mean(copied <= space[0].cut)),
                         found_by_identity=0.0)  # fmt: skip
    num = int((fakes < module._COPY * unseen.min()).sum())
    most = space[0].fakes.high / max(power.found, 1e-9)
    return module._verdict(space[0], space[0], pull, num, power, most, len(fakes), len(unseen))


def test_the_verdict_is_wrong_once_in_a_hundred_and_right_about_one_copy_in_twenty():
    rng = np.random.RandomState(0)

    def usual(count):
        return norm.ppf(rng.rand(count)) * 0.03 + 0.3

    wrong = [judged_with(usual(500), usual(250), usual(50) - 0.2)[0] for _ in range(300)]
    assert wrong.count("hold back") <= 8
    some = [
        judged_with(np.r_[usual(475), usual(25) - 0.22], usual(250), usual(50) - 0.2)[0] for _ in range(50)
    ]
    assert some.count("hold back") >= 45


def drawn(rng, train, unseen, fakes, memorised):
    """Fakes that each of training and unseen images has; a share of them comes from a training image."""
    places = rng.randn(train + unseen, 8)
    points = rng.randn(fakes, 8)
    copied = rng.rand(fakes) < memorised
    points[copied] = places[rng.randint(train, size=copied.sum())] + rng.randn(copied.sum(), 8) * 0.3
    nearest = np.linalg.norm(points[:, None] - places[None], axis=2).argmin(1)
    votes = np.bincount(nearest, minlength=train + unseen)
    return attraction(votes[:train], votes[train:])


@pytest.mark.slow
@pytest.mark.parametrize(("train", "unseen"), [(50, 150), (300, 60)])
def test_training_images_draw_more_fakes_only_where_they_were_learned_by_heart(train, unseen):
    rng = np.random.RandomState(0)
    by_chance = [drawn(rng, train, unseen, 200, 0)[1] for _ in range(40)]
    assert sum(p < 0.05 for p in by_chance) <= 6
    ratio, p_value = drawn(rng, train, unseen, 200, 0.9)
    assert ratio > 2
    assert p_value < 0.005


def test_usual_faces_near_to_everybody_are_not_taken_for_copies():
    """All fakes at the middle of the distribution: near to training images, and as near to unseen ones."""
    places = np.random.RandomState(0).randn(200, 8)
    fakes = np.random.RandomState(1).randn(300, 8) * 0.2
    votes = np.bincount(np.linalg.norm(fakes[:, None] - places[None], axis=2).argmin(1), minlength=200)
    assert attraction(votes[:100], votes[100:])[1] > 0.005


def test_training_images_that_draw_many_fakes_hold_a_model_back():
    """Only where they surely draw twice as many as unseen ones or more."""
    rng = np.random.RandomState(0)
    unseen, fakes, copied = rng.rand(300) + 1, rng.rand(500) + 1.2, rng.rand(50)
    for ratio, p_value, held in ((3.5, 1e-6, True), (1.2, 1e-6, False), (3.5, 0.3, False)):
        pull = module.Attraction(ratio=ratio, share=0.8, expected=0.5, p_value=p_value)
        verdict, reasons = judged_with(fakes, unseen, copied, pull=pull)
        assert (verdict == "hold back") == held
        if held:
            (reason,) = reasons
            assert reason.startswith("a training image draws 3.5 times as many fakes as an unseen one: 80%")
            assert reason.endswith("and by chance it were 50% (p = 1e-06)")


def test_training_images_of_one_person_cannot_stand_in_for_unseen_people(tmp_path):
    """Of several, each has others to be compared with; of one alone nobody is left."""

    def unseen(*people):
        path = tmp_path / f"{len(set(people))}.zip"
        with PackWriter(path) as pack:
            for index, person in enumerate(people):
                pixels = np.full((16, 16, 3), index, np.uint8)
                pack.add_png(encode_png(pixels), record={"person": person})
        train = open_dataset(str(path))
        compared = []

        class Known:
            def nearest(self, images, *, leave_out, progress):
                compared.append((len(images), leave_out))
                return SimpleNamespace(distances=np.ones(len(images)), only=lambda which: which)

        images = torch.zeros(len(people), 3, 16, 16, dtype=torch.uint8)
        _unseen(Known(), train, images, None, [], lambda done, total: None)
        return compared

    with pytest.raises(InputError, match="show one person alone; give images of others as --holdout"):
        unseen(*"PPPPPPPPPP")
    ((count, left_out),) = unseen(*"PPPPPPQQQQ")
    assert count == 10
    assert sorted(map(sum, left_out.tolist())) == [4] * 4 + [6] * 6, "oneself, and others of that name"


def test_images_of_other_sizes_are_compared_at_one():
    """None, gray ones, and larger ones: averaged down, whatever batch they are in."""
    assert copies.small(torch.zeros(0, 3, 32, 32, dtype=torch.uint8)).shape == (0, 3, 64, 64)
    ramp = (torch.arange(128) * 2).to(torch.uint8).expand(2, 1, 128, 128)
    found = copies.small(ramp)
    assert found.shape == (2, 3, 64, 64)
    expected = (ramp[0, 0, 0].float().view(64, 2).mean(1) / 127.5 - 1).expand(64, 64)
    assert (found[1, 2, :, 4:-4] - expected[:, 4:-4]).abs().max() < 0.01
    same = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    assert torch.allclose(copies.small(same), same.float() / 127.5 - 1, atol=1e-6)


def test_a_hold_out_cleared_by_the_identity_network_is_named():
    rng = np.random.default_rng(0)
    people = rng.uniform(0.42, 0.9, 400)  # a sixth are as near to another as one person is to himself
    by_chance, cleared = people[:150], people[people >= 0.5][:150]
    assert module.cleared_by_identity(by_chance, people) == ""
    assert f"{np.mean(people < 0.5):.0%} of the training images" in module.cleared_by_identity(
        cleared, people
    )
    assert module.cleared_by_identity(cleared[:20], people) == "", "twenty can lack them by chance"
    assert module.cleared_by_identity(cleared, np.append(cleared, 0.49)) == "", "hardly anybody is near"


def test_weak_evidence_is_undecided_with_its_reason():
    rng = np.random.RandomState(0)
    unseen, fakes = rng.rand(60) + 1, rng.rand(500) + 1.2
    verdict, reasons = judged_with(fakes, unseen, rng.rand(50))
    assert verdict == "undecided"
    assert reasons == ("60 unseen images make a coarse cut: use 100 or more",)
    blind, why = judged_with(fakes, rng.rand(300) + 1, rng.rand(50) + 1)
    assert blind == "undecided"
    assert "silence proves nothing" in why[0]


@pytest.mark.slow
def test_a_training_set_of_one_face_repeated_is_refused(folder, people):
    np.save("one.npy", people[:1].repeat(20, 1, 1, 1).numpy())
    with pytest.raises(InputError, match="in the training set"):
        audit("new.npy", data="one.npy", out=folder / "out").run()

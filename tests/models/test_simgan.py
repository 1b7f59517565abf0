"""SimGAN: schedule, losses against plain arithmetic, history, local scores, and the defects of its past."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contracts.family_contract import assert_same
from mien.core.checkpoint import load_state, save_state
from mien.core.errors import InputError
from mien.core.image import to_float, to_uint8
from mien.core.types import Batch, Phase, Progress, Spec
from mien.models import simgan
from mien.models.simgan import History
from mien.nn.refiner import LocalDiscriminator, Refiner
from mien.nn.warp import Warp, warped
from mien.training.loop import Budget, Step, Training, train
from mien.training.order import Stream
from pictures import ArrayDataset

CPU = torch.device("cpu")
SMALL = {"batch_size": 4, "width": 4, "blocks": 2, "width_d": 6, "pretrain_r": 3, "pretrain_d": 2}
SMALL |= {"keep_what": "pixels", "style": 0, "halvings": 2, "stddev_group": 1, "k_g": 2}
STILL = {"shear": 0, "shift": 0, "turn": 0, "zoom": 0, "noise": 0}


def make(**changes: Any) -> Training:
    torch.manual_seed(0)
    config = simgan.Config(**{**SMALL, **changes})
    return Training(simgan.build(config, Spec(16)), 0, CPU)


def stream() -> Stream:
    inputs, reals = ArrayDataset(24), ArrayDataset(15, seed=4)
    return Stream(inputs, seed=0, mirror=True, labels=False, device=CPU, others=reals)


def steps(training: Training, count: int) -> list[Step]:
    return list(itertools.islice(train(training, stream(), Budget(nimg=100_000)), count))


def batch(images: int = 4, reals: int = 4, seed: int = 0) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    sides = (torch.rand(count, 3, 16, 16, generator=rng) * 1.8 - 0.9 for count in (images, reals))
    return Batch(next(sides), None, rng, None, next(sides))


def made(model: simgan.SimGan, given: Batch) -> Tensor:
    """What the refiner makes of the pictures of a batch, where nothing is left to chance."""
    refined: Tensor = model.networks["r"](given.images)
    return refined


class Watched(nn.Module):
    """A discriminator that remembers what it is shown."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.detach().clone())
        out: Tensor = self.inner(images)
        return out


def watch(model: simgan.SimGan) -> Watched:
    watched = Watched(model.networks["d"])
    model.networks["d"] = watched
    return watched


def test_phases_follow_the_paper() -> None:
    """The refiner alone, the discriminator alone, then k_g updates of the one and k_d of the other."""
    model = simgan.build(simgan.Config(**{**SMALL, "k_g": 3, "k_d": 2}), Spec(16))
    names, sizes = [], []
    for step in range(7):
        progress = Progress(0, step, 0.0)
        model.begin_step(progress)
        names.append([(phase.name, phase.network) for phase in model.phases(progress)])
        sizes.append(model.batch_size)
    turn = [("r", "r")] * 3 + [("d", "d")] * 2
    assert names == [[("prefit", "r")]] * 3 + [[("warm", "d")]] * 2 + [turn] * 2
    assert sizes == [4, 4, 4, 4, 4, 12, 12]  # every update of a step has pictures of its own


@pytest.mark.slow
def test_pretraining_teaches_the_refiner_to_change_nothing() -> None:
    training = make(pretrain_r=1000, width=16, lr_r=5e-3)
    losses = [step.values["Loss/R/prefit"] for step in steps(training, 120)]
    assert losses[-1] < 0.3 * losses[0]


def test_each_network_learns_in_its_own_phases_alone() -> None:
    training = make()
    before = {name: _copy(net) for name, net in training.trainable.networks.items()}
    steps(training, 3)
    assert _same(before["d"], training.trainable.networks["d"])
    assert not _same(before["r"], training.trainable.networks["r"])
    before = {name: _copy(net) for name, net in training.trainable.networks.items()}
    steps(training, 2)
    assert _same(before["r"], training.trainable.networks["r"])
    assert not _same(before["d"], training.trainable.networks["d"])
    steps(training, 1)
    assert not _same(before["r"], training.trainable.networks["r"])


@pytest.mark.parametrize("phase", ["warm", "d"])
def test_the_discriminator_sees_refined_pictures_from_its_first_batch(phase: str) -> None:
    """Defect 2: it saw real images against raw renders and never a refined one."""
    torch.manual_seed(0)
    model = simgan.build(simgan.Config(**{**SMALL, **STILL, "k_g": 1}), Spec(16))
    with torch.no_grad():
        list(model.networks["r"].parameters())[-1].fill_(0.5)  # brighter, so that it can be told
    watched, given = watch(model), batch()
    model.loss(Phase(phase, "d"), given)
    with torch.no_grad():
        refined = made(model, given)
    assert (refined - given.images).abs().mean() > 0.1  # or nothing could be told
    assert given.others is not None
    assert _found_in(watched.seen[0], given.others) == 4
    assert _found_in(watched.seen[1], refined) == 4
    assert _found_in(watched.seen[1], given.images) == 0


@pytest.mark.parametrize(("images", "reals"), [(8, 3), (2, 7), (5, 1)])
def test_a_short_batch_mixes_up_no_targets(images: int, reals: int) -> None:
    """Defect 3: the labels of a mixed batch were assigned for equal halves though the last was short."""
    model = simgan.build(simgan.Config(**{**SMALL, "k_g": 1, "gamma": 0}), Spec(16))

    class Knows(nn.Module):
        """Bright is real; it is never wrong."""

        def forward(self, pictures: Tensor) -> Tensor:
            return torch.where(pictures.mean(dim=(1, 2, 3), keepdim=True)[..., 0] > 0, 30.0, -30.0)

    class Darkens(Refiner):
        def forward(self, images: Tensor, style: Tensor | None = None) -> Tensor:
            return torch.full_like(images, -0.8)

    model.networks |= {"d": Knows(), "r": Darkens(Spec(16), width=4, blocks=1, fold=2, style=0)}
    pictures, rng = torch.zeros(images, 3, 16, 16), torch.Generator().manual_seed(0)
    given = Batch(pictures, None, rng, None, torch.full((reals, 3, 16, 16), 0.8))
    for phase in ("warm", "d", "d"):
        loss, told = model.loss(Phase(phase, "d"), given)
        assert loss.item() < 1e-6
        assert (float(told["Loss/scores/real"]), float(told["Loss/scores/fake"])) == (30.0, -30.0)


def test_the_history_fills_and_half_of_a_batch_comes_from_it() -> None:
    """Defect 11: a history buffer that never filled."""
    training = make(history=10, **STILL)
    model = training.trainable
    assert isinstance(model, simgan.SimGan)
    watched = watch(model)
    counts = []
    for step in range(12):
        steps(training, 1)
        counts.append(len(model.history))
        if step == 6:
            kept = to_float(model.history.pictures) if model.history.pictures is not None else None
        if step == 7:
            shown = watched.seen[-1]
    # Nothing is remembered while pretraining; then half of a batch of 4 a step, until it is full.
    assert counts == [0] * 5 + [2, 4, 6, 8, 10, 10, 10]
    assert kept is not None
    assert len(shown) == 4
    assert _found_in(shown, kept) == 2


def test_a_history_of_parts_of_one_picture_fills_too() -> None:
    """With --micro-batch 1 half a batch is no picture."""
    training = make(history=3)
    training.micro_batch = 1
    steps(training, 6)
    model = training.trainable
    assert isinstance(model, simgan.SimGan)
    assert len(model.history) == 3


def test_a_full_history_gives_up_old_pictures_by_chance() -> None:
    history, rng = History(6), torch.Generator().manual_seed(0)
    history.keep(torch.full((4, 1, 8, 8), -1.0), rng)
    history.keep(torch.full((4, 1, 8, 8), 1.0), rng)  # two find room, two replace
    assert history.pictures is not None
    assert len(history) == 6
    bright = int((history.pictures[:, 0, 0, 0] == 255).sum())
    assert 3 <= bright <= 4  # one of the two may fall on a bright one
    drawn = history.draw(6, rng)
    assert sorted(drawn[:, 0, 0, 0].tolist()) == sorted(to_float(history.pictures)[:, 0, 0, 0].tolist())


def test_losses_against_plain_arithmetic() -> None:
    config = simgan.Config(**{**SMALL, **STILL, "k_g": 1, "keep": 3.0, "gamma": 0})
    model = simgan.build(config, Spec(16))
    given = batch()
    assert given.others is not None
    loss, told = model.loss(Phase("r", "r"), batch())
    with torch.no_grad():
        refined = made(model, given)
        fake, real = (_plain(model.networks["d"](side)) for side in (refined, given.others))
    kept = np.abs(refined.numpy() - given.images.numpy()).mean()
    realism = np.mean([math.log(1 + math.exp(-value)) for value in fake])
    assert loss.item() == pytest.approx(realism + 3 * kept, rel=1e-5)
    assert float(told["Loss/R/kept"]) == pytest.approx(kept, rel=1e-5)
    loss, _ = model.loss(Phase("d", "d"), batch())
    wrong = np.mean([math.log(1 + math.exp(-value)) for value in real])
    wrong += np.mean([math.log(1 + math.exp(value)) for value in fake])
    assert loss.item() == pytest.approx(wrong / 2, rel=1e-5)


def test_the_penalty_is_that_of_a_patch() -> None:
    """Two scores with the gradients u and v, which do not overlap: the mean of their squared norms."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.linspace(-1, 1, 3 * 16 * 16).reshape(3, 16, 16))

        def forward(self, pictures: Tensor) -> Tensor:
            weighted = pictures * self.weight
            return torch.stack([weighted[..., :8].sum((1, 2, 3)), weighted[..., 8:].sum((1, 2, 3))], 1)[
                :, None
            ]

    model = simgan.build(simgan.Config(**{**SMALL, **STILL, "k_g": 1, "gamma": 3.0}), Spec(16))
    model.networks["d"] = two = Two()
    loss, told = model.loss(Phase("warm", "d"), batch())
    expected = 3.0 / 2 * float((two.weight**2).sum().detach()) / 2
    assert float(told["Loss/r1_penalty"]) == pytest.approx(expected, rel=1e-4)
    assert float(told["Loss/r2_penalty"]) == pytest.approx(expected, rel=1e-4)
    assert loss.item() == pytest.approx(float(told["Loss/D/loss"]) + expected, rel=1e-4)


def test_a_refiner_that_made_everything_black_comes_back() -> None:
    """There a tanh has no slope, and pictures stayed black whatever the discriminator said."""
    model = simgan.build(simgan.Config(**SMALL), Spec(16))
    last = list(model.networks["r"].parameters())[-1]
    with torch.no_grad():
        last.fill_(-12)
    for _ in range(2):
        loss, _ = model.loss(Phase("r", "r"), batch())
        (gradient,) = torch.autograd.grad(loss, last)
        assert (gradient < -0.1).all()  # brighter


def test_what_is_kept() -> None:
    """Edges do not mind another brightness, gray does not mind another colour, pixels mind both."""
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    tinted = picture + torch.tensor([0.3, -0.1, -0.2])[None, :, None, None]
    turned = picture.flip(3)
    kinds = ("pixels", "gray", "edges")
    brighter, other, flipped = (
        [float((simgan.features(picture, what) - simgan.features(new, what)).abs().mean()) for what in kinds]
        for new in (picture + 0.3, tinted, turned)
    )
    assert brighter == pytest.approx([0.3, 0.3, 0.0], abs=1e-6)
    assert other == pytest.approx([0.2, 0.0, 0.0], abs=1e-6)
    assert min(flipped) > 0.05


@pytest.mark.slow
def test_more_passthrough_changes_less() -> None:
    keep = [simgan.PRESETS[name].keep for name in ("less", "normal", "more")]
    assert keep == sorted(keep)
    assert simgan.PRESETS["normal"] == simgan.PRESETS["default"]
    left = []
    for weight in (0.0, 100.0):
        training = make(keep=weight, pretrain_r=40, pretrain_d=5, width=12, lr_r=2e-3)
        left.append(steps(training, 90)[-1].values["Loss/R/kept"])
    assert left[1] < 0.7 * left[0]


@pytest.mark.slow
def test_training_changes_pictures() -> None:
    """The project's "after 20,000 epochs the same picture": refined was equal to its input."""
    training = make(pretrain_r=60, pretrain_d=10, width=12, keep=0.05, lr_r=5e-3, lr_d=2e-3)
    inputs = stream().batch(0, 8).images
    steps(training, 60)
    with torch.no_grad():
        before = to_uint8(training.trainable.networks["r"](inputs)).float()
    steps(training, 60)
    with torch.no_grad():
        after = to_uint8(training.trainable.networks["r"](inputs)).float()
    assert (after - before).abs().mean() > 5  # of 255
    assert (after - to_uint8(inputs).float()).abs().mean() > 5


@pytest.mark.slow
def test_resuming_restores_the_history_bit_for_bit(tmp_path: Path) -> None:
    straight = make(history=16)
    through = steps(straight, 16)
    stopped = make(history=16)
    first = steps(stopped, 9)  # the history is partly filled
    save_state(tmp_path / "state-000000.pt", stopped.state_dict())
    assert len(stopped.state_dict()["trainable"]["pictures"]) == 8
    resumed = make(history=16)
    resumed.load_state_dict(load_state(tmp_path / "state-000000.pt"))
    assert first + steps(resumed, 7) == through
    assert_same(straight.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("fold", [1, 2])
def test_the_refiner_is_fully_convolutional(fold: int) -> None:
    """Any size goes in; and moving a picture moves what is made of it."""
    refiner = Refiner(Spec(16), width=8, blocks=1, fold=fold, style=0)
    with torch.no_grad():
        for height, width in ((16, 16), (33, 20), (9, 31)):
            assert refiner(torch.rand(2, 3, height, width)).shape == (2, 3, height, width)
        wide = torch.rand(1, 3, 48, 48) * 2 - 1
        whole, moved = refiner(wide)[..., 4:, 8:], refiner(wide[..., 4:, 8:])
    edge = 3 * fold + fold  # as far as its three layers look, and no farther
    inside = (..., slice(edge, -edge), slice(edge, -edge))
    assert torch.allclose(whole[inside], moved[inside], atol=1e-5)
    assert not torch.allclose(whole, moved, atol=1e-3)


def test_chance_follows_from_the_picture_unless_it_is_given() -> None:
    """One picture always becomes the same, wherever it stands; two alike drawings become two photos."""
    torch.manual_seed(1)  # of forty networks eight answer to chance by less than the bound
    refiner = Refiner(Spec(16), width=8, blocks=1, fold=2, style=4)
    pictures = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pictures[3] = pictures[0]
    pictures[3, 0, 0, 0] += 0.1 if pictures[0, 0, 0, 0] < 0 else -0.1
    with torch.no_grad():
        whole = refiner(pictures)
        again = torch.cat([refiner(pictures[3:]), refiner(pictures[:1])])
        other = refiner(pictures, refiner.draw(4, torch.Generator().manual_seed(5)))
    assert torch.allclose(again[0], whole[3], atol=1e-6)
    assert torch.allclose(again[1], whole[0], atol=1e-6)
    assert (whole[3] - whole[0])[:, 8:, 8:].abs().mean() > 0.01
    assert (other - whole).abs().mean() > 0.01


@pytest.mark.parametrize(("halvings", "side"), [(2, 23), (3, 47)])
def test_scores_are_local(halvings: int, side: int) -> None:
    """Each score is of one patch and nothing else; with two halvings the paper's 23 x 23 pixels."""
    d = LocalDiscriminator(Spec(64), width=96, halvings=halvings, stddev_group=1)
    widths = [layer.out_channels for layer in d.freezable if isinstance(layer, nn.Conv2d)]
    assert widths == [96, *[64] * (halvings - 1), 32, 32, 1]
    places = 64 // 2**halvings
    reach = torch.zeros(64, 64, dtype=torch.bool)
    for index in range(40):  # the max pooling hides part of a patch of any one picture
        picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(index), requires_grad=True)
        scores = d(picture)
        assert scores.shape == (1, places, places)
        (gradient,) = torch.autograd.grad(scores[0, places // 2, places // 2], picture)
        reach |= gradient[0].abs().sum(dim=0) > 0
    for axis in (0, 1):
        hit = torch.nonzero(reach.any(dim=axis)).flatten()
        assert int(hit.max() - hit.min()) + 1 == side


def test_both_domains_are_disturbed_alike_and_each_picture_otherwise() -> None:
    warp, rng = Warp(0.2, 0.1, 15, 0.1, 0.05), torch.Generator().manual_seed(0)
    picture = torch.zeros(64, 1, 16, 16)
    picture[..., 6:10, 6:10] = 1
    first, second = warped(picture, warp, rng), warped(picture, warp, rng)
    assert (first[0] - first[1]).abs().max() > 0.2
    centres = [_centre(side.clamp(0, 1)) for side in (first, second)]
    for centre in centres:  # within a tenth of 16 px (and the lever of turn and shear), about the middle
        assert centre.mean(dim=0) == pytest.approx([7.5, 7.5], abs=0.4)
        assert 0.4 < float(centre.std(dim=0).mean()) < 1.6
    still = warped(picture, Warp(0, 0, 0, 0, 0), rng)
    assert torch.allclose(still, picture, atol=1e-5)


def test_a_picture_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="6 px"):
        simgan.build(simgan.Config(), Spec(6))


def test_one_domain_alone_is_refused() -> None:
    model = simgan.build(simgan.Config(**SMALL), Spec(16))
    with pytest.raises(ValueError, match="second domain"):
        model.loss(Phase("d", "d"), Batch(torch.zeros(2, 3, 16, 16), None, torch.Generator()))


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _same(before: dict[str, Tensor], network: nn.Module) -> bool:
    return all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def _found_in(pictures: Tensor, among: Tensor) -> int:
    """How many of `pictures` are (nearly) one of `among`."""
    far = torch.cdist(pictures.flatten(1).float(), among.flatten(1).float(), p=math.inf)
    return int((far.min(dim=1).values < 1e-2).sum())


def _plain(scores: Tensor) -> list[float]:
    values: list[float] = scores.flatten().tolist()
    return values


def _centre(pictures: Tensor) -> Tensor:
    weight = pictures[:, 0]
    places = torch.arange(16.0)
    total = weight.sum(dim=(1, 2))
    return torch.stack(
        [(weight.sum(dim=1) * places).sum(dim=1) / total, (weight.sum(dim=2) * places).sum(dim=1) / total],
        dim=1,
    )

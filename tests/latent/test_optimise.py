"""The optimisation: what it finds, that rows do not meddle, that stopping changes nothing."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from latent.projecting import loaded_generator
from mien.core.checkpoint import load_state, save_state
from mien.core.image import to_float
from mien.core.sampling import latents
from mien.core.styles import draw_styles, mean_latent, styles
from mien.latent.projection.objective import Objective, Weights
from mien.latent.projection.optimise import Course, Descent, Optimisation
from mien.latent.projection.quasi_newton import QuasiNewton, scale_of
from mien.latent.projection.spaces import Labels, WSpace, draw_noise_maps, open_space


def test_the_learning_rate_rises_and_falls() -> None:
    """Karras et al. 2020, appendix D: up over 5 %, down along a cosine over the last 25 %."""
    course = Course(1000, 0.1)
    assert course.lr_at(0) == pytest.approx(0.1 / 50)
    assert course.lr_at(24) == pytest.approx(0.05)
    assert course.lr_at(49) == course.lr_at(500) == pytest.approx(0.1)
    assert course.lr_at(875) == pytest.approx(0.05)
    assert course.lr_at(999) == pytest.approx(0.1 * (0.5 - 0.5 * math.cos(math.pi * 0.004)))
    assert course.noise_at(0) == 0.05
    assert course.noise_at(375) == pytest.approx(0.05 / 4)
    assert course.noise_at(750) == course.noise_at(999) == 0


class Case:
    """Two targets of a tiny generator, and optimisations towards them."""

    def __init__(self, folder: Path, name: str = "stylegan2", space: str = "w+") -> None:
        self.loaded = loaded_generator(folder, name)
        network = self.loaded.network
        self.true = styles(network, latents([5, 6], 8), None)
        self.images = draw_styles(network, self.true)
        self.space = open_space(space, self.loaded, Labels())  # type: ignore[arg-type]
        self.start = mean_latent(network, None).expand(2, -1, -1)

    def begin(
        self,
        course: Course,
        *,
        which: tuple[int, ...] = (0, 1),
        restarts: int = 1,
        noise: bool = False,
        lbfgs: bool = False,
    ) -> Descent:
        objective = Objective(to_float(self.images[list(which)]), Weights(), lpips=None)
        start = self.start[: len(which)].repeat(restarts, 1, 1)
        if restarts > 1:
            start = start + torch.randn(start.shape, generator=torch.Generator().manual_seed(3))
        parameters = self.space.parameters(start, None)
        if noise:
            rng = torch.Generator().manual_seed(0)
            parameters |= draw_noise_maps(self.loaded.network, len(start), rng)
        if lbfgs:
            scale = scale_of(self.space, self.loaded.network, None, 1.0, None)
            return QuasiNewton(self.space, objective, course, parameters, len(which), scale)
        return Optimisation(self.space, objective, course, parameters, len(which))

    def error(self, done: Descent) -> float:
        images = self.space.images(done.results())
        return float((images.clamp(-1, 1) - to_float(self.images)).square().mean())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "left"), [("stylegan2", 0.02), ("stylegan1", 0.02), ("lite", 0.5)])
def test_w_of_own_samples_is_found_again(tmp_path: Path, name: str, left: float) -> None:
    """From half-way, where an untrained network has no other minimum. left: of the way, at the end.

    lite's w and latent can make up for each other, so its w is found less exactly.
    """
    case = Case(tmp_path, name, "w")
    case.start = torch.lerp(case.start, case.true, 0.5)
    done = case.begin(Course(120, 0.1, noise=0.0))
    begun = case.error(done)
    list(done.run())
    assert case.error(done) < 0.05 * begun
    way = (case.start - case.true)[:, 1:].norm()
    assert (case.space.values(done.results()) - case.true)[:, 1:].norm() < left * way


@pytest.mark.slow
def test_wplus_comes_nearer_to_what_no_w_draws(tmp_path: Path) -> None:
    """Faces whose layers are of two latents each."""
    errors = {}
    for space in ("w", "w+"):
        case = Case(tmp_path, "stylegan2", space)
        case.true[:, 2:] = case.true[:, 2:].flip(0)
        case.images = draw_styles(case.loaded.network, case.true)
        case.start = torch.lerp(case.start, case.true, 0.5)
        done = case.begin(Course(60, 0.1, noise=0.0))
        list(done.run())
        errors[space] = case.error(done)
    assert errors["w+"] < 0.2 * errors["w"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "dcgan"])
def test_z_of_models_without_w(tmp_path: Path, name: str) -> None:
    loaded = loaded_generator(tmp_path, name)
    space = open_space(None, loaded, Labels())
    z = latents([5], 8)
    with torch.no_grad():
        target = space.images(space.parameters(z, None))
    done = Optimisation(
        space,
        Objective(target, Weights(), lpips=None),
        Course(200, 0.1, noise=0.0),
        space.parameters(latents([9], 8), None),
        1,
    )
    begun = float((space.images(space.parameters(latents([9], 8), None)) - target).square().mean())
    list(done.run())
    assert float((space.images(done.results()) - target).square().mean()) < 0.05 * begun


@pytest.mark.parametrize("name", ["stylegan2", "lite"])
def test_lbfgs_comes_nearer_in_as_many_steps(tmp_path: Path, name: str) -> None:
    """From near by, as an encoder guesses: than Adam at the rate that is the default, and gently."""
    case = Case(tmp_path, name)
    case.start = torch.lerp(case.start, case.true, 0.7)
    errors = {}
    for way, course in {"lbfgs": Course(40), "adam": Course(40, 0.2), "gentle": Course(40, 0.05)}.items():
        done = case.begin(replace(course, noise=0.0), lbfgs=way == "lbfgs")
        before = torch.full((2,), math.inf)
        for _ in done.run():
            assert way != "lbfgs" or (done.losses <= before).all()
            before = done.losses.clone()
        errors[way] = case.error(done)
    assert errors["lbfgs"] < 0.5 * min(errors["adam"], errors["gentle"])


@pytest.mark.slow
def test_with_a_prior_lites_w_is_found_more_exactly(tmp_path: Path) -> None:
    left = []
    for prior in (0.0, 0.05):
        case = Case(tmp_path, "lite", "w")
        case.start = torch.lerp(case.start, case.true, 0.5)
        done = case.begin(Course(200, prior=prior), lbfgs=True)
        list(done.run())
        left.append((case.space.values(done.results()) - case.true)[:, 1:].norm())
    assert left[1] < 0.3 * left[0]


@pytest.mark.parametrize("lbfgs", [True, False])
def test_a_prior_keeps_latents_near_the_generators_own(tmp_path: Path, lbfgs: bool) -> None:
    """Faces whose layers are of two latents each, which no latent of its own draws: the more, the nearer."""
    ends = []
    for prior in (0.0, 0.001, 0.1):
        case = Case(tmp_path, "lite")
        case.true[:, 2:] = case.true[:, 2:].flip(0)
        case.images = draw_styles(case.loaded.network, case.true)
        case.start = torch.lerp(case.start, case.true, 0.5)
        done = case.begin(Course(60, 0.1, noise=0.0, prior=prior), lbfgs=lbfgs)
        list(done.run())
        departure = float(case.space.departure(done.results()).mean().detach())
        ends.append((departure, -case.error(done)))
    assert ends == sorted(ends, reverse=True), "and the less like the image"
    assert ends[2][0] < 0.2 * ends[0][0]


def test_lbfgs_lives_through_losses_that_are_no_numbers(tmp_path: Path) -> None:
    """A trial that leads nowhere is taken back, for its target alone."""
    case = Case(tmp_path)
    done = case.begin(Course(8), lbfgs=True)
    look, calls = done._look, iter(range(8))  # type: ignore[attr-defined]

    def blind(latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        losses, gradients = look(latent)
        if next(calls) in (2, 3):
            losses[0], gradients[0] = math.nan, math.nan
        return losses, gradients

    done._look = blind  # type: ignore[attr-defined]
    steps = done.run()
    losses = [done.losses.clone() for _ in steps]
    assert losses[1][0] == losses[2][0] == losses[3][0] > losses[7][0]
    assert losses[1][1] > losses[3][1]
    assert torch.isfinite(done.results()["latent"]).all()


COURSES: dict[str, tuple[Course, dict[str, Any]]] = {
    "plain": (Course(12, noise=0.0), {}),
    "shaken": (Course(12, seed=4), {}),
    "with noise maps": (Course(12), {"noise": True}),
    "with restarts": (Course(12, trial=0.4), {"restarts": 3}),
    "impatient": (Course(12, noise=0.0, lr=1e-6, patience=5), {}),
    "by L-BFGS": (Course(12), {"lbfgs": True}),
    "by L-BFGS with restarts": (Course(12, trial=0.4), {"lbfgs": True, "restarts": 3}),
}


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 5, 11])
@pytest.mark.parametrize("kind", COURSES)
def test_going_on_from_a_state_equals_not_stopping(tmp_path: Path, kind: str, stop: int) -> None:
    case = Case(tmp_path)
    course, more = COURSES[kind]
    straight = case.begin(course, **more)
    list(straight.run())
    first = case.begin(course, **more)
    list(itertools.islice(first.run(), stop))
    save_state(tmp_path / "state.pt", first.state_dict())
    list(first.run())  # a state is a copy: what runs on does not change it
    second = case.begin(course, **more)
    second.load_state_dict(load_state(tmp_path / "state.pt"))
    list(second.run())
    for name, value in straight.results().items():
        assert torch.equal(value, second.results()[name]), name
        assert torch.equal(value, first.results()[name]), name
    assert torch.equal(straight.losses, second.losses)


def test_targets_of_a_batch_do_not_meddle(tmp_path: Path) -> None:
    """Alone a target goes as in a batch, but for rounding."""
    case = Case(tmp_path)
    both, alone = case.begin(Course(20, noise=0.0)), case.begin(Course(20, noise=0.0), which=(0,))
    list(both.run())
    list(alone.run())
    assert torch.allclose(both.results()["latent"][0], alone.results()["latent"][0], atol=1e-3)


def test_of_restarts_the_best_goes_on(tmp_path: Path) -> None:
    case = Case(tmp_path)
    done = case.begin(Course(20, noise=0.0, trial=0.25), restarts=4)
    for step in done.run():
        assert len(done.rows) == (8 if step < 5 else 2)
    assert sorted((done.rows % 2).tolist()) == [0, 1], "one for each target"
    at_trial = done.losses.view(4, 2)
    assert torch.equal(done.best_starts() % 2, torch.tensor([0, 1]))
    assert bool((at_trial.min(dim=0).values == done.losses[done.best_starts()]).all())


def test_without_progress_a_target_is_done_early(tmp_path: Path) -> None:
    case = Case(tmp_path)
    done = case.begin(Course(100, 1e-9, noise=0.0, patience=5))
    assert len(list(done.run())) == 6  # the first step is progress from nothing
    assert done.finished


def test_noise_maps_move_and_stay_normal(tmp_path: Path) -> None:
    case = Case(tmp_path)
    done = case.begin(Course(10), noise=True)
    before = {name: value.clone() for name, value in done.results().items()}
    list(done.run())
    maps = {name: value for name, value in done.results().items() if name.startswith("noise:")}
    assert maps
    for name, value in maps.items():
        assert not torch.equal(value, before[name])
        assert value.mean(dim=(1, 2, 3)).abs().max() < 1e-4


def test_w_is_measured_once_whatever_the_targets(tmp_path: Path) -> None:
    loaded = loaded_generator(tmp_path, "stylegan2")
    one, two = (WSpace(loaded, "w", None) for _ in range(2))
    ws = styles(loaded.network, latents([0], 8), None)
    assert torch.equal(one.parameters(ws, None)["latent"], two.parameters(ws, None)["latent"])

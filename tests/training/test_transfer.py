"""Weights of another model, and layers that are held fixed."""

import itertools
from pathlib import Path

import pytest
import torch

from mien.core import discover
from mien.core.checkpoint import load_state, save_state
from mien.core.errors import InputError
from mien.core.family import GENERATOR, kind_of
from mien.core.types import Freezable, Spec
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream
from mien.training.transfer import copy_weights, first_layers, mismatch
from models import test_families as families
from pictures import ArrayDataset

CPU = torch.device("cpu")
SMALL = {test.family: test.small for test in (families.TestDcgan, families.TestLite, families.TestStyleGan2)}


def build(family: str, spec: Spec, *, seed: int = 0):
    torch.manual_seed(seed)
    module = discover.load("mien.models", family)
    return module.build(module.Config(**SMALL[family]), spec)


def training_of(family: str, dataset: ArrayDataset, held: int) -> Training:
    trainable = build(family, dataset.spec)
    return Training(trainable, 0, CPU, frozen=first_layers(trainable.networks["d"], held))


def run(training: Training, dataset: ArrayDataset, steps: int) -> None:
    stream = Stream(dataset, seed=0, mirror=True, labels=True, device=CPU)
    list(itertools.islice(train(training, stream, Budget(nimg=8000)), steps))


def weights_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("held", [1, 2])
def test_held_layers_stay_bit_for_bit_and_let_the_gradient_through(family: str, held: int) -> None:
    dataset = ArrayDataset(labelled=True)
    training = training_of(family, dataset, held)
    g, d = (training.trainable.networks[name] for name in ("g", "d"))
    frozen = {id(parameter) for parameter in training.frozen}
    run(training, dataset, 1)  # layers that begin at zero may hold up the first gradient
    before = {"g": weights_of(g), "d": weights_of(d)}
    run(training, dataset, 3)
    for name, parameter in d.named_parameters():
        same = torch.equal(parameter, before["d"][name])
        assert same == (id(parameter) in frozen), name
    assert frozen
    assert all(parameter.grad is None for parameter in training.frozen)
    for name, parameter in g.named_parameters():  # its gradient has come through the held layers
        assert not torch.equal(parameter, before["g"][name]), name


def test_the_first_layers_are_those_next_to_the_picture() -> None:
    for family in SMALL:
        d = build(family, Spec(16)).networks["d"]
        names = {id(parameter): name for name, parameter in d.named_parameters()}
        held = [names[id(parameter)] for parameter in first_layers(d, 1)]
        assert next(iter(names.values())) in held, family
    d = build("dcgan", Spec(16)).networks["d"]
    shapes = [tuple(parameter.shape) for parameter in first_layers(d, 2)]
    assert shapes == [(4, 3, 4, 4), (4,), (8, 4, 4, 4), (8,), (8,)]  # convolution, then one with its norm
    d = build("stylegan2", Spec(32)).networks["d"]
    names = {id(parameter): name for name, parameter in d.named_parameters()}
    assert {names[id(p)].partition(".")[0] for p in first_layers(d, 2)} == {"b32", "b16"}


@pytest.mark.slow
def test_every_generator_family_says_what_can_be_held() -> None:
    for name in discover.names("mien.models"):
        module = discover.load("mien.models", name)
        if kind_of(module) == GENERATOR:
            d = module.build(module.PRESETS["default"], Spec(16)).networks["d"]
            assert isinstance(d, Freezable), name
            assert first_layers(d, 1), name


def test_more_layers_than_there_are() -> None:
    d = build("lite", Spec(16)).networks["d"]
    assert first_layers(d, 0) == ()
    with pytest.raises(InputError, match="--freeze-d 3: this discriminator has 2 layers"):
        first_layers(d, 3)


def test_resuming_with_held_layers_changes_nothing(tmp_path: Path) -> None:
    dataset = ArrayDataset(labelled=True)
    straight = training_of("lite", dataset, 1)
    run(straight, dataset, 6)
    stopped = training_of("lite", dataset, 1)
    run(stopped, dataset, 3)
    save_state(tmp_path / "state-000000.pt", stopped.state_dict())
    resumed = training_of("lite", dataset, 1)
    resumed.load_state_dict(load_state(tmp_path / "state-000000.pt"))
    run(resumed, dataset, 3)
    for name, tensor in straight.trainable.networks["d"].state_dict().items():
        assert torch.equal(tensor, resumed.trainable.networks["d"].state_dict()[name]), name


@pytest.mark.parametrize("family", SMALL)
def test_a_generator_that_learns_labels_keeps_what_it_does_with_latents(family: str) -> None:
    old = build(family, Spec(16)).networks["g"]
    new = build(family, Spec(16, 3, 2), seed=1).networks["g"]
    taken = copy_weights(new, old.state_dict())
    layer = "mapping.fc0.weight" if family == "stylegan2" else "layers.0.weight"
    embedding = [name for name in taken.new if "embed" in name]
    assert taken.partly == (layer,)
    assert taken.new == tuple(embedding) != ()
    assert {*taken.whole, *taken.partly, *taken.new} == set(new.state_dict())
    before, after = old.state_dict()[layer], new.state_dict()[layer]
    kept = tuple(slice(size) for size in before.shape)
    assert torch.equal(after[kept], before)
    assert after.numel() == 2 * before.numel()
    assert after.count_nonzero() > 1.5 * before.count_nonzero()  # the rest is new, not nothing
    for name in taken.whole:
        assert torch.equal(new.state_dict()[name], old.state_dict()[name])


def test_what_does_not_fit_is_named() -> None:
    like = torch.nn.Linear(3, 2)
    good = like.state_dict()
    assert mismatch(good, like) is None
    assert mismatch({"weight": good["weight"]}, like) == "bias is missing"
    assert mismatch({**good, "more": good["bias"]}, like) == "more is not known here"
    assert mismatch({**good, "weight": torch.zeros(2, 4)}, like) == "weight is 2x4 there and 2x3 here"

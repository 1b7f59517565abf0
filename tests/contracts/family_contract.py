"""What everything that trains must hold, and what generators must; subclass and name the family."""

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from mien.core import discover
from mien.core.checkpoint import NetworkHeader, load_state, save_generator, save_state
from mien.core.network import read_network
from mien.core.sampling import draw, latents
from mien.core.types import Generator, Spec
from mien.training.loop import Budget, Step, Training, train
from mien.training.order import Stream
from pictures import ArrayDataset
from ranked import Ranks
from second_device import with_second_device

STEPS = 4  # of ranks: every phase of every family, lazy ones twice
CPU = torch.device("cpu")
Case = tuple[int, int, bool]  # resolution, channels, labelled


@dataclass
class Straight:
    """Six steps in float32 that many tests compare with: their records, and states after some of them."""

    training: Training
    records: list[Step]
    states: dict[int, Any]  # steps done -> state


_STRAIGHT: dict[Any, Straight] = {}


class TrainableContract:
    """family: file name in mien.models. small: configuration values that make it quick.

    least: pictures and labels that every preset can be built for. others: the pictures of the other side, for
    families that have two; aligned: are those the partners of the dataset's?
    """

    family: str
    small: dict[str, Any]
    least = Spec(8)
    aligned = True

    def others(self, dataset: ArrayDataset) -> ArrayDataset | None:
        return None

    @pytest.fixture(params=[(16, 3, False), (8, 1, False), (16, 3, True)], ids=["rgb", "gray", "labelled"])
    def dataset(self, request: pytest.FixtureRequest) -> ArrayDataset:
        resolution, channels, labelled = request.param
        return ArrayDataset(resolution=resolution, channels=channels, labelled=labelled)

    def make(
        self,
        spec: Spec,
        *,
        seed: int = 0,
        precision: torch.dtype = torch.float32,
        device: torch.device = CPU,
    ) -> Training:
        torch.manual_seed(seed)
        module = discover.load("mien.models", self.family)
        return Training(module.build(module.Config(**self.small), spec), 0, device, precision)

    @pytest.fixture
    def straight(self, dataset: ArrayDataset, request: pytest.FixtureRequest) -> Straight:
        """Computed once for a dataset: tests leave it as it is."""
        key = type(self), request.node.callspec.params["dataset"]
        if key not in _STRAIGHT:
            training = self.make(dataset.spec)
            records, states = [], {}
            for record in self.steps(training, dataset, 6):
                records.append(record)
                if len(records) in (1, STEPS):
                    states[len(records)] = copy.deepcopy(training.state_dict())
            _STRAIGHT[key] = Straight(training, records, states)
        return _STRAIGHT[key]

    def run(self, training: Training, dataset: ArrayDataset, steps: int) -> list[Step]:
        return list(self.steps(training, dataset, steps))

    def steps(self, training: Training, dataset: ArrayDataset, count: int) -> Iterator[Step]:
        stream = Stream(
            dataset,
            seed=0,
            mirror=True,
            labels=dataset.labels is not None,
            device=training.device,
            others=self.others(dataset),
            aligned=self.aligned,
        )
        budget = Budget(nimg=1000 * training.trainable.batch_size)
        return itertools.islice(train(training, stream, budget), count)

    @pytest.mark.slow
    def test_a_gradient_reaches_every_parameter(self, dataset: ArrayDataset, straight: Straight) -> None:
        """From the second step on: a layer that begins as zeros may block the first gradient behind it."""
        first, last = (straight.states[steps]["networks"] for steps in (1, STEPS))
        still = [
            (network, name)
            for network, module in straight.training.trainable.networks.items()
            for name, _ in module.named_parameters()
            if torch.equal(first[network][name], last[network][name])
        ]
        dead = [f"{network}.{name}" for network, name in still if not self.matters(dataset, network, name)]
        assert dead == [], f"{self.family}: no loss or score depends on these parameters"

    def matters(self, dataset: ArrayDataset, network: str, name: str) -> bool:
        """Whether a step's logs change with it; a hinge loss gives its last bias no gradient at first."""
        usual, changed = self.make(dataset.spec), self.make(dataset.spec)
        parameter = changed.trainable.networks[network].get_parameter(name)
        with torch.no_grad():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
        return self.run(usual, dataset, 1)[0].values != self.run(changed, dataset, 1)[0].values

    @pytest.mark.slow
    def test_another_seed_trains_differently(self, dataset: ArrayDataset, straight: Straight) -> None:
        other = self.make(dataset.spec)
        other.seed = 1
        assert self.run(other, dataset, 2) != straight.records[:2]

    def test_resuming_changes_nothing(
        self, dataset: ArrayDataset, straight: Straight, tmp_path: Path
    ) -> None:
        """Training 2N equals training N, stopping, loading from disk, training N: bit for bit."""
        records, resumed = self.resumed(dataset, tmp_path)
        assert records == straight.records
        assert_same(straight.training.state_dict(), resumed.state_dict())

    @pytest.mark.slow
    def test_resuming_in_bfloat16_changes_nothing(self, dataset: ArrayDataset, tmp_path: Path) -> None:
        straight = self.make(dataset.spec, precision=torch.bfloat16)
        through = self.run(straight, dataset, 6)
        records, resumed = self.resumed(dataset, tmp_path, precision=torch.bfloat16)
        assert records == through
        assert_same(straight.state_dict(), resumed.state_dict())

    def resumed(
        self, dataset: ArrayDataset, folder: Path, *, precision: torch.dtype = torch.float32
    ) -> tuple[list[Step], Training]:
        """Three steps, a state on disk, and three steps from that."""
        stopped = self.make(dataset.spec, precision=precision)
        first = self.run(stopped, dataset, 3)
        save_state(folder / "state-000000.pt", stopped.state_dict())
        resumed = self.make(dataset.spec, seed=99, precision=precision)
        resumed.load_state_dict(load_state(folder / "state-000000.pt"))
        return first + self.run(resumed, dataset, 3), resumed

    @pytest.mark.slow
    def test_ranks_train_as_one_process(
        self, dataset: ArrayDataset, straight: Straight, ranks_of: Callable[[int], Ranks]
    ) -> None:
        """The same losses and weights, and all ranks the same bits; three share no batch here evenly."""
        together = ranks_of(3).run(run_as_rank, type(self), dataset)
        for values, state in together:
            assert_near([record.values for record in straight.records[:STEPS]], values, "values")
            assert_near(plain(straight.states[STEPS]), state)
            assert_same(together[0][1], state)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
    @pytest.mark.slow
    def test_ranks_on_a_gpu_train_as_one_process(
        self, dataset: ArrayDataset, ranks_of: Callable[[int], Ranks]
    ) -> None:
        alone = self.make(dataset.spec)
        values = [record.values for record in self.run(alone, dataset, STEPS)]
        for there, state in ranks_of(2).run(with_second_device, run_as_rank_there, type(self), dataset):
            assert_near(values, there, "values")
            assert_near(plain(alone.state_dict()), state)

    @pytest.mark.slow
    def test_another_device_goes_on_alike(
        self,
        dataset: ArrayDataset,
        straight: Straight,
        tmp_path: Path,
        on_second_device: Callable[..., Any],
    ) -> None:
        """Steps on a second device, then on either from the state of that: the losses of the CPU alone."""
        values = [record.values for record in straight.records[:STEPS]]
        for there, state in on_second_device(run_there, type(self), dataset, tmp_path / "state-000000.pt"):
            assert_near(values, there, "values")
            assert_near(plain(straight.states[STEPS]), state)

    @pytest.mark.slow
    def test_presets_build(self) -> None:
        module = discover.load("mien.models", self.family)
        assert "default" in module.PRESETS
        for preset in module.PRESETS.values():
            module.build(preset, self.least)

    def test_every_number_is_described(self) -> None:
        fields = discover.load("mien.models", self.family).Config.model_fields
        bare = [name for name, field in fields.items() if not field.description]
        assert bare == [], f"{self.family}: these fields of Config lack a description"


def run_as_rank(contract: type[TrainableContract], dataset: ArrayDataset) -> tuple[list[Any], Any]:
    """Train the first steps as one of several ranks: the logged values, and the state, as plain arrays."""
    return run_as_rank_there(CPU, contract, dataset)


def run_as_rank_there(
    device: torch.device, contract: type[TrainableContract], dataset: ArrayDataset
) -> tuple[list[Any], Any]:
    test = contract()
    training = test.make(dataset.spec, device=device)
    return [record.values for record in test.run(training, dataset, STEPS)], plain(training.state_dict())


def run_there(
    second: torch.device, contract: type[TrainableContract], dataset: ArrayDataset, path: Path
) -> list[tuple[Any, Any]]:
    """Logged values and state after the first half on `second` and the rest on the CPU, and there."""
    test = contract()
    first = test.make(dataset.spec, device=second)
    values = [record.values for record in test.run(first, dataset, STEPS // 2)]
    save_state(path, first.state_dict())
    ends = []
    for device in (CPU, second):
        training = test.make(dataset.spec, seed=99, device=device)
        training.load_state_dict(load_state(path))
        rest = [record.values for record in test.run(training, dataset, STEPS - STEPS // 2)]
        ends.append((values + rest, plain(training.state_dict())))
    return ends


def drawn_there(second: torch.device, contract: type[TrainableContract], dataset: ArrayDataset) -> Any:
    """Images that a generator draws on the CPU and on `second`."""
    generator = contract().make(dataset.spec).averages.networks["g"]
    z = latents([0, 1, 2], cast(Generator, generator).z_dim)
    labels = None if dataset.labels is None else torch.from_numpy(dataset.labels[:3])
    here = draw(cast(Generator, generator), z, labels, psi=0.7)
    generator.to(second)
    moved = None if labels is None else labels.to(second)
    return here.numpy(), draw(cast(Generator, generator), z.to(second), moved, psi=0.7).numpy()


def plain(state: Any) -> Any:
    """The state with arrays in the place of tensors, without what is measured by the clock."""
    if isinstance(state, dict):
        return {key: plain(value) for key, value in state.items() if key != "seconds"}
    if isinstance(state, list | tuple):
        return [plain(value) for value in state]
    return state.detach().cpu().numpy().copy() if isinstance(state, torch.Tensor) else state


class FamilyContract(TrainableContract):
    """What generators hold besides."""

    def test_shapes_and_range(self, dataset: ArrayDataset) -> None:
        training = self.make(dataset.spec)
        generator = training.averages.networks["g"]
        labels = None if dataset.labels is None else torch.from_numpy(dataset.labels[:3])
        pictures = generator(torch.randn(3, generator.z_dim), labels, psi=0.7)
        assert pictures.shape == (3, dataset.spec.channels, dataset.spec.resolution, dataset.spec.resolution)
        assert pictures.dtype == torch.float32
        assert generator.spec == dataset.spec

    def test_psi_zero_gives_one_picture(self, dataset: ArrayDataset) -> None:
        generator = self.make(dataset.spec).averages.networks["g"]
        labels = None if dataset.labels is None else torch.from_numpy(dataset.labels[:1]).repeat(2, 1)
        first, second = generator(torch.randn(2, generator.z_dim), labels, psi=0.0)
        assert torch.allclose(first, second, atol=1e-6)

    @pytest.mark.slow
    def test_another_device_draws_alike(
        self, dataset: ArrayDataset, on_second_device: Callable[..., Any]
    ) -> None:
        here, there = on_second_device(drawn_there, type(self), dataset)
        assert np.abs(here.astype(int) - there).max() <= 1

    @pytest.mark.slow
    def test_its_generator_file_draws_the_same(
        self, dataset: ArrayDataset, straight: Straight, tmp_path: Path
    ) -> None:
        training = straight.training
        generator = training.averages.networks["g"]
        header = NetworkHeader(
            family=self.family,
            config=training.trainable.config.model_dump(),
            spec=dataset.spec,
            nimg=training.nimg,
            tool="test",
        )
        path = tmp_path / "generator-000000.safetensors"
        save_generator(path, generator.state_dict(), header)
        loaded, _ = read_network(path)
        z = torch.randn(2, generator.z_dim)
        labels = None if dataset.labels is None else torch.from_numpy(dataset.labels[:2])
        assert torch.equal(loaded(z, labels), generator(z, labels))

    def test_losses_say_what_they_are(self, straight: Straight) -> None:
        values = straight.records[0].values
        assert {"Loss/G/loss", "Loss/D/loss", "Loss/scores/real", "Loss/scores/fake"} <= set(values)
        assert all(np.isfinite(list(values.values())))


def assert_near(first: Any, second: Any, where: str = "state", *, factor: float = 1.0) -> None:
    """Both hold the same numbers, but for the rounding of float32, `factor` times a few steps' worth.

    Arrays as wholes: Adam moves a weight whose gradient is nothing but rounding by its full rate.
    """
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_near(first[key], second[key], f"{where}[{key!r}]", factor=factor)
    elif isinstance(first, list):
        assert len(first) == len(second), where
        for index, (a, b) in enumerate(zip(first, second, strict=True)):
            assert_near(a, b, f"{where}[{index}]", factor=factor)
    elif isinstance(first, float):
        assert second == pytest.approx(first, rel=factor * 2e-3, abs=factor * 2e-4), where
    elif isinstance(first, np.ndarray) and first.dtype.kind == "f":
        distance, length = np.linalg.norm(first - second), np.linalg.norm(first)
        assert distance <= factor * (2e-3 * length + 1e-4 * first.size**0.5), where
    elif isinstance(first, np.ndarray):
        assert np.array_equal(first, second), where
    else:
        assert first == second, where


def assert_same(first: Any, second: Any, where: str = "state") -> None:
    """Both states hold the same things, tensors bit for bit; wall-clock seconds aside."""
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            if key != "seconds":
                assert_same(first[key], second[key], f"{where}[{key!r}]")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for index, (a, b) in enumerate(zip(first, second, strict=True)):
            assert_same(a, b, f"{where}[{index}]")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, np.ndarray):
        assert np.array_equal(first, second), where
    else:
        assert first == second, where

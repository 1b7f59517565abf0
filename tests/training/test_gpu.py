"""What only a GPU can show; skipped where there is none."""

import io
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

import mien
from mien.core import ranks
from mien.core.errors import InputError
from mien.core.packed import encode_png
from mien.core.types import Batch, Phase, Spec
from mien.models import dcgan, dense, lite, stylegan2
from mien.training.graphs import Graphs
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream
from mien.training.settings import pick_device, probe
from pictures import ArrayDataset

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
GPU = torch.device("cuda", 0)


@pytest.fixture
def nccl() -> Iterator[None]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    dist.init_process_group("cpu:gloo,cuda:nccl", init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_nccl_sums_and_its_sums_are_derived_twice(nccl: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "count", lambda: 2)  # else a process alone sums nothing
    x = torch.tensor([1.0, 2.0], device=GPU, requires_grad=True)
    total = ranks.summed(x).square().sum()
    (first,) = torch.autograd.grad(total, x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert [total.item(), first.tolist(), second.tolist()] == [5.0, [2.0, 4.0], [2.0, 2.0]]
    gradients = [torch.ones(3, 2, device=GPU), torch.full((4,), 2.0, device=GPU)]
    ranks.sum_gradients(gradients)
    assert [g.sum().item() for g in gradients] == [6.0, 8.0]
    assert ranks.any_of(True)  # a tensor of the CPU, by gloo
    assert ranks.first(3.5) == 3.5


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="--device cuda:99: not available here"):
        pick_device("cuda:99")


def test_memory_that_runs_out_halves_what_is_computed_at_once() -> None:
    """To the weights of a training whose memory suffices: this family's rows know nothing of each other."""
    config = dense.Config(batch_size=2048, channel_base=256, channel_max=32)
    data = ArrayDataset(count=2048, resolution=64)
    stream = Stream(data, seed=0, mirror=True, labels=False, device=GPU)

    def one_step(room: int) -> tuple[int | None, list[torch.Tensor]]:
        torch.manual_seed(0)
        training = Training(dense.build(config, data.spec), 0, GPU)
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(GPU).total_memory
        torch.cuda.set_per_process_memory_fraction(min((torch.cuda.memory_allocated() + room) / total, 1.0))
        try:
            step = next(train(training, stream, Budget()))
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return step.fits, [p.detach().cpu() for p in training.trainable.networks["g"].parameters()]

    unlimited, whole = one_step(64 << 30)
    fits, parts = one_step(2 << 30)
    assert unlimited is None
    assert fits is not None
    assert fits < 2048
    for a, b in zip(whole, parts, strict=True):  # Adam moves what has hardly a gradient by its full rate, too
        assert torch.linalg.vector_norm(a - b) <= 2e-3 * torch.linalg.vector_norm(a) + 1e-4 * a.numel() ** 0.5


SMALL: dict[str, tuple[Any, Any]] = {
    "dcgan": (dcgan, dcgan.Config(batch_size=8, width_g=8, width_d=8)),
    "lite": (lite, lite.Config(batch_size=8, width_g=8, width_d=8, mapping_layers=2, update_clip=1)),
    "stylegan2": (
        stylegan2,
        stylegan2.Config(
            batch_size=8, z_dim=32, w_dim=32, channel_base=256, channel_max=32, path_interval=2, r1_interval=2
        ),
    ),
}


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("labelled", [False, True], ids=["plain", "labelled"])
@pytest.mark.parametrize("family", SMALL)
def test_graphs_compute_what_single_kernels_do(
    family: str, labelled: bool, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same losses over twelve steps, a return to an earlier state among them."""
    module, config = SMALL[family]
    data = ArrayDataset(resolution=16, labelled=labelled)

    def losses() -> tuple[list[dict[str, float]], int]:
        torch.manual_seed(0)
        training = Training(module.build(config, data.spec), 0, GPU, precision)
        stream = Stream(data, seed=0, mirror=True, labels=labelled, device=GPU)
        steps = train(training, stream, Budget(nimg=8000))
        values = [next(steps).values for _ in range(8)]
        buffer = io.BytesIO()
        torch.save(training.state_dict(), buffer)
        values += [next(steps).values for _ in range(2)]
        buffer.seek(0)
        training.load_state_dict(torch.load(buffer, weights_only=True))
        assert not training.graphs._captured
        values += [next(steps).values for _ in range(4)]
        return values, len(training.graphs._captured)

    by_graphs, graphs = losses()
    monkeypatch.setattr(Graphs, "computed", lambda *arguments: None)
    one_by_one, none = losses()
    assert graphs == {"dcgan": 2, "lite": 3, "stylegan2": 4}[family]
    assert none == 0
    loose = 2e-3 if precision == torch.float32 else 3e-2
    for ours, theirs in zip(by_graphs, one_by_one, strict=True):
        assert ours == pytest.approx(theirs, rel=loose, abs=loose / 4)


def test_what_cannot_be_captured_is_computed_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that looks at a value breaks the capture, not the training."""
    config = lite.Config(batch_size=8, width_g=8, width_d=8)
    data = ArrayDataset(resolution=16)

    class Looking(lite.Lite):
        def loss(self, phase: Phase, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            loss, logs = super().loss(phase, batch)
            assert np.isfinite(loss.item())
            return loss, logs

    training = Training(Looking(config, data.spec), 0, GPU)
    stream = Stream(data, seed=0, mirror=True, labels=False, device=GPU)
    steps = train(training, stream, Budget())
    values = [next(steps).values["Loss/D/loss"] for _ in range(6)]
    assert np.isfinite(values).all()
    assert training.graphs._gave_up


def test_both_precisions_are_timed() -> None:
    data = ArrayDataset(resolution=16)
    config = lite.Config(batch_size=16, width_g=8, width_d=8)
    stream = Stream(data, seed=0, mirror=True, labels=False, device=GPU)
    speeds = probe(lambda: lite.build(config, Spec(16)), stream, GPU, rounds=1)
    assert set(speeds) == {"fp32", "bf16"}


def test_a_run_is_begun_gone_on_with_and_drawn_from(tmp_path: Path) -> None:
    """By the command; the same faces come from the GPU and from the CPU, but for a level."""
    data = ArrayDataset(count=256, resolution=32)
    with zipfile.ZipFile(tmp_path / "blobs.zip", "w") as file:
        for name, pixels in enumerate(data.images(np.arange(256)).transpose(0, 2, 3, 1)):
            file.writestr(f"{name}.png", encode_png(pixels))
    where = {"start": "none", "device": "cuda", "out": tmp_path / "runs"}
    for kimg in (1, 2):
        run = mien.train(str(tmp_path / "blobs.zip"), kimg=kimg, tick_kimg=1, **where).run()
    assert mien.load(run.path).header.nimg // 1000 == 2
    faces = [mien.load(run.path, device=device).draw([0, 1, 2, 3]) for device in ("cpu", "cuda")]
    assert np.abs(np.asarray(faces[0], int) - np.asarray(faces[1])).max() <= 1

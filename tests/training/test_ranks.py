"""Several processes train one model: what they share, and what is left of a run whose worker is killed."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import forked
from contracts.family_contract import assert_near, plain
from mien.cli import main
from mien.core import discover, ranks
from mien.core.checkpoint import load_state
from mien.core.errors import InputError, MienError
from mien.nn.batch_norm import BatchNorm2d
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream
from mien.training.settings import pick_device
from pictures import ArrayDataset
from ranked import Ranks

CPU = torch.device("cpu")
Start = Callable[[int], Ranks]


def told_apart() -> dict[str, Any]:
    """What one rank learns of the others."""
    with pytest.raises(InputError, match="process 1: no such data") as all_fail:
        ranks.each(lambda: fail_in(1))
    with pytest.raises(MienError, match="the lock is held"):
        ranks.led(lambda: fail_in(0, MienError("the lock is held")))
    with pytest.raises(InputError, match=r"differ in version: 1\.0 in the first, 1\.1 in number 1"):
        ranks.check_alike("faces.zip", {"data": "a", "version": f"1.{ranks.rank()}"})
    with pytest.raises(InputError, match="a batch of 1 images is too small for 2 processes"):
        ranks.share_of(1)
    share = ranks.share_of(5)
    with ranks.sharing(share):
        assert ranks.rows(5) == slice(share.start, share.start + share.own)
        with pytest.raises(ValueError, match="a batch of 4 rows, and the ranks share 5"):
            ranks.rows(4)
        with pytest.raises(ValueError, match=f"4 rows, and this rank has {share.own} of 5"):
            ranks.whole(torch.zeros(4, 2))
    number = ranks.rank()
    return {
        "by all": all_fail.value.raised_by_all,
        "led": ranks.led(lambda: {"text": "é", "tensor": torch.arange(3), "rank": number})["rank"],
        "tensor": ranks.led(lambda: torch.arange(3) + number).tolist(),
        "any": (ranks.any_of(number == 1), ranks.any_of(False)),
        "first": ranks.first(0.1 + number),
        "each": ranks.each(lambda: number),
    }


def fail_in(number: int, error: MienError | None = None) -> int:
    if ranks.rank() == number:
        raise error or InputError("no such data")
    return number


def test_ranks_agree(ranks_of: Start) -> None:
    first, second = ranks_of(2).run(told_apart)
    common = {"by all": True, "led": 0, "tensor": [0, 1, 2], "any": (True, False), "first": 0.1}
    assert first == {**common, "each": 0}
    assert second == {**common, "each": 1}


def rows_of_seven() -> dict[str, Any]:
    share = ranks.share_of(7)
    with ranks.sharing(share):
        x = torch.arange(7.0)[ranks.rows(7)].double().requires_grad_()
        rng = torch.Generator().manual_seed(5)
        draws = ranks.drawn(torch.randn, (3, share.own), rng, dim=1)
        (gradient,) = torch.autograd.grad((ranks.whole(x).cumsum(0).square()).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), x)
        known = (x.detach() != 3).float()
        weighted = ranks.weighted_mean(x.detach(), known) * share.own / share.total
        with ranks.dealt(4) as (own, weight):
            part = weight * own
    parts = [part_.counts for part_ in ranks.parts_of(share, 2)]
    return {
        **{"draws": draws.tolist(), "second": second.tolist(), "weighted": float(ranks.summed(weighted))},
        **{"part": part, "own": share.own, "parts": parts},
    }


@pytest.mark.parametrize("count", [2, 3])
def test_rows_of_all_ranks_are_those_of_one_process(ranks_of: Start, count: int) -> None:
    alone, together = rows_of_seven(), ranks_of(count).run(rows_of_seven)
    assert [rows["own"] for rows in together] == {2: [3, 4], 3: [2, 2, 3]}[count]
    joined = np.concatenate([rows["draws"] for rows in together], axis=1)
    assert np.array_equal(joined, alone["draws"])
    # Every rank takes the sum of all rows, and a gradient is of all those sums: count times as long.
    second = np.concatenate([rows["second"] for rows in together])
    np.testing.assert_allclose(second, np.array(alone["second"]) * count**2)
    assert alone["weighted"] == pytest.approx((21 - 3) / 6)
    assert [rows["weighted"] for rows in together] == pytest.approx([alone["weighted"]] * count)
    assert [sum(sizes) for sizes in zip(*together[0]["parts"], strict=True)] == [r["own"] for r in together]
    assert all(size in (1, 2) for sizes in together[0]["parts"] for size in sizes)


def penalised_norm(whole: torch.Tensor) -> tuple[np.ndarray, ...]:
    """The gradient of a gradient penalty through batch norm, this rank's rows; weights' as sums."""
    torch.manual_seed(0)
    layer = BatchNorm2d(3).double()
    torch.nn.init.normal_(layer.weight)
    with ranks.sharing(ranks.share_of(len(whole))):
        x = whole[ranks.rows(len(whole))].clone().requires_grad_()
        y = layer(x).sigmoid().square()
        (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        first, second = torch.autograd.grad(gradient.square().sum(), (x, layer.weight))
    tensors = (y, first, ranks.summed(second), layer.running_mean, layer.running_var)
    return tuple(tensor.detach().numpy().copy() for tensor in tensors)


def test_batch_norm_of_ranks_is_torch_s_twice_differentiated(ranks_of: Start) -> None:
    whole = torch.randn(7, 3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3 + 2
    expected = penalised_norm(whole)
    parts = ranks_of(3).run(penalised_norm, whole)
    for index, values in enumerate(expected):
        if index < 2:
            np.testing.assert_allclose(np.concatenate([part[index] for part in parts]), values, rtol=1e-9)
        else:
            for part in parts:
                np.testing.assert_allclose(part[index], values, rtol=1e-9)


def fifty_steps() -> tuple[list[dict[str, float]], Any]:
    torch.manual_seed(0)
    dataset = ArrayDataset(300, resolution=16, labelled=True)
    family = discover.load("mien.models", "lite")
    sizes = {"batch_size": 64, "z_dim": 8, "width_g": 4, "width_d": 4, "mapping_layers": 2, "w_dim": 16}
    training = Training(family.build(family.Config(**sizes), dataset.spec), 0, CPU)
    stream = Stream(dataset, seed=0, mirror=True, labels=True, device=CPU)
    steps = itertools.islice(train(training, stream, Budget(nimg=64 * 100)), 50)
    return [step.values for step in steps], plain(training.state_dict()["networks"])


@pytest.fixture(scope="module")
def fifty_alone() -> tuple[list[dict[str, float]], Any]:
    return fifty_steps()


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_fifty_steps_of_64_are_those_of_one_process(ranks_of: Start, count: int, fifty_alone: Any) -> None:
    """Twice 32, or 21, 21 and 22."""
    losses, networks = fifty_alone
    for values, state in ranks_of(count).run(fifty_steps):
        for step, expected in zip(values, losses, strict=True):
            for name in ("Loss/D/loss", "Loss/G/loss"):
                assert step[name] == pytest.approx(expected[name], rel=1e-3)
        assert_near(networks, state)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 pictures of 16 px."""
    folder = tmp_path_factory.mktemp("ranked") / "faces"
    folder.mkdir()
    dataset = ArrayDataset(96, resolution=16)
    for index, image in enumerate(dataset.images(np.arange(96))):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{index:03d}.png")
    return folder


class Torchrun:
    """`torchrun --nproc-per-node COUNT -m mien train ...` in a folder; DCGAN, whose rates are constant.

    Both it and the processes that it starts are forked, unless these shall say which of them ended: they know
    one another by the environment that they were started with.
    """

    def __init__(
        self, folder: Path, count: int, *arguments: object, restarts: int = 0, forks: bool = True
    ) -> None:
        launcher = ["-c", _FORKING] if forks else ["-m", "torch.distributed.run"]
        launch = [*launcher, "--standalone", f"--nproc-per-node={count}", f"--max-restarts={restarts}", "-m"]
        command = [sys.executable, *launch, "mien", "train", *map(str, arguments), *_SMALL]
        self.process = forked.FreeingPopen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=240)
        return self.process.returncode, out, err

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split() if _is_worker(int(pid))]


_FORKING = """
import forked
forked.preload()
from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler
from torch.distributed.run import main
subprocess_handler.Popen = forked.FreeingPopen
main()
"""
_ON_HOST = """
import ctypes, os
namespace = os.open("/run/netns/{name}", os.O_RDONLY)
assert ctypes.CDLL(None, use_errno=True).setns(namespace, 0x40000000) == 0, ctypes.get_errno()
os.close(namespace)
"""
_SMALL = (
    *("--model", "dcgan", "--set", "batch_size=48", "--set", "z_dim=8"),
    *("--set", "width_g=4", "--set", "width_d=4", "--precision", "fp32", "--from", "none"),
    *("--snapshot-kimg", "1", "--device", "cpu"),
)


def _is_worker(pid: int) -> bool:
    """The launcher gives each a session of its own."""
    try:
        return os.getsid(pid) == pid
    except OSError:
        return False


def train_alone(folder: Path, *arguments: object) -> None:
    """The same in this process, without a launcher."""
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(folder):
        assert main(["train", *map(str, arguments), *_SMALL]) == 0


def networks_of(folder: Path, nimg: int) -> Any:
    (run,) = (folder / "runs").glob("0*")
    return plain(load_state(run / f"state-{nimg:06d}.pt")["networks"])


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_and_other_ranks_go_on(faces: Path, tmp_path: Path) -> None:
    """Two ranks, one of which is killed and restarted; then three; then one: as one process trains."""
    train_alone(tmp_path / "alone", faces, "--kimg", "6")
    folder = tmp_path / "together"
    folder.mkdir()
    killed = Torchrun(folder, 2, faces, "--kimg", "4", restarts=1)
    log = folder / "runs" / "00000-faces-dcgan-16" / "log.jsonl"
    for _ in waited(120):
        if log.exists() and log.read_text().count("\n") >= 1:
            break
    os.kill(killed.workers()[1], signal.SIGKILL)
    code, out, _ = killed.end()
    assert code == 0
    assert out.count(" begins:") == 1
    assert out.count(" goes on at ") == 1
    assert Torchrun(folder, 3, faces, "--kimg", "5").end()[0] == 0
    train_alone(folder, faces, "--kimg", "6")
    # Other data, chance or a lost step would part them by two hundred times as much.
    assert_near(networks_of(tmp_path / "alone", 6), networks_of(folder, 6), factor=10)
    ticks = [line for line in log.read_text().splitlines() if "Progress/kimg" in line]
    assert len(ticks) == 6


@pytest.mark.slow
def test_who_ended_before_the_first_step_is_said_in_one_line(faces: Path, tmp_path: Path) -> None:
    """Process 1 hangs as it starts, 0 waits for it where no signal is heard, and 1 is killed."""
    run = Torchrun(tmp_path, 2, faces, "--kimg", "1", forks=False)
    for _ in waited(60):
        if len(run.workers()) == 2:
            break
    waits, hangs = run.workers()
    os.kill(hangs, signal.SIGSTOP)
    spent = [-1.0]
    for _ in waited(120):  # until it does nothing any more
        time.sleep(0.5)
        spent.append(cpu_seconds(waits))
        if len(spent) > 6 and spent[-1] - spent[-6] < 0.05 and spent[-1] > 1:
            break
    os.kill(hangs, signal.SIGKILL)
    code, _, err = run.end()
    assert code != 0
    (line,) = [line for line in err.splitlines() if line.startswith("mien: ")]
    assert re.match(r"mien: process 1 of this training ended at \d\d:\d\d:\d\d, before the first step", line)
    assert not (tmp_path / "runs").exists()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_other_data_in_one_process_is_one_line(faces: Path, tmp_path: Path) -> None:
    """Two processes of any launcher, each with a folder `faces` of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = []
    for number in range(2):
        folder = tmp_path / str(number) / "faces"
        shutil.copytree(faces, folder)
        if number:
            (folder / "000.png").unlink()
        place = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, "-m", "mien", "train", "faces", "--kimg", "1", *_SMALL]
        environment = {**os.environ, **{name: str(value) for name, value in place.items()}}
        both.append(
            forked.FreeingPopen(
                command, cwd=folder.parent, env=environment, stderr=subprocess.PIPE, text=True
            )
        )
    said = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [2, 2]
    (line,) = [line for text in said for line in text.splitlines() if line.startswith("mien: ")]
    assert "the processes differ in data or options" in line
    assert not (tmp_path / "0" / "runs").exists()


@pytest.mark.slow
def test_ada_of_two_processes_is_that_of_one(faces: Path, tmp_path: Path) -> None:
    asked = (faces, "--kimg", "1", "--augment", "ada")
    for count in (1, 2):
        (tmp_path / str(count)).mkdir()
        code, _, err = Torchrun(tmp_path / str(count), count, *asked).end()
        assert code == 0, err
    assert_near(networks_of(tmp_path / "1", 1), networks_of(tmp_path / "2", 1), factor=10)
    logs = [next((tmp_path / name / "runs").glob("*/log.jsonl")).read_text() for name in "12"]
    strengths = [re.findall(r'"Progress/augment": ([\d.e-]+)', log) for log in logs]
    assert strengths[0], logs[0]
    assert strengths[0] == strengths[1]


def waited(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.1)
    raise AssertionError("it did not come")


@pytest.mark.slow
def test_bad_input_is_one_line_of_one_process(tmp_path: Path) -> None:
    code, _, err = Torchrun(tmp_path, 2, tmp_path / "nothing.zip", "--kimg", "1", forks=False).end()
    assert code != 0
    lines = [line for line in err.splitlines() if line.startswith("mien: ")]
    assert len(lines) == 1
    assert "nothing.zip" in lines[0]


def test_torchrun_is_for_training_alone(fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert "torchrun is for mien train" in fails("doctor")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(AssertionError):
        fails("doctor")  # the first process has said it for all


class Hosts:
    """Two hosts joined by a cable: network namespaces, each with an address of its own and nothing else."""

    addresses = ("10.77.0.1", "10.77.0.2")

    def __init__(self) -> None:
        self.names = tuple(f"mien{os.getpid()}{side}" for side in "ab")

    def __enter__(self) -> "Hosts":
        first, second = self.names
        for name in self.names:
            self._ip("netns", "add", name)
        self._ip(*f"link add {first} netns {first} type veth peer name {second} netns {second}".split())
        for name, address in zip(self.names, self.addresses, strict=True):
            self._ip("-n", name, "addr", "add", f"{address}/24", "dev", name)
            for device in (name, "lo"):
                self._ip("-n", name, "link", "set", device, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def _ip(self, *words: str) -> None:
        try:
            subprocess.run(["ip", *words], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__()
            pytest.skip(f"network namespaces need root and iproute2 ({error})")

    def start(self, number: int, folder: Path, *arguments: object) -> subprocess.Popen[bytes]:
        """`torchrun --nnodes 2 ... -m mien train ...` on one of them, in a folder with its log."""
        folder.mkdir()
        rendezvous = ["--rdzv-backend=c10d", f"--rdzv-endpoint={self.addresses[0]}:29400"]
        rendezvous.append(f"--rdzv-conf=is_host={number == 0}")  # by name neither would know
        nodes = ["--nnodes=2", "--nproc-per-node=1", f"--local-addr={self.addresses[number]}", *rendezvous]
        launcher = [sys.executable, "-c", _ON_HOST.format(name=self.names[number]) + _FORKING]
        with open(folder / "log", "wb") as log:
            return forked.FreeingPopen(
                [*launcher, *nodes, "-m", "mien", "train", *map(str, arguments), *_SMALL],
                cwd=folder,
                env={**os.environ, "GLOO_SOCKET_IFNAME": self.names[number]},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def ended(process: subprocess.Popen[bytes], *, within: float) -> int:
    """The exit code of a process that is killed, with all that it started, where it takes longer."""
    try:
        return process.wait(timeout=within)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


@pytest.mark.slow
def test_two_hosts_train_what_one_process_does(faces: Path, tmp_path: Path) -> None:
    """They share the data, not the folder of the run: that is the first host's alone."""
    with Hosts() as hosts:
        both = [
            hosts.start(number, tmp_path / name, faces, "--kimg", "2") for number, name in enumerate("ab")
        ]
        logs = [tmp_path / name / "log" for name in "ab"]
        end = time.monotonic() + 240
        while not any("trained 2.0 kimg" in log.read_text() for log in logs):
            assert time.monotonic() < end, [log.read_text() for log in logs]
            time.sleep(0.2)
        # A launcher may wait five minutes for another that has gone already: of that nothing here is known.
        codes = [ended(host, within=30) for host in both]
        assert set(codes) <= {0, -signal.SIGKILL}, [log.read_text() for log in logs]
    train_alone(tmp_path / "alone", faces, "--kimg", "2")
    (leader,) = [tmp_path / name for name in "ab" if (tmp_path / name / "runs").exists()]
    assert_near(networks_of(tmp_path / "alone", 2), networks_of(leader, 2), factor=5)


def test_one_gpu_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "count", lambda: 2)
    with pytest.raises(InputError, match=r"say --device cuda$"):
        pick_device("cuda:1")

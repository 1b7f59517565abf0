"""Bulk work on a Dask cluster: the same bytes as one machine, whatever happens to its workers."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import forked
import narrow
from drawers import plain_file
from latent.projecting import QUICK, generator_file, without_artefacts
from mien.attributes import predictions
from mien.attributes.annotate import annotate
from mien.cli import main
from mien.core import cluster
from mien.core.checkpoint import NetworkHeader, save_generator
from mien.core.cluster import Cluster, Done, Shard
from mien.core.errors import InputError, MienError
from mien.core.events import Event, Progress
from mien.core.manifest import continuation
from mien.core.packed import PackWriter, encode_png
from mien.core.types import Spec
from mien.detection.detect import detect
from mien.evaluation.measure import measure_all
from mien.faces.finder import open_finder
from mien.generation import batches
from mien.generation.generate import generate
from mien.latent.projection.project import generated
from mien.metrics.features import vgg_random
from mien.models import attributes
from mien.prepare.prepare import prepare
from rendered_heads import heads

pytest.importorskip("distributed", reason="dask is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's own, of its threads and sockets


class Machines:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path, *, workers: int = 2) -> None:
        forked.preload("distributed.cli.dask_scheduler", "distributed.cli.dask_worker")
        self._folder, self._file = folder, folder / "scheduler.json"
        self._scheduler = self._start("scheduler", "--host=127.0.0.1", "--port=0", "--no-dashboard")
        self.workers: list[subprocess.Popen[bytes]] = []
        self.address = self._address()
        for _ in range(workers):
            self.add()

    def add(self) -> None:
        """One more worker."""
        options = ("--nthreads=1", "--no-nanny", "--no-dashboard", f"--preload={narrow.__file__}")
        self.workers.append(self._start("worker", *options))

    def close(self) -> None:
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()

    def _start(self, role: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", role, f"--scheduler-file={self._file}", *options]
        return forked.Popen(
            command,
            cwd=self._folder,
            env={**os.environ, "MIEN_CACHE": str(self._folder / "cache")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _address(self) -> str:
        for _ in waited(120):
            if self._file.exists() and (text := self._file.read_text()):
                return str(json.loads(text)["address"])
        raise AssertionError("unreachable")


def waited(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.1)
    raise AssertionError("it did not come")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    started = Machines(tmp_path_factory.mktemp("machines"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 pictures, every tenth of which is none."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(100):
        path = folder / f"{index:03d}.png"
        coarse = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((50, 60), Image.Resampling.BICUBIC).save(path)
        if index % 10 == 0:
            path.write_bytes(path.read_bytes()[:100])
    return folder


def killing(worker: subprocess.Popen[bytes]) -> Callable[[Event], None]:
    """A listener that kills a worker when the first shard is done."""

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.what in ("cutting images", "drawing"):
            os.kill(worker.pid, signal.SIGKILL)

    return listen


@pytest.mark.slow
def test_prepare_is_the_same_to_the_byte_though_a_worker_is_killed(
    machines: Machines, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "spread").mkdir()
    plain, spread = tmp_path / "plain" / "faces.zip", tmp_path / "spread" / "faces.zip"
    prepare(str(photos), plain, finder="none", size=(32,), workers=1).run()
    job = prepare(str(photos), spread, finder="none", size=(32,), cluster=machines.address)
    result = job.run(killing(machines.workers[-1]))
    machines.add()
    assert result.measured == 100
    assert result.kept > 50
    assert spread.read_bytes() == plain.read_bytes()


@pytest.mark.slow
def test_generate_is_the_same_to_the_byte_and_goes_on(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_BATCHES", 1)
    source = plain_file(tmp_path)
    seeds = "0-149"  # three shards
    generate(source, out=tmp_path / "plain", seeds=seeds).run()
    out = tmp_path / "spread"
    stopped = generate(source, out=out, seeds=seeds, cluster=machines.address)

    with pytest.raises(LeftError):
        stopped.run(leave)
    (done,) = (out / ".shards-done").read_text().split()
    counts = []
    generate(source, out=out, seeds=seeds, cluster=machines.address).run(
        lambda event: counts.append(event.done) if isinstance(event, Progress) else None
    )
    assert len(counts) == 2, "the shard that was done was drawn again"
    assert counts[-1] == 150
    files = sorted(path.name for path in (tmp_path / "plain").iterdir())
    assert sorted(path.name for path in out.iterdir()) == files
    assert len(files) == 150
    assert all((out / name).read_bytes() == (tmp_path / "plain" / name).read_bytes() for name in files)
    assert done


def at_the_end(event: Event) -> None:
    if isinstance(event, Progress) and event.done == event.total:
        raise LeftError


@pytest.mark.slow
def test_a_picture_that_is_gone_is_drawn_again(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the account of shards says, in which there may be those of another run."""
    monkeypatch.setattr(batches, "_BATCHES", 1)
    asked: Any = {"seeds": "0-149", "cluster": machines.address}
    source, out = plain_file(tmp_path), tmp_path / "out"
    with pytest.raises(LeftError):
        generate(source, out=out, **asked).run(at_the_end)
    with open(out / ".shards-done", "a", encoding="utf-8") as account:
        account.write("of-another-run\n")
    gone = out / "seed0003.png"
    picture = gone.read_bytes()
    gone.unlink()
    counts = []
    written = generate(source, out=out, **asked).run(
        lambda event: counts.append(event.done) if isinstance(event, Progress) else None
    )
    assert counts == [150], "one shard of three"
    assert gone.read_bytes() == picture
    assert [path.name for path in written] == [f"seed{seed:04d}.png" for seed in range(150)]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """70 pictures of 16 px: a batch of evaluation, and a rest."""
    rng = np.random.default_rng(0)
    with PackWriter(tmp_path / "faces.zip") as writer:
        for _ in range(70):
            writer.add_png(encode_png(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)), None, {})
    return tmp_path / "faces.zip"


def attribute_file(folder: Path) -> Path:
    """An attribute model that has learnt nothing."""
    torch.manual_seed(0)
    spec, config = Spec(16, 3, 2, ("dark", "tall")), attributes.Config(width=4)
    header = NetworkHeader(
        kind="attributes", family="attributes", config=config.model_dump(), spec=spec, nimg=0, tool="test"
    )
    path = folder / "attributes.safetensors"
    save_generator(path, attributes.build_product(config, spec).state_dict(), header)
    return path


@pytest.mark.slow
def test_annotate_writes_the_same_lines(
    machines: Machines, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "CHUNK", 20)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    model = attribute_file(tmp_path)
    annotate(pack, model=model).run()
    plain = continuation(pack).read_bytes()
    assert plain.count(b"predicted_by") == 70
    continuation(pack).unlink()
    counts = []
    annotate(pack, model=model, cluster=machines.address).run(
        lambda event: counts.append(event.done) if isinstance(event, Progress) else None
    )
    assert counts[-4:] == [20, 40, 60, 70]
    assert continuation(pack).read_bytes() == plain


@pytest.mark.slow
def test_evaluate_gives_the_same_scores(
    machines: Machines, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vgg_random, "_vgg", narrow.narrow_vgg)  # as it is there
    model, options = plain_file(tmp_path), {"networks": ["vgg-random"], "metrics": ["kernel", "swd"]}
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    (plain,) = measure_all([model], str(pack), **options)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "another"))  # where no features are yet
    (spread,) = measure_all([model], str(pack), **options, cluster=machines.address)
    assert spread.scores == plain.scores
    (again,) = measure_all([model], str(pack), **options, cluster=machines.address)  # reals from the cache
    assert again.scores == plain.scores
    for side in ("real", "fake"):
        ours, theirs = (getattr(one, side).features["vgg-random"] for one in (plain, spread))
        assert np.array_equal(ours, theirs)
        assert len(ours) == 70


class LeftError(Exception):
    """The listener has enough."""


def leave(event: Event) -> None:
    if isinstance(event, Progress):
        raise LeftError


def content(folder: Path) -> dict[str, bytes]:
    """All files but the page, which says when it was written."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".html")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != "lock"}


@pytest.mark.slow
def test_project_finds_the_same_latents_and_goes_on(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_artefacts(monkeypatch)
    source = generator_file(tmp_path, "stylegan2")
    asked: Any = {"seeds": "0-9", "options": QUICK.model_copy(update={"restarts": 2, "noise": True})}
    generated(source, out=tmp_path / "plain", **asked).run()
    spread = generated(source, out=tmp_path / "spread", **asked, cluster=machines.address)
    with pytest.raises(LeftError):
        spread.run(leave)
    counts = []
    spread.run(lambda event: counts.append(event.done) if isinstance(event, Progress) else None)
    assert counts == [4, 6, 8, 10], "two at a time, and those of the first run not again"
    assert content(tmp_path / "spread") == content(tmp_path / "plain")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_leaving_early_costs_later_clusters_of_the_process_nothing(machines: Machines) -> None:
    """Fetched in Dask's one callback thread, results of one of the first dozen clusters never came."""
    for turn in range(40):
        with cluster.opened(machines.address) as opened:
            seconds = [0.01, *(0.05 + turn / 1e4 + number / 1e6 for number in range(5))]
            assert next(opened.run(time.sleep, map(Shard, zip(seconds))))[1] is None


@pytest.mark.slow
def test_detect_says_the_same_and_goes_on(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mien.detection.detect.open_face_finder", lambda events: open_finder("haar"))
    (tmp_path / "photos").mkdir()
    for index, pixels in enumerate(heads(17)[0]):
        Image.fromarray(pixels).resize((320, 320)).save(tmp_path / "photos" / f"{index:02d}.png")
    (tmp_path / "photos" / "03.png").write_bytes(b"none")
    monkeypatch.chdir(tmp_path)
    asked: Any = {"false_alarms": 0.1}
    found = detect("photos", **asked, json=tmp_path / "plain.jsonl", heat=tmp_path / "plain").run()
    assert sum(len(one.faces) for one in found) >= 8
    assert "photos/03.png" in found[3].problem
    asked["cluster"] = machines.address
    with pytest.raises(LeftError):
        detect("photos", **asked).run(leave)
    kept = {path.stem for path in (tmp_path / "cache" / "detect").glob("*.json")}
    assert kept
    sent: list[str] = []
    submit = Cluster.map
    monkeypatch.setattr(Cluster, "map", lambda self, what, shards: submit(self, what, noted(shards, sent)))
    detect("photos", **asked, json=tmp_path / "spread.jsonl", heat=tmp_path / "spread").run()
    assert len(sent) == 3 - len(kept)
    assert not kept & set(sent), "what was done was done again"
    assert (tmp_path / "spread.jsonl").read_bytes() == (tmp_path / "plain.jsonl").read_bytes()
    assert content(tmp_path / "spread") == content(tmp_path / "plain")
    assert not list((tmp_path / "cache" / "detect").iterdir())


def noted(shards: Iterable[Shard], names: list[str]) -> Iterator[Shard]:
    for shard in shards:
        names.append(shard.name)
        yield shard


@pytest.mark.slow
def test_a_restarted_scheduler_costs_nothing_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_BATCHES", 1)
    monkeypatch.setattr(cluster, "_PATIENCE", "5s")
    monkeypatch.setattr(cluster, "_FIRST_WORKER", "90s")
    source, out, seeds = plain_file(tmp_path), tmp_path / "spread", "0-249"
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first = Machines(tmp_path / "first", workers=1)

    def end(event: Event) -> None:
        if isinstance(event, Progress):
            first.close()

    try:
        with pytest.raises(MienError, match=r"does not answer any more .* the same command goes on"):
            generate(source, out=out, seeds=seeds, cluster=first.address).run(end)
    finally:
        first.close()
    done = len((out / ".shards-done").read_text().split())
    assert done >= 1
    second = Machines(tmp_path / "second", workers=1)
    drawn = []
    try:
        generate(source, out=out, seeds=seeds, cluster=second.address).run(
            lambda event: drawn.append(event.done) if isinstance(event, Progress) else None
        )
    finally:
        second.close()
    assert len(drawn) == 4 - done
    generate(source, out=tmp_path / "plain", seeds=seeds).run()
    files = sorted(path.name for path in (tmp_path / "plain").iterdir())
    assert sorted(path.name for path in out.iterdir()) == files
    assert all((out / name).read_bytes() == (tmp_path / "plain" / name).read_bytes() for name in files)


def ends_its_worker() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_processes_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """local; what a shard raises arrives, and one that ends its workers is left out in words."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))  # where no artefact is
    from dask import config

    fails_twice = config.set({"distributed.scheduler.allowed-failures": 1})
    with fails_twice, cluster.opened("local", workers=1) as opened:
        assert sorted(opened.run(sum, [Shard(([1, 2],)), Shard(([3, 4],))])) == [(0, 3), (1, 7)]
        assert list(opened.map(sum, [Shard(([1, 2],))] * 3)) == [3, 3, 3], "shards alike are shards, too"
        with pytest.raises(InputError, match=r"lacks inception; run there: mien artefacts fetch inception"):
            opened.check(["inception"])
        with pytest.raises(MienError, match="not there on a worker"):
            list(opened.run(raises, [Shard(())]))
        with pytest.raises(MienError, match="2 workers in turn ended at one shard"):
            list(opened.run(ends_its_worker, [Shard(())]))
    assert not logging.getLogger("distributed.client").isEnabledFor(logging.ERROR)


@pytest.mark.slow
def test_ctrl_c_is_one_word_though_workers_hear_it_too(tmp_path: Path) -> None:
    model, out = plain_file(tmp_path), tmp_path / "out"
    asked = ["generate", model, "--seeds", "0-99999", "--out", out, "--cluster", "local"]
    command = [sys.executable, "-m", "mien", *map(str, asked)]
    process = forked.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    for _ in waited(120):
        if next(out.glob("seed*.png"), None) or process.poll() is not None:
            break
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "stopped"


def writes_its_number(number: int, log: str) -> int:
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{number}\n")
    return os.getpid()


@pytest.mark.slow
def test_a_lost_worker_takes_no_result_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is ready is fetched while the caller is busy, and is not done again."""
    log, fetched, fetch = tmp_path / "log", [], cluster._fetch

    async def noticed(ready: Any, number: int, future: Any) -> None:
        await fetch(ready, number, future)
        fetched.append(number)

    monkeypatch.setattr(cluster, "_fetch", noticed)
    with cluster.opened("local", workers=2) as opened:
        results = opened.run(writes_its_number, [Shard((number, str(log))) for number in range(8)])
        first, pid = next(results)
        for _ in waited(120):
            if len(fetched) == 4:  # three of them wait for their caller
                break
        os.kill(pid, signal.SIGKILL)
        assert sorted([first, *(number for number, _ in results)]) == list(range(8))
    assert sorted(map(int, log.read_text("utf-8").split())) == list(range(8)), "a shard was done twice"


@pytest.mark.slow
def test_a_cluster_without_workers_is_not_waited_for_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_GLANCE", 0.2)
    monkeypatch.setattr(cluster, "_WITHOUT", 1.0)
    machines = Machines(tmp_path, workers=1)
    try:
        with cluster.opened(machines.address) as opened:
            results = opened.run(time.sleep, [Shard((seconds,)) for seconds in (0.0, 600.0)])
            next(results)
            machines.workers[0].kill()
            with pytest.raises(MienError, match="no worker has been left for 1 seconds"):
                next(results)
    finally:
        machines.close()


def raises() -> Any:
    raise MienError("photos: not there on a worker")


@pytest.mark.slow
def test_a_cluster_of_this_machine_begins_without_a_word_beside_another(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """Dask's own dashboard would be at port 8787, and warn where that is taken."""
    with ExitStack() as others:
        with suppress(OSError):  # taken already, which does as well
            others.enter_context(socket.create_server(("127.0.0.1", 8787)))
        with cluster.opened("local", workers=1) as opened:
            assert list(opened.run(sum, [Shard(([1, 2],))])) == [(0, 3)]
    assert [str(warning.message) for warning in recwarn] == []


def test_shards_are_named_by_their_content(tmp_path: Path) -> None:
    assert Shard((1, ["a"])).name == Shard((1, ["a"])).name != Shard((1, ["b"])).name
    done = Done(tmp_path / "done")
    done.add("one")
    again = Done(tmp_path / "done")
    assert "one" in again
    assert "two" not in again
    again.forget()
    assert "one" not in Done(tmp_path / "done")


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("10.0.0.1:8786", "local, or the address of a Dask scheduler"),
        ("tcp://127.0.0.1:9", "no Dask scheduler answers there"),
    ],
)
def test_no_cluster_is_one_line(
    fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, line: str
) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE", "1s")
    source, out = plain_file(tmp_path), tmp_path / "out"
    assert line in fails("generate", source, "--out", out, "--cluster", address)
    assert line in fails("project", "generated", source, "--out", out, "--cluster", address)
    assert line in fails("prepare", tmp_path, out / "faces.zip", "--finder", "none", "--cluster", address)
    assert not out.exists()


def test_without_dask_it_says_what_to_install(
    fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    source = plain_file(tmp_path)
    assert ".[cluster]" in fails("generate", source, "--out", tmp_path / "out", "--cluster", "local")
    assert main(["generate", str(source), "--out", str(tmp_path / "out"), "--seeds", "0"]) == 0

"""`mien doctor`: what this machine is, how fast it is, what is missing, and what to do about it."""

import importlib.util
import json as json_text
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from cyclopts import Parameter

from mien import __version__
from mien.core import artefacts, packaged
from mien.core.artefacts import ARTEFACTS
from mien.core.cluster import cores
from mien.core.errors import InputError, install
from mien.core.events import Column, Events, Table, job
from mien.core.network import load_network
from mien.core.packed import encode_png
from mien.core.sampling import draw, latents
from mien.core.types import Batch, Drawn, Phase, Progress, Spec, Trainable
from mien.models import lite
from mien.training.settings import choose, probe

# What `mien doctor --json` measured there, in CPU time, which does not count what neighbours take.
NAMED = "a virtual machine with two cores of an AMD EPYC (AVX-512, bfloat16), November 2026"
STORED = {
    "train lite, 64 px (images/s)": 53.2,
    "draw, 64 px (images/s)": 295.0,
    "write PNG, 64 px (images/s)": 3300.0,
    "multiply matrices (GFLOP/s)": 104.0,
}
_EXTRAS = {
    **{"collect": "scrapy", "study": "sqlalchemy", "curate": "fastapi", "parquet": "pyarrow"},
    **{"export": "onnx", "video": "av", "track": "tensorboard", "cluster": "distributed"},
}
_SECONDS = 1.0  # for each measurement, at least one round
_BATCH = 16
_RESOLUTION = 64
_LEAST_DISK, _LEAST_MEMORY = 5e9, 2e9  # bytes
_MEGABYTES = 32


@job
def doctor(events: Events, *, json: Annotated[bool, Parameter(negative="")] = False) -> dict[str, Any]:
    """Say what this machine is, how fast it is at what mien does, what is missing, and what to do.

    It takes some seconds; other programs that are busy at the same time make it look slower than it is.

    Parameters
    ----------
    json
        Write all of it as JSON.
    """
    report: dict[str, Any] = {
        **{"machine": machine(), "missing": missing(), "speed": speeds(), "fit": fit(), "named": NAMED}
    }
    report["advice"] = advice(report)
    if json:
        events.note(json_text.dumps(report, indent=2))
        return report
    for title, facts in (("machine", report["machine"]), ("missing", report["missing"])):
        rows = tuple((name.replace("_", " "), _shown(value)) for name, value in facts.items())
        events.send(Table((Column(title), Column("", wraps=True)), rows))
    headings = ("speed, one thread", "here", "there", "ratio")
    columns = tuple(Column(heading, numbers=bool(index)) for index, heading in enumerate(headings))
    compared = tuple(_compared(name, value) for name, value in report["speed"].items())
    events.send(Table(columns, compared, caption=f"there: {NAMED}"))
    for line in report["advice"]:
        events.note(line)
    return report


def _compared(name: str, here: float) -> tuple[str, ...]:
    there = STORED.get(name)
    return (name, f"{here:,.4g}", *("--" if there is None else (f"{there:,.4g}", f"{here / there:.2f}")))


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, list) else str(value)


def machine() -> dict[str, Any]:
    """Processor, memory, disk, devices, versions and threads."""
    memory = _memory()
    disk = shutil.disk_usage(Path.cwd())
    return {
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "mien": __version__,
        "torch": torch.__version__,
        "processor": _processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "arithmetic": torch.backends.cpu.get_cpu_capability(),
        "memory_GB": round(memory["MemTotal"] / 1e9, 1),
        "memory_free_GB": round(memory["MemAvailable"] / 1e9, 1),
        "disk_free_GB": round(disk.free / 1e9, 1),
        "devices": _devices(),
    }


def missing() -> dict[str, list[str]]:
    """Artefacts and extras that are not here."""
    return {
        "artefacts": [name for name in ARTEFACTS if artefacts.state(name) != "ready"],
        "extras": [extra for extra, name in _EXTRAS.items() if importlib.util.find_spec(name) is None],
    }


def speeds() -> dict[str, float]:
    """The main operations on one thread: of images, how many a second."""
    trainable, images = _model()
    speed_of = {"train lite, 64 px (images/s)": _BATCH / _quickest(lambda: _step(trainable, images))}
    try:
        generator = load_network(packaged.source_of(None)).network
        z = latents(list(range(64)), generator.z_dim)
        speed_of["draw, 64 px (images/s)"] = 64 / _quickest(lambda: draw(generator, z))
    except InputError:
        pass  # this copy comes without a generator
    noise = np.random.default_rng(0).integers(0, 256, (_RESOLUTION, _RESOLUTION, 3), dtype=np.uint8)
    # Many a round: a single one takes from .16 to .8 ms there, and the best of thousands says little.
    speed_of["write PNG, 64 px (images/s)"] = 64 / _quickest(lambda: [encode_png(noise) for _ in range(64)])
    square = torch.rand(512, 512)
    speed_of["multiply matrices (GFLOP/s)"] = 2 * 512**3 / _quickest(lambda: square @ square) / 1e9
    speed_of["write to disk (MB/s)"] = _MEGABYTES / _disk_seconds()
    return speed_of


def fit() -> dict[str, Any]:
    """What suits this machine: threads, precision, and memory that an image takes in training."""
    trainable, images = _model()
    by_threads = {}
    for threads in dict.fromkeys((1, cores())):
        with _threads(threads):
            by_threads[threads] = _BATCH / _quickest(lambda: _step(trainable, images), time.perf_counter)
    best = max(by_threads, key=lambda threads: by_threads[threads])
    with _threads(best):
        precisions = probe(lambda: _model()[0], _OneBatch(images), torch.device("cpu"), rounds=1)
    return {
        "images_a_second_by_threads": {str(key): round(value, 1) for key, value in by_threads.items()},
        "threads": best,
        "precision": choose(precisions),
        "bytes_an_image": _bytes_an_image(trainable, images),
    }


def advice(report: dict[str, Any]) -> list[str]:
    """What to do, in lines."""
    facts, suits, lacking = report["machine"], report["fit"], report["missing"]
    room = int(facts["memory_free_GB"] * 1e9 / 2 / max(suits["bytes_an_image"], 1))
    lines = [
        f"threads: {suits['threads']} (OMP_NUM_THREADS={suits['threads']}), by measurement",
        f"precision: {suits['precision']}, by measurement (mien train measures again for its own model)",
        f"micro-batch: half of the free memory holds {room:,} images of lite at 64 px"
        + ("" if room >= 64 else f"; train with --micro-batch {max(room, 1)}"),
    ]
    lines += [f"artefacts that are missing: {line}" for line in _remedies(lacking["artefacts"])]
    if lacking["extras"]:
        lines.append(f"extras that are not installed: {install(','.join(lacking['extras']))}")
    if facts["disk_free_GB"] * 1e9 < _LEAST_DISK:
        lines.append(f"disk: only {facts['disk_free_GB']} GB are free here; a run takes some")
    if facts["memory_free_GB"] * 1e9 < _LEAST_MEMORY:
        lines.append(f"memory: only {facts['memory_free_GB']} GB are free; end other programs first")
    if facts["devices"] == ["cpu"]:
        lines.append("no GPU: mien train takes small models by itself; see docs/families.md for their costs")
    return lines


def _remedies(names: list[str]) -> list[str]:
    """How to get these artefacts: some can be fetched, others must be brought."""
    fetched = [name for name in names if ARTEFACTS[name].sources]
    brought = [f"mien artefacts add {name} FILE" for name in names if name not in fetched]
    return [*([f"mien artefacts fetch {' '.join(fetched)}"] if fetched else []), *brought]


class _OneBatch:
    def __init__(self, images: torch.Tensor) -> None:
        self._images = images

    def batch(self, nimg: int, count: int) -> Drawn:
        return Drawn(self._images, None)


def _model() -> tuple[Trainable, torch.Tensor]:
    """lite's quick preset, and a batch for it."""
    config = lite.PRESETS["quick"].model_copy(update={"batch_size": _BATCH})
    rng = torch.Generator().manual_seed(0)
    images = torch.rand((_BATCH, 3, _RESOLUTION, _RESOLUTION), generator=rng) * 2 - 1
    return lite.build(config, Spec(_RESOLUTION)), images.contiguous(memory_format=torch.channels_last)


def _step(trainable: Trainable, images: torch.Tensor) -> None:
    for phase in trainable.phases(Progress(0, 0, 0.0)):
        _backward(trainable, phase, images)


def _backward(trainable: Trainable, phase: Phase, images: torch.Tensor) -> None:
    trainable.optimizers[phase.network].zero_grad(set_to_none=True)
    loss, _ = trainable.loss(phase, Batch(images, None, torch.Generator().manual_seed(0)))
    loss.backward()  # type: ignore[no-untyped-call]


def _bytes_an_image(trainable: Trainable, images: torch.Tensor) -> int:
    """What autograd keeps of an image in the phase that keeps most."""
    most = 0
    for phase in trainable.phases(Progress(0, 0, 0.0)):
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            _backward(trainable, phase, images)
        most = max(most, sum(kept.values()))
    return most // len(images)


def _quickest(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of the quickest of several rounds; process_time does not count what neighbours take."""
    threads = torch.get_num_threads() if clock is time.perf_counter else 1
    best, end = float("inf"), time.perf_counter() + _SECONDS
    with _threads(threads):
        work()
        while True:
            began = clock()
            work()
            best = min(best, clock() - began)
            if time.perf_counter() > end:
                return max(best, 1e-9)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _disk_seconds() -> float:
    """Of writing some megabytes to the folder that one is in, to the disk itself."""
    path = Path.cwd() / f".mien-doctor-{os.getpid()}"
    data = os.urandom(1_000_000)
    try:
        began = time.perf_counter()
        with open(path, "wb") as file:
            for _ in range(_MEGABYTES):
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return time.perf_counter() - began
    except OSError as error:
        raise InputError(
            f"{Path.cwd()}: cannot be written ({error.strerror}); go to a folder of yours"
        ) from error
    finally:
        path.unlink(missing_ok=True)


def _memory() -> dict[str, int]:
    """Bytes by name, as /proc/meminfo has them; total and free alike where there is none."""
    path = Path("/proc/meminfo")
    if not path.exists():
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return {"MemTotal": total, "MemAvailable": total}
    parts = (line.split() for line in path.read_text().splitlines())
    return {part[0].rstrip(":"): int(part[1]) * 1024 for part in parts}


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _devices() -> list[str]:
    devices = ["cpu"]
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        devices.append(f"cuda:{number} {facts.name} {facts.total_memory / 1e9:.0f} GB")
    return [*devices, *(["mps"] if torch.backends.mps.is_available() else [])]

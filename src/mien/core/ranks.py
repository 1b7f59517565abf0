"""Several processes that train one model: who they are, and which rows of a batch are whose.

A launcher (torchrun) starts them; each is a rank. Whatever is drawn or measured over a batch is drawn and
measured over all rows of all ranks, so that two ranks with 32 images each train as one with 64. A process
that trains alone needs none of this: every function then gives back what it gets.
"""

import io
import itertools
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from mien.core import launched as launched_by
from mien.core.errors import InputError, MienError

T = TypeVar("T")
_PATIENCE = timedelta(hours=2)  # while one rank decodes a dataset, the others wait
_SEARCH = 300.0  # seconds for which a rank looks for the first
_PORT = "mien/port"
_MOST_TEXT = 2000  # bytes of a text that ranks tell each other
_SET_BY_LAUNCHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class LostRankError(MienError):
    """Another process of this training ended or cannot be reached."""


@dataclass(frozen=True)
class Share:
    """Which rows of a batch are this process's. counts: rows of every rank, in order."""

    counts: tuple[int, ...]
    rank: int

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def own(self) -> int:
        return self.counts[self.rank]

    @property
    def start(self) -> int:
        return sum(self.counts[: self.rank])


_share: Share | None = None
_alone = False


def count() -> int:
    """How many processes train together."""
    if _alone:
        return 1
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this one, from 0."""
    return dist.get_rank() if count() > 1 else 0


@contextmanager
def alone() -> Iterator[None]:
    """In this context, compute as if there were no other rank."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def leads() -> bool:
    """Whether this process writes and speaks for all."""
    return rank() == 0


def local_rank() -> int:
    """The number of this process on its machine, which is also that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0)) if count() > 1 else 0


# --- Rows ---


def share_of(total: int) -> Share:
    """`total` rows dealt out as evenly as they go, in order. InputError where a rank would have none."""
    ranks = count()
    if total < ranks:
        raise InputError(f"a batch of {total} images is too small for {ranks} processes; start fewer")
    edges = [total * r // ranks for r in range(ranks + 1)]
    return Share(tuple(after - before for before, after in itertools.pairwise(edges)), rank())


def parts_of(share: Share, most: int | None) -> list[Share]:
    """The same rows in as few parts as leave no rank more than `most` (at least one) rows of each."""
    largest, smallest = max(share.counts), min(share.counts)
    parts = 1 if most is None else min(-(-largest // most), smallest)
    sizes = [[rows // parts + (part < rows % parts) for part in range(parts)] for rows in share.counts]
    return [Share(counts, share.rank) for counts in zip(*sizes, strict=True)]


@contextmanager
def sharing(share: Share) -> Iterator[None]:
    """In this context batches are `share.own` rows of `share.total`."""
    global _share
    before, _share = _share, share if count() > 1 else None
    try:
        yield
    finally:
        _share = before


def current() -> Share | None:
    """The share of the batch in hand; None in a process that computes alone."""
    return _share


def total(rows: int) -> int:
    """How many rows all ranks have, of which these are this one's."""
    _check(rows)
    return rows if _share is None else _share.total


def rows(total: int) -> slice:
    """Which rows of a whole batch are this rank's."""
    if _share is None:
        return slice(0, total)
    if total != _share.total:
        raise ValueError(f"a batch of {total} rows, and the ranks share {_share.total}")
    return slice(_share.start, _share.start + _share.own)


@contextmanager
def dealt(rows: int) -> Iterator[tuple[int, float]]:
    """In this context the batch is `rows` other rows, dealt out anew: how many are this rank's, their weight.

    A loss counts by the share of the batch around; times this weight it counts by the share of these rows.
    """
    around = _share
    if around is None:
        yield rows, 1.0
        return
    share = share_of(rows)
    with sharing(share):
        yield share.own, share.own / share.total * around.total / around.own


def own(x: Tensor, dim: int = 0) -> Tensor:
    """This process's rows of a whole batch."""
    return x if _share is None else x.narrow(dim, _share.start, _share.own)


def whole(x: Tensor) -> Tensor:
    """The rows of all ranks, in order, of x: this one's. Differentiable any number of times."""
    if _share is None:
        return x
    _check(len(x))
    parts = [x.new_zeros((_share.start, *x.shape[1:])), x]
    parts.append(x.new_zeros((_share.total - _share.start - _share.own, *x.shape[1:])))
    return summed(torch.cat(parts))


def mean(x: Tensor) -> Tensor:
    """The mean over the rows of all ranks."""
    return x.mean(dim=0) if _share is None else summed(x.sum(dim=0)) / _share.total


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """The mean over all ranks' rows where these weigh unalike, as this rank's part of a loss.

    A loss counts by its share of the batch's rows, so that a plain mean needs nothing of this.
    """
    local = (values * weights).sum()
    if _share is None:
        return local / weights.sum().clamp(min=1)
    return local / summed(weights.detach().sum()).clamp(min=1) * (_share.total / _share.own)


def drawn(
    draw: Callable[..., Tensor],
    shape: Sequence[int],
    rng: torch.Generator | None,
    device: torch.device | None = None,
    *,
    dim: int = 0,
) -> Tensor:
    """Random numbers for this rank's rows, dimension `dim` of `shape`: those that one process would draw.

    draw: torch.rand, torch.randn or the like. All ranks draw for all rows and keep their own.
    """
    device = device if rng is None else rng.device
    if _share is None:
        return draw(shape, generator=rng, device=device)
    _check(shape[dim])
    sizes = [_share.total if index == dim else size for index, size in enumerate(shape)]
    return own(draw(sizes, generator=rng, device=device), dim)


def _check(rows: int) -> None:
    if _share is not None and rows != _share.own:
        raise ValueError(f"{rows} rows, and this rank has {_share.own} of {_share.total}")


# --- Sums over all ranks ---


def summed(x: Tensor) -> Tensor:
    """The sum over all ranks. Its derivative is the sum over all ranks again, and so on."""
    return x if count() == 1 else cast(Tensor, _Summed.apply(x))  # type: ignore[no-untyped-call]


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _reduced(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return summed(gradients[0])


def _reduced(x: Tensor) -> Tensor:
    total = x.detach().clone(memory_format=torch.contiguous_format)
    with _in_touch():
        dist.all_reduce(total)
    return total


@torch.no_grad()
def sum_gradients(gradients: Sequence[Tensor]) -> None:
    """Replace gradients by their sums over all ranks, all at once."""
    if count() == 1 or not gradients:
        return
    flat = _reduced(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view(gradient.shape))


def any_of(flag: bool) -> bool:
    """Whether it is so in any of them."""
    return flag if count() == 1 else bool(_reduced(torch.tensor([float(flag)])) > 0)


def first(value: float) -> float:
    """The number as the first process has it."""
    if count() == 1:
        return value
    return float(_reduced(torch.tensor([value if leads() else 0.0], dtype=torch.float64)))


# --- Agreement ---


def led(make: Callable[[], T]) -> T:
    """What `make` gives in the first process; all others take that over, or its MienError.

    It must be of plain values and tensors.
    """
    if count() == 1:
        return make()
    value, error = _tried(make) if leads() else (None, None)
    _raise_if_any(error)
    if not leads():
        return cast(T, torch.load(io.BytesIO(_sent(b"")), map_location="cpu", weights_only=True))
    stream = io.BytesIO()
    torch.save(value, stream)
    _sent(stream.getvalue())
    return cast(T, value)


def each(make: Callable[[], T]) -> T:
    """What `make` gives in each process. Where one raises a MienError, all do.

    The first process of a machine comes first, so that the others find its caches.
    """
    if count() == 1:
        return make()
    value, error = _tried(make) if local_rank() == 0 else (None, None)
    _raise_if_any(error)
    if local_rank():
        value, error = _tried(make)
    _raise_if_any(error)
    return cast(T, value)


def check_alike(what: str, texts: dict[str, str]) -> None:
    """Raise InputError unless all ranks have the same texts, saying which differ."""
    for name, text in texts.items() if count() > 1 else ():
        all_texts = _texts(text)
        other = next((r for r, own_text in enumerate(all_texts) if own_text != all_texts[0]), None)
        if other is not None:
            raise _for_all(
                InputError(
                    f"{what}: the processes differ in {name}: {all_texts[0]} in the first,"
                    f" {all_texts[other]} in number {other}"
                )
            )


def _tried(make: Callable[[], T]) -> tuple[T | None, MienError | None]:
    try:
        return make(), None
    except MienError as error:
        return None, error


def _raise_if_any(error: MienError | None) -> None:
    """Raise the first error of any rank in all of them."""
    kind = "" if error is None else "input" if isinstance(error, InputError) else "failure"
    for number, message in enumerate(_texts(f"{kind}:{error or ''}")):
        kind, _, text = message.partition(":")
        if kind:
            where = f"process {number}: " if number else ""
            raise _for_all((InputError if kind == "input" else MienError)(where + text)) from error


def _for_all(error: MienError) -> MienError:
    error.raised_by_all = True
    return error


def _texts(text: str) -> list[str]:
    """The texts of all ranks, cut to some length."""
    own_bytes = torch.zeros(_MOST_TEXT, dtype=torch.uint8)
    data = text.encode()[:_MOST_TEXT]
    own_bytes[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else own_bytes[:0]
    everyone = [torch.empty_like(own_bytes) for _ in range(count())]
    with _in_touch():
        dist.all_gather(everyone, own_bytes)
    return [bytes(each.tolist()).rstrip(b"\0").decode(errors="replace") for each in everyone]


def _sent(data: bytes) -> bytes:
    """The first process's bytes."""
    size = int(first(float(len(data))))
    buffer = torch.empty(size, dtype=torch.uint8)
    if leads():
        buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    with _in_touch():
        dist.broadcast(buffer, 0)
    return buffer.numpy().tobytes()


@contextmanager
def _in_touch() -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = re.sub(r"^\[\S+\] ", "", " ".join(str(error).split())).partition(". ")[0][:200]
        lost = LostRankError(
            f"{launched_by.loss()}, or the network did ({reason}); the same command goes on"
            " from the last state, and torchrun --max-restarts does that by itself"
        )
        lost.raised_by_all = not launched_by.speaks()
        raise lost from error


# --- Launching ---


def launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return all(name in os.environ for name in _SET_BY_LAUNCHER) and int(os.environ["WORLD_SIZE"]) > 1


def restarted() -> bool:
    """Whether torchrun started these processes anew after one of them was lost."""
    return launched() and int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


@contextmanager
def joined(device: str) -> Iterator[None]:
    """In this context, be one of the processes that a launcher started, if one did.

    device: of the computation, "auto" where that is open. gloo joins CPUs, nccl GPUs.
    """
    if not launched() or count() > 1:
        yield
        return
    on_gpu = device.startswith(("auto", "cuda")) and torch.cuda.is_available()
    number, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    with _in_touch():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=_store(number, world),
            rank=number,
            world_size=world,
            timeout=_PATIENCE,
        )
    try:
        yield
    finally:
        dist.destroy_process_group()


def _store(number: int, world: int) -> TCPStore:
    """Where ranks find each other: kept by the first of them, at a port that the launcher's store knows.

    torchrun's own store outlives a restart, and holds the addresses of processes that are dead. So may the
    port: then nobody answers there, and it is asked for again.
    """
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return TCPStore(host, port, world, is_master=number == 0, timeout=_PATIENCE)
    launcher = TCPStore(host, port, is_master=False)
    if number == 0:
        store = TCPStore(host, 0, world, is_master=True, timeout=_PATIENCE, wait_for_workers=False)
        launcher.set(_PORT, str(store.port))
        return store
    end = time.monotonic() + _SEARCH
    while True:
        try:
            port = int(launcher.get(_PORT))
            socket.create_connection((host, port), timeout=5).close()  # where none listens torch is loud
            store = TCPStore(host, port, world, timeout=timedelta(seconds=5))
        except (OSError, RuntimeError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
            continue
        store.set_timeout(_PATIENCE)
        return store

"""How hostile checkpoints end when each goes through the whole sandbox, as `mien import` reads it.

    PYTHONPATH=src:tests python benchmarks/hostile_pickles.py [--every N] [--jobs 2]

The files are those of tests/interop/hostile.py; a test there proves that Python's own unpickler does what
they ask. The test suite forks one interpreter for all of them, which spares the imports; here `sandbox.read`
starts one for each. Prints how each ended, with the processor seconds of reading (what an interpreter needs
to start is measured first and taken off) and the peak memory of its process (libraries included). Exits with
1 where anything was carried out, was read as a network, or took more than 10 s or 2 GB.
"""

import argparse
import multiprocessing
import pickle
import resource
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from interop import hostile
from mien.core.errors import InputError
from mien.interop import convert, sandbox

SECONDS, MEGABYTES = 10.0, 2000.0
HONEST = "source with code"  # a whole checkpoint, read as one; its embedded text alone has intentions
PLAIN = "(a plain dictionary)"
STARTS = 3  # measured


@dataclass(frozen=True)
class End:
    """How reading a file ended. words: of the refusal, "" where it was read. seconds: with the start."""

    title: str
    words: str
    seconds: float
    megabytes: float


def read(job: tuple[str, Path]) -> End:
    """Read one file. In a process of its own, so that usage of children is that of this one's reader."""
    title, path = job
    words = ""
    try:
        convert.convert(sandbox.read(path, ["G_ema"]))
    except InputError as error:
        words = str(error).removeprefix(f"{path}: ")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return End(title, words, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def written(folder: Path, canary: Path, every: int) -> list[tuple[str, Path]]:
    """The files with their names: first plain ones, then the hostile."""
    found = [(PLAIN, pickle.dumps({}))] * STARTS + list(hostile.pickles(str(canary)).items())[::every]
    paths = [folder / f"{index:03d}.pkl" for index in range(len(found))]
    for path, (_, data) in zip(paths, found, strict=True):
        path.write_bytes(data)
    return [(title, path) for path, (title, _) in zip(paths, found, strict=True)]


def wrong(end: End, start: float) -> str:
    """What must not be, in a word."""
    if bool(end.words) == (end.title == HONEST):
        return "read" if end.title != HONEST else "refused"
    if end.seconds - start > SECONDS:
        return "slow"
    return "large" if end.megabytes > MEGABYTES else ""


def report(ends: list[End], start: float) -> int:
    """Print the table; how many went wrong."""
    table = Table("file", "s", "MB", "ended")
    for end in ends:
        told = wrong(end, start) or end.words[:90] or "read as data"
        table.add_row(
            escape(end.title), f"{max(end.seconds - start, 0):.1f}", f"{end.megabytes:.0f}", escape(told)
        )
    Console(width=150).print(table)
    return sum(bool(wrong(end, start)) for end in ends)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="only every N-th file")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mien-hostile-") as name:
        folder, canary = Path(name), Path(name) / "canary"
        jobs = written(folder, canary, options.every)
        context = multiprocessing.get_context("fork")
        with context.Pool(options.jobs, maxtasksperchild=1) as pool:
            ends = pool.map(read, jobs, chunksize=1)
        ran = canary.exists()
    start = statistics.median(end.seconds for end in ends[:STARTS])
    hostile_ends = ends[STARTS:]
    failed = report(hostile_ends, start)
    seconds = max(end.seconds for end in hostile_ends) - start
    megabytes = max(end.megabytes for end in hostile_ends)
    done = "SOMETHING" if ran else "nothing"
    print(
        f"{len(hostile_ends)} files; carried out: {done}; otherwise wrong: {failed};"
        f" at most {seconds:.1f} s and {megabytes:.0f} MB each; a start costs {start:.1f} s"
    )
    return int(ran or failed > 0)


if __name__ == "__main__":
    sys.exit(main())

"""How many images does transfer save? Training from scratch and from another model's weights, side by side.

    python benchmarks/transfer.py [--kimg 40] [--base RUN] [--freeze-d 0 1]

A base model is trained on rendered heads (or taken with --base: a run folder or a generator file). Then the
same command trains on the target once from scratch and once --from the base for each --freeze-d, with the
same seed, order and budget of images. Every --every kimg a generator is kept and its kernel distance to the
target through the mesh measured, all in one run; printed is at which image count transfer is as good as
scratch ends.

The target is a prepared zip, or a folder of photos, which is prepared first.
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mien.core.checkpoint import read_header
from mien.core.run import RunFolder
from mien.evaluation.measure import measure
from mien.prepare.prepare import prepare
from mien.terminal import Terminal, show
from mien.training.command import TrainOptions, train
from mien.training.start import NOTHING

Scores = dict[int, float]  # images seen -> kernel distance through the mesh


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/photos"))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--model", default="lite")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--base", type=Path, help="a run folder or generator file to take")
    parser.add_argument("--base-data", default="rendered:4000:64:0")
    parser.add_argument("--base-kimg", type=float, default=100)
    parser.add_argument("--kimg", type=float, default=40, help="of each training on the target")
    parser.add_argument("--every", type=int, default=4, help="kimg between two measurements")
    parser.add_argument("--freeze-d", type=int, nargs="+", default=[0])
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--count", type=int, default=1000, help="fakes for each score")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    console = Console()
    data = prepared(arguments.data, arguments.size, console)
    base = arguments.base or run(arguments, console, arguments.base_data, arguments.base_kimg).path
    ways = {"scratch": run(arguments, console, data, arguments.kimg)}
    for held in arguments.freeze_d:
        name = f"transfer, {held} held" if held else "transfer"
        ways[name] = run(arguments, console, data, arguments.kimg, base=base, held=held)
    scores = {name: measured(way, data, arguments.count, console) for name, way in ways.items()}
    console.print(table(scores))
    for name in list(scores)[1:]:
        console.print(verdict(name, scores["scratch"], scores[name]))


def prepared(data: Path, size: int, console: Console) -> str:
    """The zip, or one made of a folder of photos."""
    if data.is_file():
        return str(data)
    path = Path(tempfile.gettempdir()) / f"{data.name}-{size}.zip"
    if not path.exists():
        prepare(str(data), path, size=(size,)).run(Terminal(console))
    return str(path)


def run(
    arguments: argparse.Namespace,
    console: Console,
    data: str,
    kimg: float,
    *,
    base: Path | None = None,
    held: int = 0,
) -> RunFolder:
    options = TrainOptions(
        model=arguments.model,
        preset=arguments.preset,
        precision=arguments.precision,  # the same for all, so that nothing but the weights differs
        kimg=kimg,
        snapshot_kimg=arguments.every,
        out=arguments.out,
        start=base or NOTHING,
        freeze_d=held,
    )
    return show(train(data, options=options), console)


def measured(run: RunFolder, data: str, count: int, console: Console) -> Scores:
    """The score of every generator that the run kept."""
    scores: Scores = {}
    for path in run.generators():
        (score,) = measure(path, data, networks=["mesh"], metrics=["kernel"], num_fake=count, floor=False)
        scores[read_header(path).nimg] = score.value
        console.print(f"{run.name}: {read_header(path).nimg / 1000:.1f} kimg, {score.value:.4g}")
    return scores


def table(scores: dict[str, Scores]) -> Table:
    grid = Table(*("kimg", *scores), title="Kernel distance through the mesh; lower is better")
    for nimg in sorted({nimg for way in scores.values() for nimg in way}):
        grid.add_row(
            f"{nimg / 1000:.1f}", *(f"{way[nimg]:.4g}" if nimg in way else "" for way in scores.values())
        )
    return grid


def verdict(name: str, scratch: Scores, transfer: Scores) -> str:
    """At which image count transfer is as good as scratch at its end."""
    end, total = scratch[max(scratch)], max(scratch)
    reached = next((nimg for nimg in sorted(transfer) if transfer[nimg] <= end), None)
    if reached is None:
        return f"{name}: never as good as scratch at {total / 1000:.0f} kimg ({end:.4g})"
    return (
        f"{name}: {reached / 1000:.1f} kimg are as good as {total / 1000:.0f} kimg from scratch ({end:.4g}):"
        f" {reached / total:.0%} of the images"
    )


if __name__ == "__main__":
    main()

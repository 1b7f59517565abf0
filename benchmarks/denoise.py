"""Does it matter that a denoiser never sees a clean picture? Noisy and clean targets side by side.

    python benchmarks/denoise.py [--data faces.zip] [--kimg 48] [--preset quick] [--set noise=gaussian]

Trains twice, with the same seed, order, inputs and budget of images: once against pictures with noise of
their own, once against the clean ones. Both are measured on the same people, who were kept out, spoilt by the
same noise as a file would hold it (8 bits, clipped), beside non-local means and medians with settings that
suit those very pictures best. The same command again finds its runs and only tells what was found.

What noisy targets cost shrinks as more pictures are seen for each number of the network. On 3,600 faces, 64
px, sigma 25, 48 kimg, with --set batch_size=16 --set width=12 --set ema_half_life_nimg=3000: 0.10 dB. At the
preset's width of 24: 0.20 dB after 64 kimg, where both are 1.1 dB better.

The data is a prepared zip, or a folder of photos, which is prepared first.
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from mien.prepare.prepare import prepare
from mien.terminal import Terminal, show
from mien.training.command import TrainOptions, train
from mien.translation.denoiser_kind import DenoiserExamination


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/faces"))
    parser.add_argument("--size", type=int, default=64, help="to which a folder of photos is prepared")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--set", action="append", default=[], help="a number of the family: strength=15")
    parser.add_argument("--kimg", type=float, default=48, help="of either training")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--targets", nargs="+", default=["noisy", "clean"], choices=["noisy", "clean"])
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    console = Console()
    data = prepared(arguments.data, arguments.size, console)
    found = {targets: examined(arguments, data, targets, console) for targets in arguments.targets}
    terminal = Terminal(console)
    for one in found.values():
        for event in one.tables():
            terminal(event)
        console.print(against_filters(one))
    if len(found) == 2:
        console.print(against_clean(found["noisy"], found["clean"]))


def prepared(data: Path, size: int, console: Console) -> str:
    """The zip, or one made of a folder of photos."""
    if data.is_file():
        return str(data)
    path = Path(tempfile.gettempdir()) / f"{data.name}-{size}.zip"
    if not path.exists():
        prepare(str(data), path, size=(size,)).run(Terminal(console))
    return str(path)


def examined(arguments: argparse.Namespace, data: str, targets: str, console: Console) -> DenoiserExamination:
    """What a run found when it ended."""
    options = TrainOptions(
        model="noise2noise",
        preset=arguments.preset,
        set=(*arguments.set, f"targets={targets}"),
        precision=arguments.precision,  # the same for both, so that nothing but the targets differs
        kimg=arguments.kimg,
        out=arguments.out,
    )
    run = show(train(data, options=options), console)
    found = DenoiserExamination.newest(run)
    assert found is not None
    return found


def against_filters(found: DenoiserExamination) -> str:
    """By how much the model is ahead of the best filter, at each noise."""
    told = []
    for trial in found.trials:
        best = min(trial.figures[2:], key=lambda figure: figure.ahead)
        told.append(f"{trial.noise}: {best.ahead:+.2f} ± {best.give_or_take:.2f} dB over {best.name}")
    return f"{found.targets} targets, {'; '.join(told)}"


def against_clean(noisy: DenoiserExamination, clean: DenoiserExamination) -> str:
    """How far noisy targets fall behind clean ones, at each noise."""
    pairs = zip(noisy.trials, clean.trials, strict=True)
    gaps = [f"{one.noise}: {one.figures[1].psnr - two.figures[1].psnr:+.3f} dB" for one, two in pairs]
    return f"noisy against clean targets: {'; '.join(gaps)}"


if __name__ == "__main__":
    main()

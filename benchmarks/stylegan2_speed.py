"""StyleGAN2 at 64 px against plain float32 NCHW versions of it: training and drawing, side by side.

    python benchmarks/stylegan2_speed.py [--rounds 3]

Channel base 2048, batch 32, mapping depth 2, R1 every 16 steps, path length every 4. The variants take turns
of 16 steps, a whole cycle of the lazy phases, so that a noisy neighbour slows all. Drawing is timed on
batches of 32. Three versions are plain: the network written from the papers with torch's functions alone
(`stylegan2_plain`), its styles as grouped convolutions and as factors on features, and our own code, its
faster convolutions and filters included, run in float32 NCHW.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from mien.core.checkpoint import NetworkHeader
from mien.core.types import Batch, Drawn, Phase, Spec
from mien.interop import onnx_file
from mien.models import stylegan2
from mien.models.stylegan2 import StyleGan2
from mien.training.loop import Budget, Step, Training, train
from stylegan2_plain import plain

CPU, SPEC, BATCH, TURN = torch.device("cpu"), Spec(64), 32, 16
CONFIG = stylegan2.PRESETS["small"]
GROUPED, PAPERS, OURS = "papers, grouped", "papers, float32 NCHW", "ours, float32 NCHW"
DRAWN = 640  # pictures a turn of drawing


class Noise:
    """Batches of random pictures in one memory layout."""

    def __init__(self, layout: torch.memory_format) -> None:
        self._layout = layout

    def batch(self, nimg: int, count: int) -> Drawn:
        rng = torch.Generator().manual_seed(nimg)
        images = torch.rand(count, 3, 64, 64, generator=rng) * 2 - 1
        return Drawn(images.contiguous(memory_format=self._layout), None)


def check(grouped: bool) -> None:
    """A version from the papers must be the same network: pictures, and the gradients of every phase."""
    ours, theirs = stylegan2.build(CONFIG, SPEC), plain(stylegan2.build(CONFIG, SPEC), grouped=grouped)
    for name, network in ours.networks.items():
        theirs.networks[name].load_state_dict(network.state_dict())
    z, real = torch.randn(8, CONFIG.z_dim), torch.randn(8, 3, 64, 64)
    with torch.no_grad():
        images, same = (family.networks["g"](z) for family in (ours, theirs))
    torch.testing.assert_close(same, images, rtol=1e-4, atol=1e-4)
    for name, network in {"g": "g", "path": "g", "d": "d", "r1": "d"}.items():
        norms = []
        for family in (ours, theirs):
            batch = Batch(real, None, torch.Generator().manual_seed(0))
            family.loss(Phase(name, network), batch)[0].backward()
            weights = family.networks[network].parameters()
            norms.append(torch.nn.utils.get_total_norm([w.grad for w in weights if w.grad is not None]))
            for every in family.networks.values():
                every.zero_grad()
        torch.testing.assert_close(*norms, rtol=1e-3, atol=0)


def trained(
    precision: torch.dtype,
    layout: torch.memory_format,
    *,
    written: Callable[[StyleGan2], StyleGan2] = lambda x: x,
) -> Iterator[Step]:
    torch.manual_seed(0)
    training = Training(written(stylegan2.build(CONFIG, SPEC)), 0, CPU, precision)
    for network in (*training.trainable.networks.values(), *training.averages.networks.values()):
        network.to(memory_format=layout)
    return train(training, Noise(layout), Budget(nimg=10**9))


def drawers(folder: Path) -> dict[str, Callable[[torch.Tensor], object]]:
    """Ways of drawing the same generator."""
    torch.manual_seed(0)
    written = plain(stylegan2.build(CONFIG, SPEC)).networks["g"].eval().requires_grad_(False)
    g = stylegan2.build_generator(CONFIG, SPEC).eval().requires_grad_(False)
    path = folder / "g.onnx"
    header = NetworkHeader(
        family="stylegan2", config=CONFIG.model_dump(), spec=SPEC, nimg=0, tool="benchmark"
    )
    onnx_file.write(path, g, header, "benchmark")
    exported = onnx_file.OnnxGenerator(path)
    last = stylegan2.build_generator(CONFIG, SPEC).eval().requires_grad_(False)
    last.load_state_dict(g.state_dict())
    last.to(memory_format=torch.channels_last)

    def low(z: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return last(z)

    return {
        PAPERS: written,
        OURS: g,
        "float32 channels last": last,
        "bf16 channels last": low,
        "onnx": exported,
    }


def turns(timed: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Images a second of each, `rounds` times in turn."""
    found: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, run in timed.items():
            found[name].append(run())
    return found


def table(title: str, found: dict[str, list[float]]) -> None:
    plain = [name for name in (GROUPED, PAPERS, OURS) if name in found]
    print(f"\n{title:22}   best  median  times {', times '.join(plain)} (medians of turns)")
    for name, speeds in found.items():
        ratios = [
            statistics.median(a / b for a, b in zip(speeds, found[each], strict=True)) for each in plain
        ]
        figures = "  ".join(f"{ratio:10.2f}" for ratio in ratios)
        print(f"{name:22}  {max(speeds):5.1f}  {statistics.median(speeds):6.1f}  {figures}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    for grouped in (False, True):
        check(grouped)
    runs = {
        GROUPED: trained(
            torch.float32, torch.contiguous_format, written=lambda family: plain(family, grouped=True)
        ),
        PAPERS: trained(torch.float32, torch.contiguous_format, written=plain),
        OURS: trained(torch.float32, torch.contiguous_format),
        "float32 channels last": trained(torch.float32, torch.channels_last),
        "bf16 channels last": trained(torch.bfloat16, torch.channels_last),
    }

    def stepping(steps: Iterator[Step]) -> float:
        begun = time.perf_counter()
        for _ in range(TURN):
            next(steps)
        return TURN * BATCH / (time.perf_counter() - begun)

    def drawing(draw: Callable[[torch.Tensor], object]) -> float:
        z = torch.randn(BATCH, CONFIG.z_dim)
        begun = time.perf_counter()
        with torch.no_grad():
            for _ in range(DRAWN // BATCH):
                draw(z)
        return DRAWN / (time.perf_counter() - begun)

    for steps in runs.values():
        for _ in range(4):  # what is done once stays out; every turn is a whole cycle, wherever it begins
            next(steps)
    table("training, img/s", turns({n: lambda s=s: stepping(s) for n, s in runs.items()}, rounds))
    with tempfile.TemporaryDirectory() as folder:
        ways = drawers(Path(folder))
        for draw in ways.values():
            drawing(draw)
        table("drawing, img/s", turns({n: lambda d=d: drawing(d) for n, d in ways.items()}, rounds))


if __name__ == "__main__":
    main()

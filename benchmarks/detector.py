"""Tables of a detector: by source, psi, JPEG quality and size; false alarms on real pictures alone.

    python benchmarks/detector.py [DETECTOR] --real DIR... --synthetic SOURCE... [--count 600]
    python benchmarks/detector.py --leave-one-out --real DIR... --synthetic SOURCE... --unseen DIR...

DETECTOR: a run folder or file of `mien detector train`; the packaged one by default. Sources as there. The
AUC of each synthetic source is against all the real ones, after the same history. With --leave-one-out a
detector is trained without each synthetic source in turn (or those named by --left-out), on the real ones'
training part, and tested on that source and on --also against their test part and against --unseen, real
pictures of other sources, whose false alarms it counts; the same command again goes on where it stopped.
--tested: faces drawn of a generator to test on. Faces of a source are found once and kept in the cache.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from mien.core.events import Events
from mien.core.network import load_network
from mien.core.reencode import HISTORIES, Change, jpeg, shrunk
from mien.datasets.opening import open_dataset
from mien.detection.crops import FRESH, Crops, crops_of
from mien.detection.judge import Detector, source_of
from mien.detection.scores import FALSE_ALARMS, SourceScore, by_source, part_of, score_sources, share
from mien.detection.train import train
from mien.models.detector import KIND
from mien.nn.forensic import ForensicNet

_JPEG = {f"JPEG {quality}": (lambda pixels, q=quality: jpeg(pixels, q)) for quality in (95, 75, 50, 30)}
_SIZE = {f"{size:.0%} size": (lambda pixels, s=size: shrunk(pixels, s)) for size in (0.75, 0.5, 0.35)}
_PLAIN: dict[str, Change] = {"as it is": HISTORIES["as it is"]}
_BOTH: dict[str, Change] = {"JPEG 75, half size": HISTORIES["JPEG 75, half size"]}
_ASKED = {name: HISTORIES[name] for name in ("as it is", "JPEG 75", "half size", "JPEG 75, half size")}
_VERDICTS = 200  # faces of each real source that get a whole verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("detector", type=Path, nargs="?")
    parser.add_argument("--real", nargs="+", required=True)
    parser.add_argument("--synthetic", nargs="+", required=True)
    parser.add_argument("--count", type=int)
    parser.add_argument("--leave-one-out", action="store_true")
    parser.add_argument("--left-out", nargs="*")
    for name in ("--also", "--unseen"):
        parser.add_argument(name, nargs="*", default=[])
    parser.add_argument("--tested", type=int, default=600)
    parser.add_argument("--kimg", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=Path("detectors"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.leave_one_out:
        return leave_one_out(arguments)
    network = load_network(source_of(arguments.detector), KIND).network
    real, synthetic = (
        [crops_of(source, Events(), count=arguments.count, first_seed=FRESH) for source in sources]
        for sources in (arguments.real, arguments.synthetic)
    )
    named = {_name(crops): crops.pixels for crops in synthetic}
    for title, histories in (("JPEG", _PLAIN | _JPEG), ("size", _SIZE | _BOTH)):
        scores, *_ = score_sources(network, {_name(c): c.pixels for c in real}, named, histories=histories)
        show(f"by {title}: AUC (95 %), average precision, share called synthetic", scores)
    by_psi = {f"{_name(c)} {psi}": c.pixels[at] for c in synthetic for psi, at in _psis(c).items()}
    if by_psi:
        scores, *_ = score_sources(network, {_name(c): c.pixels for c in real}, by_psi, histories=_PLAIN)
        show("by psi", [score for score in scores if score.synthetic])
    verdicts(network, real, synthetic)


def verdicts(network: ForensicNet, real: list[Crops], synthetic: list[Crops]) -> None:
    """Shares of the three verdicts, as `mien detect` gives them."""
    detector = Detector(network, "")
    print(f"\nverdicts at {FALSE_ALARMS:.0%} promised false alarms: synthetic (95 %), unsure")
    for crops in (*real, *synthetic):
        where = np.linspace(0, len(crops) - 1, min(_VERDICTS, len(crops))).astype(int)
        told = [detector.judge(crops.pixels[index], 64.0, explain=False).verdict for index in where]
        called = share(told.count("synthetic"), len(told))
        print(
            f"  {_name(crops):28s} n={len(told):4d}  {called.value:6.1%}"
            f" ({called.low:.1%} to {called.high:.1%})  {told.count('unsure') / len(told):6.1%}"
        )


def leave_one_out(arguments: argparse.Namespace) -> None:
    """A detector without each synthetic source in turn."""
    unseen = [crops_of(source, Events(), count=arguments.count) for source in arguments.unseen]
    for left_out in arguments.left_out or arguments.synthetic:
        others = tuple(source for source in arguments.synthetic if source != left_out)
        out = arguments.out / f"without-{Path(left_out).stem}"
        run = train(
            real=tuple(arguments.real),
            synthetic=others,
            out=out,
            count=arguments.count,
            kimg=arguments.kimg,
            device="cpu",
        ).run()
        network = load_network(run.path, KIND).network
        dataset = open_dataset(str(out / "faces.zip"))
        tested = {
            Path(source).name: crops_of(source, Events(), count=_drawn(source, arguments), first_seed=FRESH)
            for source in (left_out, *arguments.also)
        }
        fakes = {name: crops.pixels for name, crops in tested.items()}
        title = f"without {Path(left_out).name}, {arguments.kimg:g} kimg"
        real, known = by_source(dataset, part_of(dataset, "test"))
        _, error, _ = score_sources(network, real, known, histories=_PLAIN)
        scores, *_ = score_sources(network, real, known | fakes, histories=_ASKED)
        show(f"{title}: kept-out faces, calibration error of its own sources {error:.3f}", scores)
        real = {_name(each): each.pixels for each in unseen}
        scores, *_ = score_sources(network, real, fakes, histories=_ASKED)
        show(f"{title}: real pictures of other sources", scores)


def _drawn(source: str, arguments: argparse.Namespace) -> int | None:
    """How many faces of a source are tested on: of a generator as many as asked for."""
    path = Path(source)
    is_generator = path.suffix == ".safetensors" or (path / "config.json").is_file() or source == "packaged"
    return arguments.tested if is_generator else arguments.count


def show(title: str, scores: list[SourceScore]) -> None:
    """One line a score."""
    print(f"\n{title}")
    for score in scores:
        ranked = ""
        if score.auc is not None:
            ranked = f"{score.auc.value:.3f} ({score.auc.low:.3f} to {score.auc.high:.3f})"
            ranked += f"  AP {score.average_precision:.3f}"
        called = f"{score.called.value:6.1%} ({score.called.low:.1%} to {score.called.high:.1%})"
        kind = "synthetic" if score.synthetic else "real"
        told = f"{score.source:28s} {kind:9s} n={score.count:4d}  {score.history:20s} {ranked:40s} {called}"
        print(f"  {told}", flush=True)


def _psis(crops: Crops) -> dict[str, np.ndarray]:
    """The faces of a generator by truncation; of another source, none."""
    told = [name.partition(" ")[2] for name in crops.names]
    kinds = sorted({name for name in told if name.startswith("psi")})
    return {kind: np.array([index for index, name in enumerate(told) if name == kind]) for kind in kinds}


def _name(crops: Crops) -> str:
    return Path(crops.source).name


if __name__ == "__main__":
    main()

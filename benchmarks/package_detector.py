"""Makes the packaged detector of two members: one learns from easy fakes, one from hard ones.

    python benchmarks/package_detector.py OUT --real official --easy runs/dcgan --hard packaged runs/lite

A network that learns from all fakes at once loses the easy ones to the hard. The easy member learns from
poor generators and from spoilt real faces. The hard one goes on from it with faces of good generators, and
with the real faces as the packaged encoder and generator draw them (and other snapshots, --rebuilt-by): who
is shown, by which photographer, then tells nothing, only how it is drawn does. Of each source 70 % are learnt
from, 15 % calibrate, 15 % are reported on; a face drawn anew falls where the face itself does. OUT: the
.safetensors to write. --easy-begun, --hard-begun: a detector's file whose first member is taken as it is.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from mien import TOOL
from mien.core import packaged
from mien.core.checkpoint import DatasetInfo, NetworkHeader, model_id, save_generator
from mien.core.events import Events
from mien.core.network import load_network
from mien.core.reencode import HISTORIES
from mien.core.styles import draw_styles
from mien.core.types import Spec
from mien.core.views import View
from mien.datasets.opening import open_dataset
from mien.detection.crops import Crops, crops_of
from mien.detection.scores import by_source, calibrate, part_of, parts_of, score_sources
from mien.detection.train import write_crops
from mien.latent.projection.encoder import open_encoder
from mien.models.detector import KIND, LABEL, PRODUCT, Config, DetectorTraining, build_product
from mien.nn.forensic import ForensicNet
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream

CPU = torch.device("cpu")
EASY, HARD, BOTH = Config(spoilt=0.6), Config(spoilt=0.2, lr=1.5e-3), Config(members=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    for name in ("--real", "--easy", "--hard"):
        parser.add_argument(name, nargs="+", required=True)
    parser.add_argument("--rebuilt-by", nargs="*", type=Path, default=[])
    parser.add_argument("--count", type=int)
    parser.add_argument("--kimg", type=float, default=50.0)
    parser.add_argument("--easy-begun", type=Path)
    parser.add_argument("--hard-begun", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    real, easy, hard = (
        [crops_of(source, Events(), count=arguments.count) for source in sources]
        for sources in (arguments.real, arguments.easy, arguments.hard)
    )
    hard += [again for crops in real for again in rebuilt(crops, arguments.rebuilt_by)]
    first = member(arguments.easy_begun, EASY, arguments, _set(arguments.out, "easy", real, easy))
    second = member(arguments.hard_begun, HARD, arguments, _set(arguments.out, "hard", real, hard), first)
    dataset = _set(arguments.out, "all", real, easy + hard)
    faces, fakes = by_source(dataset, part_of(dataset, "val"))
    network = joined(first, second, np.concatenate([*faces.values()]))
    pixels = np.concatenate([*faces.values(), *fakes.values()])
    calibrate(network, pixels, np.arange(len(pixels)) >= sum(map(len, faces.values())))
    save(arguments.out, network, dataset, round(arguments.kimg * 2000))
    scores, error, accuracy = score_sources(network, *by_source(dataset, part_of(dataset, "test")))
    for score in scores:
        area = "" if score.auc is None else f"AUC {score.auc.value:.3f}"
        called = f"n={score.count} called {score.called.value:.1%}"
        print(f"{score.source:24s} {score.history:20s} {called} {area}")
    print(f"kept out: calibration error {error:.3f}, accuracy {accuracy:.3f}")


def rebuilt(crops: Crops, snapshots: Sequence[Path]) -> list[Crops]:
    """The faces by the packaged encoder and its generator, and by snapshots of its run."""
    loaded = load_network(packaged.path_of(packaged.DEFAULT))
    encoding = open_encoder(packaged.encoder_of(packaged.DEFAULT), loaded)
    found = encoding.latents(torch.from_numpy(np.ascontiguousarray(crops.pixels.transpose(0, 3, 1, 2))))
    generators = [loaded.network, *(load_network(path).network for path in snapshots)]
    drawn = [
        draw_styles(generator, found).permute(0, 2, 3, 1).contiguous().numpy() for generator in generators
    ]
    name = Path(crops.source).name
    return [replace(crops, source=f"{name}-rebuilt-{place}", pixels=each) for place, each in enumerate(drawn)]


def member(
    begun: Path | None,
    config: Config,
    arguments: argparse.Namespace,
    dataset: View,
    before: ForensicNet | None = None,
) -> ForensicNet:
    """One expert, trained on the set's training part, from `before` on; or that of a file."""
    if begun is not None:
        return first_of(load_network(begun, KIND).network)
    where = part_of(dataset, "train")
    labels = np.asarray(dataset.labels)[where]
    data = View(dataset, where, labels=labels, class_names=(LABEL,))
    model = DetectorTraining(config, data.spec)
    model.meet(data)
    if before is not None:
        model.networks[PRODUCT].load_state_dict(before.state_dict())
    training = Training(model, 0, CPU, torch.bfloat16)
    stream = Stream(data, seed=0, mirror=True, labels=True, device=CPU)
    for _ in train(training, stream, Budget(nimg=round(arguments.kimg * 1000))):
        pass
    network = training.averages.networks[PRODUCT]
    assert isinstance(network, ForensicNet)
    return network.eval()


def first_of(network: ForensicNet) -> ForensicNet:
    """The first member of a detector, alone."""
    alone = build_product(EASY, network.spec).eval()
    known = network.state_dict()
    alone.load_state_dict({name: known[name] for name in alone.state_dict()})
    return alone


def joined(easy: ForensicNet, hard: ForensicNet, faces: np.ndarray) -> ForensicNet:
    """Both in one, brought to one scale by real faces that neither learnt from."""
    network = build_product(BOTH, Spec(faces.shape[1], 3, 1, (LABEL,))).eval()
    state = dict(easy.state_dict())
    state |= {f"more.0.{name}": value for name, value in hard.state_dict().items() if "." in name}
    network.load_state_dict(state, strict=False)
    for place, expert in enumerate((easy, hard)):
        parts = np.concatenate(
            [parts_of(expert, faces, HISTORIES[h]) for h in ("as it is", "JPEG 75", "JPEG 75, half size")]
        )
        deviation = float(parts.sum(axis=1).std())
        network.scales[place] = 1 / deviation
        network.shifts[place] = torch.from_numpy(-parts.mean(axis=0) / deviation)
    return network


def save(path: Path, network: ForensicNet, dataset: View, nimg: int) -> None:
    """One file, large tensors in half precision."""
    tensors = {
        name: value.half() if value.is_floating_point() and value.numel() > 4096 else value
        for name, value in network.state_dict().items()
    }
    info = DatasetInfo(name=dataset.name, content_hash=dataset.content_hash, num_images=len(dataset))
    header = NetworkHeader(
        kind=KIND,
        family="detector",
        config=BOTH.model_dump(),
        spec=network.spec,
        nimg=nimg,
        tool=TOOL,
        dataset=info,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    save_generator(path, tensors, header)
    print(f"{path}: {model_id(path)}, {path.stat().st_size:,} bytes")


def _set(out: Path, name: str, real: Sequence[Crops], fakes: Sequence[Crops]) -> View:
    path = out.with_suffix(f".{name}.zip")
    write_crops(path, [*((crops, 0.0) for crops in real), *((crops, 1.0) for crops in fakes)])
    return open_dataset(str(path))


if __name__ == "__main__":
    main()

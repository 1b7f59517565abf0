"""Makes the packaged detector: all three parts learn from some sources, the spectrum alone from more.

    python benchmarks/package_detector.py OUT --real official --synthetic runs/dcgan --more packaged --kimg 50

A generator that learnt from one photographer's portraits draws his light and his sitters, and a network on
the pixels takes these for the sign of a fake (12 to 28 % false alarms on that photographer's other pictures).
The spectrum does not know who is shown, so faces of --more are for the spectrum. Of each source 70 % are
learnt from, 15 % calibrate, 15 % are reported on. OUT: the .safetensors to write. begun: a state of the first
stage, to go on from.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from mien import TOOL
from mien.core.checkpoint import DatasetInfo, NetworkHeader, model_id, save_generator
from mien.core.events import Events
from mien.core.types import Batch
from mien.core.views import View
from mien.datasets.opening import open_dataset
from mien.detection.scores import by_source, calibrate, part_of, score_sources
from mien.detection.train import write_set
from mien.models.detector import KIND, LABEL, PRODUCT, Config, DetectorTraining, prepared
from mien.nn.forensic import ForensicNet, _oval, _rings, power, standardised
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream

CPU = torch.device("cpu")
CONFIG = Config(spoilt=0.6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", nargs="+", required=True)
    parser.add_argument("--synthetic", nargs="+", required=True)
    parser.add_argument("--more", nargs="+", required=True)
    parser.add_argument("--count", type=int)
    parser.add_argument("--kimg", type=float, default=50.0)
    parser.add_argument("--begun", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = first_stage(arguments)
    path = arguments.out.with_suffix(".zip")
    write_set(path, arguments.real, [*arguments.synthetic, *arguments.more], Events(), count=arguments.count)
    dataset = open_dataset(str(path))
    spectrum_stage(network, _view(dataset, "train"))
    real, synthetic = by_source(dataset, part_of(dataset, "val"))
    pixels = np.concatenate([*real.values(), *synthetic.values()])
    calibrate(network, pixels, np.arange(len(pixels)) >= sum(map(len, real.values())))
    save(arguments.out, network, dataset, round(arguments.kimg * 1000))
    scores, error, accuracy = score_sources(network, *by_source(dataset, part_of(dataset, "test")))
    for score in scores:
        area = "" if score.auc is None else f"AUC {score.auc.value:.3f}"
        print(
            f"{score.source:24s} {score.history:20s} n={score.count} called {score.called.value:.1%} {area}"
        )
    print(f"kept out: calibration error {error:.3f}, accuracy {accuracy:.3f}")


def first_stage(arguments: argparse.Namespace) -> ForensicNet:
    """All parts, from --real and --synthetic alone."""
    path = arguments.out.with_suffix(".first.zip")
    write_set(path, arguments.real, arguments.synthetic, Events(), count=arguments.count)
    data = _view(open_dataset(str(path)), "train")
    model = DetectorTraining(CONFIG, data.spec)
    model.meet(data)
    training = Training(model, 0, CPU, torch.bfloat16)
    network = training.averages.networks[PRODUCT]
    assert isinstance(network, ForensicNet)
    if arguments.begun is None:
        stream = Stream(data, seed=0, mirror=True, labels=True, device=CPU)
        for _ in train(training, stream, Budget(nimg=round(arguments.kimg * 1000))):
            pass
    else:
        state = torch.load(arguments.begun, weights_only=True)
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        own = {name: value for name, value in state.items() if value.shape == shapes.get(name)}
        network.load_state_dict(own, strict=False)
    return network.eval()


def spectrum_stage(network: ForensicNet, data: View, *, steps: int = 400) -> None:
    """The spectrum's part anew, from all sources; nothing else changes."""
    fresh = ForensicNet(network.spec, width=CONFIG.width, traces_width=CONFIG.traces_width).spectrum.train()
    optimizer = torch.optim.AdamW(fresh.parameters(), lr=3e-3, weight_decay=0.01)
    stream = Stream(data, seed=1, mirror=True, labels=True, device=CPU)
    share = float(np.mean(data.labels))
    share += (1 - share) * CONFIG.spoilt
    for step in range(steps):
        drawn = stream.batch(step * 64, 64)
        batch = Batch(drawn.images, drawn.labels, torch.Generator().manual_seed(step))
        images, labels = prepared(batch, CONFIG)
        side = images.shape[-1]
        odds = fresh(power(standardised(images, _oval(side)), _rings(side)))
        weights = torch.where(labels > 0.5, 0.5 / share, 0.5 / (1 - share))
        loss = binary_cross_entropy_with_logits(odds, labels, weights)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 100 == 99:
            print(f"spectrum: step {step + 1}, loss {float(loss.detach()):.3f}")
    network.spectrum.load_state_dict(fresh.eval().state_dict())


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
        config=CONFIG.model_dump(),
        spec=network.spec,
        nimg=nimg,
        tool=TOOL,
        dataset=info,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    save_generator(path, tensors, header)
    print(f"{path}: {model_id(path)}, {path.stat().st_size:,} bytes")


def _view(dataset: View, split: str) -> View:
    where = part_of(dataset, split)
    labels = np.asarray(dataset.labels)[where]
    return View(dataset, where, labels=labels, class_names=(LABEL,))


if __name__ == "__main__":
    main()

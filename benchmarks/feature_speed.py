"""Extraction of features against a plain float32 NCHW loop, side by side; memory of precision and recall.

    python benchmarks/feature_speed.py [--networks lite0 vgg-random] [--count 160] [--pairs 20000]

The plain loop is the same network in torch's usual memory layout, 64 images of 64 px at a time, as one
would write it. The two take turns; images a second by CPU time, median of the rounds. Inception has random
weights, since speed needs no others. Then precision and recall of as many features as --pairs says on
either side (0 leaves it out), in a process of its own: seconds, and the most memory that it held.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generate_speed import cost
from mien.core.errors import MienError
from mien.metrics.features import open_network
from mien.metrics.features._images import resized
from mien.metrics.features.inception import InceptionFeatures, InceptionV3

Network = Any
PLAIN_BATCH = 64
SIZES = {"vgg-random": 64, "lite0": 224, "vgg16": 128, "alexnet": 128, "inception": 299}
PAIRS = """
import sys
import numpy as np
from mien.metrics import prdc
rng = np.random.RandomState(0)
real, fake = rng.randn(2, int(sys.argv[1]), 1280).astype(np.float32)
print({name: round(value, 4) for name, value in prdc.compute(real, fake).items()}, file=sys.stderr)
"""


def opened(name: str) -> Network:
    if name != "inception":
        return open_network(name)
    state = {k: v for k, v in InceptionV3().state_dict().items() if not k.endswith("num_batches_tracked")}
    return InceptionFeatures(state)


def plain(network: Network) -> Callable[[Tensor], np.ndarray]:
    """The loop that one would write."""
    size = getattr(network, "_size", SIZES[network.name])
    own = copy.deepcopy(network)
    getattr(own, "_trunk", getattr(own, "_net", None)).to(memory_format=torch.contiguous_format)
    net = getattr(own, "_see", getattr(own, "_net", None))

    def run(images: Tensor) -> np.ndarray:
        with torch.no_grad():
            parts = [net(resized(part, size)) for part in torch.split(images, PLAIN_BATCH)]
        return torch.cat(parts).numpy()

    return run


def seconds(run: Callable[[Tensor], np.ndarray], images: Tensor) -> float:
    began = time.process_time()
    run(images)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=["lite0", "vgg-random"], choices=SIZES)
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=20_000)
    arguments = parser.parse_args()
    shape = (arguments.count, 3, 64, 64)
    images = torch.from_numpy(np.random.RandomState(0).randint(0, 256, shape, dtype=np.uint8))
    print(f"{torch.get_num_threads()} threads\n{'network':12s} {'ours':>8s} {'plain':>8s}  ratio")
    for name in arguments.networks:
        try:
            network = opened(name)
        except MienError as error:
            print(f"{name:12s} {error}")
            continue
        ways = (network.features, plain(network))
        first, second = (way(images[:20]) for way in ways)
        np.testing.assert_allclose(first, second, rtol=1e-2, atol=1e-3 * np.abs(first).max())
        turns = [[seconds(way, images) for way in ways] for _ in range(arguments.rounds)]
        ours, theirs = (arguments.count / statistics.median(column) for column in zip(*turns, strict=True))
        ratio = statistics.median(b / a for a, b in turns)
        print(f"{name:12s} {ours:8.1f} {theirs:8.1f}  {ratio:.2f}", flush=True)
    if arguments.pairs:
        found = cost((sys.executable, "-c", PAIRS, str(arguments.pairs)))
        print(
            f"precision and recall, {arguments.pairs:,} : {arguments.pairs:,} of 1,280 dimensions:"
            f" {found.wall:.0f} s (CPU {found.cpu:.0f} s), most memory {found.peak:.0f} MiB"
        )


if __name__ == "__main__":
    main()

"""Speed of feature networks and metrics: python benchmarks/metric_speed.py [--count N].

Faces of the packaged model, 64 x 64; the best of three runs. In noise a finder tries every turn and corner,
which takes ten times as long. Inception runs with random weights: speed needs no others.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mien.core import discover
from mien.core.errors import MienError
from mien.core.sampling import draw, latents
from mien.evaluation.image_sets import Model, open_fakes
from mien.metrics.features import FeatureNetwork, open_network
from mien.metrics.features.inception import InceptionFeatures, InceptionV3


def best(run: Callable[[], object], times: int = 3) -> float:
    """Least seconds of several runs."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def networks() -> list[FeatureNetwork]:
    found = [open_network("vgg-random")]
    try:
        found.append(open_network("mesh"))
    except MienError as error:
        print(error)
    state = {k: v for k, v in InceptionV3().state_dict().items() if not k.endswith("num_batches_tracked")}
    return [*found, InceptionFeatures(state)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="pictures on each side of a metric")
    count = parser.parse_args().count
    rng = np.random.RandomState(0)
    packaged = open_fakes(None)
    assert isinstance(packaged, Model)
    generator = packaged.generator
    zs = torch.split(latents(list(range(2 * count)), generator.z_dim), 64)
    pictures = torch.cat([draw(generator, z, None, psi=1.0) for z in zs]).unflatten(0, (2, count))
    threads = torch.get_num_threads()
    speed = Table("network", "features", "pictures/s", title=f"feature networks, {threads} threads")
    for network in networks():
        num = 32 if network.name == "inception" else 192
        seconds = best(lambda network=network, num=num: network.features(pictures[0, :num]))
        speed.add_row(network.name, str(network.dims), f"{num / seconds:.0f}")
    cost = Table("metric", "dims", "seconds", title=f"metrics, {count} : {count} pictures of 64 x 64")
    for name in discover.names("mien.metrics"):
        module = discover.load("mien.metrics", name)
        if module.NEEDS == "images":
            x, y = pictures[:, : getattr(module, "MOST", count)]
            cost.add_row(name, "", f"{best(lambda m=module, x=x, y=y: m.compute(x, y), 1):.2f}")
            continue
        if module.NEEDS != "features":
            continue  # of a generator or a classifier: their cost is that network's
        for dims in (64, 256, 2048):
            x, y = rng.randn(2, count, dims).astype(np.float32)
            cost.add_row(name, str(dims), f"{best(lambda m=module, x=x, y=y: m.compute(x, y), 2):.2f}")
    Console().print(speed, cost)


if __name__ == "__main__":
    main()

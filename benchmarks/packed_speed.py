"""How fast images come out of a packed zip, beside loose PNG files that Pillow reads.

    python benchmarks/packed_speed.py [--count 5000] [--size 64]

Batches of 64 in random order, as training takes them: of the zip the first time (decoded into the cache) and
after that, of the loose files always. Images a second, the two in turns.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from mien.core.packed import PackWriter, encode_png
from mien.datasets.opening import open_dataset

BATCH = 64


def pictures(count: int, size: int) -> list[bytes]:
    """PNGs that take as many bytes as faces do: smooth, with some noise."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.int16)
        noisy = smooth + rng.integers(-4, 5, smooth.shape, dtype=np.int16)
        found.append(encode_png(noisy.clip(0, 255).astype(np.uint8)))
    return found


def rate(read: Callable[[np.ndarray], object], count: int, seed: int) -> float:
    """Images a second over one epoch."""
    order = np.random.default_rng(seed).permutation(count)
    began = time.perf_counter()
    for start in range(0, count, BATCH):
        read(order[start : start + BATCH])
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--size", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, loose = Path(folder, "faces.zip"), Path(folder, "loose")
        loose.mkdir()
        with PackWriter(path) as writer:
            for index, data in enumerate(pictures(arguments.count, arguments.size)):
                writer.add_png(data, record={"source": f"{index}.png"})
                (loose / f"{index:06d}.png").write_bytes(data)

        def files(indexes: np.ndarray) -> np.ndarray:
            return np.stack([np.asarray(Image.open(loose / f"{i:06d}.png")) for i in indexes])

        began = time.perf_counter()
        dataset = open_dataset(str(path))
        opened = time.perf_counter() - began
        turns = [
            (rate(dataset.images, arguments.count, n), rate(files, arguments.count, n)) for n in range(3)
        ]
    base = max(loose_rate for _, loose_rate in turns)
    print(f"{arguments.count:,} PNGs of {arguments.size} px; opening the zip took {opened:.2f} s")
    for name, value in (("zip", max(packed for packed, _ in turns)), ("loose PNGs, Pillow", base)):
        print(f"{name:<22}{value:>10,.0f} images/s{value / base:>8.2f}")
    first = turns[0][0]
    print(f"{'zip, first epoch':<22}{first:>10,.0f} images/s{first / base:>8.2f}")


if __name__ == "__main__":
    main()

"""Makes the file of the encoder that comes with a packaged generator out of what `mien encoder` trained.

    mien encoder --data train.zip --minutes 40 --out enc
    python benchmarks/package_encoder.py enc src/mien/assets

It must have been trained for the generator that lies there now. Large tensors are kept in half precision; the
guesses of both are compared.
"""

import argparse
from pathlib import Path

import torch

from mien.core.checkpoint import load_generator, model_id, save_generator
from mien.core.image import to_float
from mien.core.network import load_network
from mien.core.packaged import DEFAULT, MOST_BYTES, encoder_of, path_of
from mien.core.sampling import draw, latents
from mien.latent.projection.encoder import open_encoder
from mien.models.encoder import KIND, draw_latents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("encoder", type=Path, help="folder or file of `mien encoder`")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    made = load_network(arguments.encoder, kind=KIND).path
    package(made, arguments.out / encoder_of(DEFAULT).name)
    size = sum(file.stat().st_size for file in arguments.out.iterdir())
    print(f"{size / 1e6:.2f} of {MOST_BYTES / 1e6:.0f} MB in {arguments.out}")


def package(made: Path, path: Path) -> None:
    """Write the encoder `made` to `path` in half precision, once it fits the packaged generator."""
    tensors, header = load_generator(made)
    ours = model_id(path_of(DEFAULT))
    if (theirs := header.config.get("model")) != ours:
        raise SystemExit(f"{made}: an encoder for {theirs}, and the packaged generator is {ours}")
    large = {name for name, value in tensors.items() if value.is_floating_point() and value.numel() > 4096}
    save_generator(path, {n: v.half() if n in large else v for n, v in tensors.items()}, header)
    errors = [_error(one) for one in (made, path)]
    print(f"{path}: {model_id(path)}, {path.stat().st_size / 1e6:.2f} MB, {header.nimg / 1000:g} kimg;"
          f" squared error of 32 samples {errors[0]:.4f}, in half precision {errors[1]:.4f}")  # fmt: skip
    if errors[1] > 1.02 * errors[0] + 1e-4:
        raise SystemExit("the encoder does not bear half precision")


@torch.no_grad()
def _error(path: Path) -> float:
    """Of the encoder's images of the packaged generator's own samples, in [-1, 1]."""
    loaded = load_network(None)
    images = draw(loaded.network, latents(range(10_000, 10_032), loaded.network.z_dim), None)
    found = open_encoder(path, loaded).latents(images)
    return float((draw_latents(loaded.network, found, None) - to_float(images)).square().mean())


if __name__ == "__main__":
    main()

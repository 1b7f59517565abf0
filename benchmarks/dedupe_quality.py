"""What `mien prepare` takes for duplicates: copies found, strangers and other shots taken for copies.

    python benchmarks/dedupe_quality.py DATA [--every 16] [--threshold 58] [--sheet pairs.png] [--no-mesh]

DATA holds folders of pictures: `faces` (no person twice), `expressions/{neutral,smiling}` (the same people
twice, under the same name) and any others. Every N-th picture of all is disturbed and goes through the real
chain, from the disturbed file's bytes to the hash. Prints the pairs of different pictures within the
threshold and the share of disturbed copies within it. --sheet: draws the most alike pairs, for the eye.
"""

import argparse
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from mien.core.errors import InputError
from mien.core.picture import decode, list_pictures
from mien.faces.align import ffhq_square
from mien.faces.crop import cut
from mien.faces.finder import Finder, open_finder
from mien.faces.mesh import MeshNetwork
from mien.prepare.dedupe import DEFAULT_THRESHOLD, find_duplicates, perceptual_hash

Disturb = Callable[[Image.Image], bytes]
SIDE = 128  # of the hashed crop


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """Encode."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def trim(
    image: Image.Image, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0
) -> Image.Image:
    """Cut shares of the width and height off the sides."""
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )


def resized(image: Image.Image, factor: float) -> Image.Image:
    """Larger or smaller."""
    shape = (round(image.width * factor), round(image.height * factor))
    return image.resize(shape, Image.Resampling.LANCZOS)


def lit(image: Image.Image, factor: float) -> Image.Image:
    """Brighter or darker."""
    return ImageEnhance.Brightness(image).enhance(factor)


SINGLE: dict[str, Disturb] = {
    "JPEG 30": lambda image: jpeg(image, 30),
    "JPEG 60": lambda image: jpeg(image, 60),
    "JPEG 95": lambda image: jpeg(image, 95),
    "3% off the left": lambda image: jpeg(trim(image, left=0.03)),
    "3% off the top": lambda image: jpeg(trim(image, top=0.03)),
    "3% off each side": lambda image: jpeg(trim(image, 0.03, 0.03, 0.03, 0.03)),
    "brightness -10%": lambda image: jpeg(lit(image, 0.9)),
    "brightness +10%": lambda image: jpeg(lit(image, 1.1)),
    "half the size": lambda image: jpeg(resized(image, 0.5)),
    "1.5 times the size": lambda image: jpeg(resized(image, 1.5)),
}
COMBINED: dict[str, Disturb] = {
    "trim, brighter, JPEG 50": lambda image: jpeg(lit(trim(image, 0, 0, 0.03, 0.03), 1.1), 50),
    "trim, x1.3, darker, JPEG 50": lambda image: jpeg(lit(resized(trim(image, 0.03, 0.03), 1.3), 0.9), 50),
    "trim, x0.7, brighter, JPEG 60": lambda image: jpeg(lit(resized(trim(image, 0, 0.03), 0.7), 1.1), 60),
    "trim, x0.7, brighter, JPEG 30": lambda image: jpeg(lit(resized(trim(image, 0, 0.03), 0.7), 1.1), 30),
    "trim, x0.5, brighter, JPEG 30": lambda image: jpeg(lit(resized(trim(image, 0.03), 0.5), 1.1), 30),
}
MIRRORED: dict[str, Disturb] = {
    "mirrored": lambda image: jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 95)
}


class Chain:
    """From a file's bytes to the hash, as `prepare` does it."""

    def __init__(self, mesh: bool) -> None:
        self._finder: Finder = open_finder("mesh")
        self._mesh = MeshNetwork() if mesh else None

    def crop(self, data: bytes) -> np.ndarray | None:
        """The aligned crop, None if no face is found."""
        picture = decode(data, near=640)
        faces = self._finder.find(picture.pixels)
        return cut(picture.pixels, ffhq_square(faces[0]), SIDE) if faces else None

    def hash(self, crop: np.ndarray) -> np.ndarray:
        """uint8 [bytes]."""
        return np.frombuffer(bytes.fromhex(perceptual_hash(crop, mesh=self._mesh)), np.uint8)


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits in which hashes [..., bytes] differ."""
    return np.bitwise_count(one ^ other).sum(axis=-1, dtype=np.int64)


def copies(paths: list[Path], hashes: list[np.ndarray], data: Path, chain: Chain, threshold: int) -> None:
    """Print the share of disturbed copies that are found, by disturbance and folder."""
    folders = sorted({path.relative_to(data).parts[0] for path in paths})
    print(f"copies found within {threshold} bits (of {len(paths)} pictures):")
    print(f"  {'':32}{'all':>8}" + "".join(f"{name:>15}" for name in folders))
    opened = [Image.open(path).convert("RGB") for path in paths]
    for title, kinds in (("one of these", SINGLE), ("combined", COMBINED), ("", MIRRORED)):
        table = []
        for name, disturb in kinds.items():
            crops = [chain.crop(disturb(image)) for image in opened]
            distances = [
                999 if crop is None else int(apart(own, chain.hash(crop)))
                for own, crop in zip(hashes, crops, strict=True)
            ]
            table.append(np.array(distances) <= threshold)
            line(name, table[-1][np.newaxis], paths, data, folders)
        if title:
            line(f"-- {title}", np.stack(table), paths, data, folders)


def line(name: str, found: np.ndarray, paths: list[Path], data: Path, folders: list[str]) -> None:
    """One row: found bool [kinds, pictures]."""
    own = np.array([path.relative_to(data).parts[0] for path in paths])
    shares = "".join(f"{found[:, own == folder].mean():>15.1%}" for folder in folders)
    print(f"  {name:32}{found.mean():>8.2%}{shares}", flush=True)


def strangers(paths: list[Path], hashes: np.ndarray, threshold: int) -> list[tuple[int, int, int]]:
    """Print how many different pictures count as copies; the 24 most alike pairs as (bits, one, other)."""
    contents = [hashlib.sha256(path.read_bytes()).digest() for path in paths]
    first = {content: index for index, content in reversed(list(enumerate(contents)))}
    unique = np.array(sorted(first.values()))
    bits = hashes[unique]
    alike = []
    for at in range(len(bits)):
        distances = apart(bits[at], bits[at + 1 :])
        alike += [
            (int(distances[k]), int(unique[at]), int(unique[at + 1 + k]))
            for k in np.nonzero(distances < 130)[0]
        ]
    false = sum(distance <= threshold for distance, _, _ in alike)
    keepers = find_duplicates([row.tobytes().hex() for row in bits], [0.0] * len(bits), threshold=threshold)
    dropped = sum(keeper != index for index, keeper in enumerate(keepers))
    total = len(bits) * (len(bits) - 1) // 2
    print(f"\n{len(paths)} faces of different people, {len(paths) - len(bits)} of them byte-identical copies")
    print(f"  pairs taken for copies: {false} of {total:,} ({false / total:.5%})")
    print(f"  faces dropped for it:   {dropped} of {len(bits)} ({dropped / len(bits):.3%})")
    print(f"  nearest pairs, bits:    {[distance for distance, _, _ in sorted(alike)[:10]]}")
    return sorted(alike)[:24]


def twice(paths: list[Path], hashes: np.ndarray, threshold: int) -> list[tuple[int, int, int]]:
    """Print how many people photographed twice count as copies; the pairs, most alike first."""
    at = {(path.parent.name, path.stem[:3]): index for index, path in enumerate(paths)}
    pairs = [
        (int(apart(hashes[index], hashes[at["smiling", key]])), index, at["smiling", key])
        for (folder, key), index in at.items()
        if folder == "neutral" and ("smiling", key) in at
    ]
    pairs.sort()
    found = sum(distance <= threshold for distance, _, _ in pairs)
    nearest = [distance for distance, _, _ in pairs[:10]]
    print(f"\n{len(pairs)} people neutral and smiling: {found} taken for copies; nearest {nearest}")
    return pairs[:12]


def draw(path: Path, rows: list[tuple[int, int, int]], crops: list[np.ndarray]) -> None:
    """Save pairs side by side, four a row."""
    tiles = [np.concatenate([crops[one], crops[other]], axis=1) for _, one, other in rows]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 4)
    Image.fromarray(
        np.concatenate([np.concatenate(tiles[i : i + 4], axis=1) for i in range(0, len(tiles), 4)])
    ).save(path)


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=16, help="disturb every N-th picture")
    parser.add_argument("--threshold", type=int, default=DEFAULT_THRESHOLD)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--no-mesh", action="store_true", help="hash crops as they are")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    chain = Chain(mesh=not options.no_mesh)
    paths, crops, hashes = [], [], []
    for folder in ("faces", "expressions", "photos", "portraits-cc0"):
        for path in list_pictures(options.data / folder):
            crop = chain.crop(path.read_bytes())
            if crop is not None:
                paths.append(path)
                crops.append(crop)
                hashes.append(chain.hash(crop))
    if not paths:
        raise InputError(f"{options.data}: no faces found")
    packed = np.stack(hashes)
    inside = {
        name: [i for i, path in enumerate(paths) if name in path.parts] for name in ("faces", "expressions")
    }
    shown = []
    for name, measure in (("faces", strangers), ("expressions", twice)):
        own = inside[name]
        rows = measure([paths[i] for i in own], packed[own], options.threshold)
        shown += [(distance, own[one], own[other]) for distance, one, other in rows]
    if options.sheet:
        draw(options.sheet, shown, crops)
    some = slice(None, None, options.every)
    copies(paths[some], hashes[some], options.data, chain, options.threshold)


if __name__ == "__main__":
    main()

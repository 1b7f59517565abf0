"""Which of two copies of one picture `mien prepare` keeps: the original should win.

    python benchmarks/copy_quality.py DATA [--sets official old-photos] [--count 14]

Pictures of each set are enlarged, made smaller, blurred and compressed. Prints in how many of the pairs the
original wins. `official` and `old-photos` were tuned on, the other sets judge.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from dedupe_quality import jpeg
from mien.core.picture import decode, list_pictures
from mien.faces.crop import Square, cut, scaled
from mien.faces.finder import open_finder
from mien.faces.measure_light import sharpness
from mien.prepare.extract import copy_quality, face_square, own_sharpness, real_size

SETS = ("official", "old-photos", "portraits-cc0", "faces", "photos")
TUNED = SETS[:2]
WAYS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS}  # fmt: skip
Copy = Callable[[Image.Image], Image.Image]


def resized(factor: float, way: str) -> Copy:
    return lambda image: image.resize((round(image.width * factor), round(image.height * factor)), WAYS[way])


def again(image: Image.Image) -> Image.Image:
    """Half the size and back."""
    return resized(0.5, "lanczos")(image).resize(image.size, Image.Resampling.BICUBIC)


def blurred(image: Image.Image) -> Image.Image:
    return Image.fromarray(cv2.GaussianBlur(np.asarray(image), (0, 0), 1.2))


COPIES: dict[str, tuple[Copy, ...]] = {
    **{f"{factor:g} times the size": tuple(resized(factor, way) for way in WAYS)
       for factor in (1.2, 1.5, 2.0, 3.0, 0.85, 0.7, 0.5, 0.4)},
    "half and back": (again,),
    "blurred": (blurred,),
    "JPEG 40": (lambda image: coded(image, 40),),
}  # fmt: skip


def coded(image: Image.Image, quality: int) -> Image.Image:
    return Image.fromarray(decode(jpeg(image, quality)).pixels)


def quality(image: Image.Image, square: Square) -> float:
    """What `prepare` would go by, of the face in `square`."""
    pixels, side = np.asarray(image), square.side
    view = cut(pixels, square, int(np.clip(round(side), 40, 96)))
    size, _ = real_size(pixels, square)
    measured = {"face_size": side, "sharpness": sharpness(view), "real_size": size}
    return copy_quality(measured | {"own_sharpness": own_sharpness(pixels, square)})


def contest(image: Image.Image, square: Square) -> Iterator[tuple[str, bool]]:
    """Each kind of copy, and whether the original wins; also where the copy was compressed."""
    own = quality(image, square)
    for title, makers in COPIES.items():
        for copy in (make(image) for make in makers):
            factor = copy.width / image.width
            for saved in (copy, coded(copy, 92), coded(copy, 75)):
                yield title, own > quality(saved, scaled(square, factor))


def main() -> None:
    """Read the command line and print a line a kind of copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--count", type=int, default=14)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    finder, won = open_finder("mesh"), defaultdict(list)
    for name in options.sets:
        paths = list_pictures(options.data / name)
        for path in paths[:: max(1, len(paths) // options.count)][: options.count]:
            image = Image.fromarray(decode(path).pixels)
            faces = finder.find(np.asarray(image))
            if not faces:
                continue
            for title, wins in contest(image, face_square(faces[0])):
                won[title, name in TUNED].append(wins)
    print(f"{'the original wins':24}{'tuned on':>10}{'others':>10}")
    for title in COPIES:
        shares = (won[title, tuned] for tuned in (True, False))
        print(f"{title:24}" + "".join(f"{np.mean(own):>10.1%}" if own else f"{'-':>10}" for own in shares))


if __name__ == "__main__":
    main()

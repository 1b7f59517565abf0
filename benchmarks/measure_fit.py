"""Fit the weights of `mien.faces.measure_worn`: python benchmarks/measure_fit.py DATA [--count 300].

Prints the constants to paste there. Masks: logistic regression on every other real portrait, bare and with
two painted masks, and on copies of both that are blurred, dark, noisy, small or gray, so that such pictures
are not taken for masked; `measure_quality.py` measures on the portraits between. Glasses: on rendered heads,
of the kind "parts" on every other one.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression

from measure_quality import portraits
from measure_truth import MASKS, heads, masked
from mien.faces.face import Face, Finder
from mien.faces.finder import open_finder
from mien.faces.measure_worn import glasses_signs, look_at, mask_signs

Signs = list[list[float]]


def signs(image: np.ndarray, face: Face) -> tuple[list[float], list[float]]:
    """Signs of a mask and of glasses."""
    look = look_at(image, face)
    gray = cv2.cvtColor(look.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return mask_signs(look, gray, face.score), glasses_signs(look, gray)


def found_signs(image: np.ndarray, finder: Finder) -> Signs:
    """Signs of a mask on the largest face, looked for anew; [] if none is found."""
    return [signs(image, face)[0] for face in finder.find(image)[:1]]


def disturbed(image: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """A worse picture: some of blur, dark or bright, noise, fewer pixels, no colour."""
    worse = image.astype(np.float32)
    if rng.random() < 0.7:
        worse = cv2.GaussianBlur(worse, (0, 0), size * rng.uniform(0.005, 0.035))
    if rng.random() < 0.4:
        worse = 255 * (worse / 255) ** rng.uniform(0.5, 2.5)
    if rng.random() < 0.4:
        worse += rng.normal(0, rng.uniform(2, 12), worse.shape)
    pixels = np.clip(worse + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        scale = rng.uniform(0.25, 0.6)
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.25:
        pixels = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., np.newaxis], 3, axis=2)
    return pixels


def fit(name: str, without: Signs, having: Signs) -> None:
    """Print the weights for signs as they are (they are standardised only for the fitting)."""
    values = np.array(without + having)
    middle, spread = values.mean(axis=0), values.std(axis=0)
    model = LogisticRegression(C=0.3, class_weight="balanced", max_iter=2000)
    model.fit((values - middle) / spread, [0] * len(without) + [1] * len(having))
    weights = model.coef_[0] / spread
    print(f"# {len(without)} without, {len(having)} with")
    print(f"{name} = {tuple(weights.round(3).tolist())}")
    print(f"{name}_BIAS = {model.intercept_[0] - weights @ middle:.3f}", flush=True)


def mask_examples(data: Path, finder: Finder, count: int) -> tuple[Signs, Signs]:
    rng = np.random.default_rng(21)
    bare: Signs = []
    covered: Signs = []
    for found in portraits(data, finder, count).values():
        for picture, face in found[::2]:
            bare.append(signs(picture.pixels, face)[0])
            if rng.random() < 0.5:
                bare += found_signs(disturbed(picture.pixels, face.size, rng), finder)
            for name in rng.choice(list(MASKS), 2, replace=False):
                painted = masked(picture.pixels, face, name, rng)
                covered += found_signs(painted, finder)
                if rng.random() < 0.3:
                    covered += found_signs(disturbed(painted, face.size, rng), finder)
    return bare, covered


def main() -> None:
    """Read the command line and print the constants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=300, help="heads of each kind, pictures of each set")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    finder = open_finder("mesh")
    drawn = heads("pose", options.count) + heads("parts", options.count)[::2]
    rendered = [(head, signs(head.image, face)) for head in drawn for face in finder.find(head.image)[:1]]
    glasses: dict[bool, Signs] = {False: [], True: []}
    for head, (_, of_glasses) in rendered:
        glasses[head.labels["attributes"]["Eyeglasses"]].append(of_glasses)
    fit("_GLASSES", glasses[False], glasses[True])
    bare, covered = mask_examples(options.data, finder, options.count)
    fit("_MASK", bare + [of_mask for _, (of_mask, _) in rendered], covered)


if __name__ == "__main__":
    main()

"""Does a refiner make rendered eyes more useful to a model that reads the direction of gaze?

    python benchmarks/worth.py [--out worth-eyes]

Three sets of eyes, of different people: rendered ones with known gaze; and two that stand for real pictures,
as a cheap camera in poor light would have taken them (`camera`): other colours and contrast, vignette, blur,
noise, JPEG. One of these two has no labels: from it a refiner learns how real eyes look. The other one has a
few labelled pictures to learn from (--real-count) and those of other people to test on. `mien worth` then
compares rendered, refined, and rendered pictures whose mean and spread of each colour are made those of the
unlabelled ones: what can be had without a refiner.

The same command again goes on where it was stopped.
"""

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from mien import cli
from mien.core.packed import PackWriter, encode_png
from mien.core.run import find_runs
from mien.datasets.opening import open_dataset
from mien.render.people import person_id, render_eye
from mien.render.person import sample_person
from mien.render.render import record_of
from mien.render.shot import sample_shot

_TINT = np.array([0.8, 1.0, 0.85])
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def eyes(count: int, *, size: int, seed: int) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Both eyes of `count` people, open, each with a gaze of its own: uint8 [3, size, size] and labels."""
    for index in range(count):
        number = person_id(seed, index)
        person = sample_person(number)
        for place, side in enumerate(("left", "right")):
            rng = np.random.default_rng([number, place, 0x6A2E])
            shot = replace(
                sample_shot(2 * number + place, male=person.male),
                yaw=float(rng.uniform(-20, 20)),
                pitch=float(rng.uniform(-8, 8)),
                eye_yaw=float(rng.uniform(-25, 25)),
                eye_pitch=float(rng.uniform(-15, 15)),
                action_units={},
                glasses="none",
            )
            yield render_eye(person, shot, side, size=size)


def camera(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture uint8 [3, S, S] as a cheap camera in poor light takes it; `rng` is of this shot alone."""
    light = (image / 255.0) ** rng.uniform(1.0, 1.3)
    gray = light.mean(axis=0, keepdims=True)
    light = gray + rng.uniform(0.3, 0.5) * (light - gray)
    light = light * _TINT[:, None, None] * rng.uniform(0.9, 1.1)
    light = 0.16 + 0.62 * light
    side = np.linspace(-1, 1, image.shape[1])
    distance = side[:, None] ** 2 + side**2
    light = light * (1 - rng.uniform(0.15, 0.3) * distance / 2)
    blur = rng.uniform(0.45, 0.7) * image.shape[1] / 32
    light = ndimage.gaussian_filter(light, (0, blur, blur), mode="nearest")
    light = light + rng.normal(0, rng.uniform(0.012, 0.022), light.shape)
    return jpeg((light.clip(0, 1) * 255).round().astype(np.uint8), int(rng.integers(60, 85)))


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """uint8 [3, S, S] through a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer, formats=("JPEG",))).transpose(2, 0, 1)


def write_eyes(out: Path, count: int, *, size: int, seed: int, change: Change | None = None) -> None:
    """Pack the eyes of `count` people, seen through `change`; nothing where the file is there already."""
    if out.exists():
        return
    with PackWriter(out) as pack:
        for place, (image, labels) in enumerate(eyes(count, size=size, seed=seed)):
            rng = np.random.default_rng([seed, place])
            seen = image if change is None else change(image, rng)
            pack.add_png(encode_png(seen.transpose(1, 2, 0)), record=record_of(labels, {}, size))


def match(source: Path, like: Path, out: Path) -> None:
    """Pack the pictures of `source` with the mean and spread of each colour as in `like`."""
    pictures, wanted = open_dataset(str(source)), open_dataset(str(like))
    ours, theirs = (set_.images(np.arange(len(set_))).astype(float) for set_ in (pictures, wanted))
    axes = (0, 2, 3)
    scaled = (ours - ours.mean(axes, keepdims=True)) / ours.std(axes, keepdims=True)
    matched = scaled * theirs.std(axes, keepdims=True) + theirs.mean(axes, keepdims=True)
    with PackWriter(out) as pack:
        for image, record in zip(matched, pictures.records, strict=True):
            pixels = image.clip(0, 255).round().astype(np.uint8)
            pack.add_png(encode_png(pixels.transpose(1, 2, 0)), record=record)


def refine(folder: Path, kimg: float, changes: Sequence[str]) -> None:
    """Train a refiner from rendered to unlabelled pictures, without any label; refine the rendered ones."""
    rendered, runs = folder / "rendered.zip", folder / "runs"
    options = [part for change in changes for part in ("--set", change)]
    command = ["train", rendered, "--real", folder / "unlabelled.zip", "--model", "simgan"]
    mien(*command, *options, "--kimg", kimg, "--out", runs)
    mien("refine", find_runs(runs)[-1].path, rendered, "--out", folder / "refined.zip")


def mien(*arguments: object) -> None:
    """Run a command, and stop where it fails."""
    texts = [str(argument) for argument in arguments]
    print("mien", *texts, flush=True)
    if code := cli.main(texts):
        raise SystemExit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("worth-eyes"))
    parser.add_argument("--people", type=int, default=1000, help="rendered, two eyes each")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1, help="other people altogether")
    parser.add_argument("--refiner-kimg", type=float, default=24.0)
    parser.add_argument("--refiner-set", action="append", default=[], help="as of mien train")
    parser.add_argument("--kimg", type=float, default=10.0, help="of each small model")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--real-count", type=int, default=100)
    arguments = parser.parse_args()
    folder, size, people, seed = arguments.out, arguments.size, arguments.people, 3 * arguments.seed - 2
    folder.mkdir(parents=True, exist_ok=True)
    write_eyes(folder / "rendered.zip", people, size=size, seed=seed)
    write_eyes(folder / "unlabelled.zip", people // 2, size=size, seed=seed + 1, change=camera)
    write_eyes(folder / "real.zip", people * 3 // 5, size=size, seed=seed + 2, change=camera)
    refine(folder, arguments.refiner_kimg, arguments.refiner_set)
    match(folder / "rendered.zip", folder / "unlabelled.zip", folder / "matched.zip")
    sets = [f"--synthetic={name}={folder / name}.zip" for name in ("rendered", "matched", "refined")]
    command = ["worth", "--real", folder / "real.zip", "--label", "gaze", *sets]
    budget = ["--seeds", arguments.seeds, "--kimg", arguments.kimg, "--real-count", arguments.real_count]
    mien(*command, *budget, "--out", folder / "worth")


if __name__ == "__main__":
    main()

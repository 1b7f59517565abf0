"""Fit `mien.faces.probe_weights`, and the weights of glasses: python benchmarks/measure_fit.py DATA.

Learns from `DATA/photos` and `DATA/official` (works of the US government) and rendered heads: what is learnt
from these may ship. Of `count` people: bare, spoilt, dressed in painted beards and hats, veiled, with three
painted masks (of ten), with eyes painted shut, and made a drawing. Every other head: eyes of AU43 4 and more
are shut, of 1 and less open; two masks. Writes probe_weights.py. The biases are set so that the default
bounds drop at most one bare face of 2,000 of those learnt from, spoilt ones among them, as cross-validation
by person sees them.
`measure_quality.py` and `measure_drops.py` judge on other pictures.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from measure_spoilt import Pixels, disturbed, drawn, dressed, veiled
from measure_truth import MASKS, Head, heads, masked, shut
from mien.core.picture import decode, list_pictures
from mien.faces import probes
from mien.faces.crop import Square, cut
from mien.faces.face import Activations, Face
from mien.faces.finder import open_finder
from mien.faces.measure import SUGGESTED
from mien.faces.measure_worn import glasses_signs, look_at
from mien.faces.mesh import INPUT_SIZE, MeshNetwork

SETS = ("photos", "official")
_FALSE, _FALSE_DRAWING = 1 / 2000, 1 / 100  # of those without, which a probe may say have it
_NOTHING = np.zeros((0, 0, 3), np.uint8)  # in place of pictures that have been looked at
_INSIDE, _RISE = 0.64, 0.019  # size and height of a face in the network's crop, as the finder cuts it
_SPREAD = (0.028, 0.0115, 0.0155)  # and how much size, place along and place down vary


class Variant(NamedTuple):
    """A picture made of another. shut: None where neither shut nor open."""

    pixels: Pixels
    masked: bool = False
    shut: bool | None = False
    drawn: bool = False


@dataclass(frozen=True)
class Example:
    """What the network saw of a variant. person: examples of one stand on one side of a fold."""

    person: int
    seen: Activations
    shows: Variant


class Looker:
    """The mesh on pictures whose face is known, cut about as the finder would."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._mesh, self._rng = MeshNetwork(), rng

    def look(self, image: Pixels, face: Face, shape: tuple[int, ...]) -> Activations | None:
        """None where no face is seen. shape: of the picture, before resizing, that `face` was found in."""
        _, presence, seen = self._mesh.look(cut(image, self._square(image, face, shape), INPUT_SIZE))
        return seen if presence >= 0.5 else None

    def _square(self, image: Pixels, face: Face, shape: tuple[int, ...]) -> Square:
        spread = self._rng.normal(0, _SPREAD)
        right = np.subtract(face.eye_right, face.eye_left)
        right = right / max(float(np.hypot(*right)), 1e-6)
        side = face.size / (_INSIDE + spread[0])
        low, high = face.points[:, :2].min(axis=0), face.points[:, :2].max(axis=0)
        off = spread[1] * right + (_RISE + spread[2]) * np.array([-right[1], right[0]])
        scale = np.array(image.shape[1::-1]) / np.array(shape[1::-1])
        centre, across = ((low + high) / 2 + side * off) * scale, side * right * float(np.sqrt(scale.prod()))
        return Square((float(centre[0]), float(centre[1])), (float(across[0]), float(across[1])))


def real_faces(data: Path, count: int) -> Iterator[tuple[Pixels, Face]]:
    """Windows about the faces of `count` pictures, drawn evenly from the sets."""
    finder = open_finder("mesh")
    paths = [path for name in SETS for path in list_pictures(data / name)]
    for index in np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int):
        image = decode(paths[index], near=640).pixels
        for face in finder.find(image)[:1]:
            yield window(image, face)


def window(image: Pixels, face: Face) -> tuple[Pixels, Face]:
    """The picture up to one face's size about the face."""
    x, y, width, height = face.box
    x0, y0 = max(0, int(x - face.size)), max(0, int(y - face.size))
    part = image[y0 : int(y + height + face.size), x0 : int(x + width + face.size)]
    points = face.points - np.array([x0, y0, 0], np.float32)
    eyes = [(place[0] - x0, place[1] - y0) for place in (face.eye_left, face.eye_right)]
    moved = replace(
        face, points=points, box=(x - x0, y - y0, width, height), eye_left=eyes[0], eye_right=eyes[1]
    )
    return np.ascontiguousarray(part), moved


def variants(image: Pixels, face: Face, rng: np.random.Generator) -> Iterator[Variant]:
    """Pictures of one person, whose eyes are open."""

    def perhaps(picture: Pixels, chance: float) -> Pixels:
        return disturbed(picture, face, rng) if rng.random() < chance else picture

    yield Variant(image)
    yield Variant(disturbed(image, face, rng))
    yield Variant(perhaps(dressed(image, face, rng), 0.5))
    if rng.random() < 0.5:
        yield Variant(perhaps(veiled(image, face, rng), 0.3), shut=None)
    for name in rng.choice(list(MASKS), 3, replace=False):
        yield Variant(perhaps(masked(image, face, str(name), rng), 0.3), masked=True)
    if rng.random() < 0.5:
        yield Variant(perhaps(shut(image, face, rng), 0.5), shut=True)
    if rng.random() < 0.5:
        yield Variant(perhaps(drawn(image, face, rng), 0.5), drawn=True)


def head_variants(head: Head, face: Face, rng: np.random.Generator) -> Iterator[Variant]:
    lids = head.labels["action_units"].get("AU43", 0.0)
    unclear = 1 < lids < 4 or head.labels["glasses"] == "sun"
    for picture in (head.image, disturbed(head.image, face, rng)):
        yield Variant(picture, shut=None if unclear else lids >= 4)
    for name in rng.choice(list(MASKS), 2, replace=False):
        yield Variant(masked(head.image, face, str(name), rng), masked=True)


def examples(data: Path, count: int, num_heads: int) -> list[Example]:
    rng = np.random.default_rng(21)
    looker, finder = Looker(rng), open_finder("mesh")
    found = []

    def look(person: int, face: Face, shape: tuple[int, ...], made: Iterator[Variant]) -> None:
        for variant in made:
            if (seen := looker.look(variant.pixels, face, shape)) is not None:
                found.append(Example(person, seen, variant._replace(pixels=_NOTHING)))

    for person, (image, face) in enumerate(real_faces(data, count)):
        look(person, face, image.shape, variants(image, face, rng))
    for number, head in enumerate(heads("parts", num_heads)[::2] + heads("beard", num_heads // 5)[::2]):
        for face in finder.find(head.image)[:1]:
            look(-1 - number, face, head.image.shape, head_variants(head, face, rng))
    return found


@dataclass(frozen=True)
class Task:
    """What a probe learns. signs: [N, D]; having: bool [N]; people: int [N].

    least: the chance from which it says so. false_share: of those without of which it may say so.
    """

    name: str
    words: str
    strength: float
    signs: np.ndarray
    having: np.ndarray
    people: np.ndarray
    least: float
    false_share: float


def fit_probe(task: Task) -> str:
    """Lines of probe_weights.py."""
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=task.strength, class_weight="balanced", max_iter=1000)
    )
    honest = cross_val_predict(
        model, task.signs, task.having, groups=task.people, cv=GroupKFold(5), method="decision_function"
    )
    limit = float(np.quantile(honest[~task.having], 1 - task.false_share))
    slope = LogisticRegression(C=100.0).fit(honest[:, np.newaxis], task.having).coef_[0, 0]  # Platt 1999
    scaler, regression = model.fit(task.signs, task.having)
    weights = (slope * regression.coef_[0] / scaler.scale_).astype(np.float32)
    bias = float(slope * (regression.intercept_[0] - limit) - weights @ scaler.mean_)
    bias += float(np.log(task.least / (1 - task.least)))
    counts = f"{task.having.sum()} with, {(~task.having).sum()} without"
    print(f"{task.name}: {counts}; {np.mean(honest[task.having] > limit):.1%} found", flush=True)
    text, step = probes.pack(weights)
    packed = "\n".join(f'    "{text[at : at + 100]}"' for at in range(0, len(text), 100))
    note = f"# {task.words}: {counts}, of {len(set(task.people.tolist()))} people."
    rest = f"{task.name}_SCALE = {step:.6g}\n{task.name}_BIAS = {bias:.4f}\n"
    return f"{note}\n{task.name} = (\n{packed}\n)\n{rest}"


def tasks(found: list[Example]) -> Iterator[Task]:
    """One for each probe."""
    most_mask, least_open = SUGGESTED["mask"][1], SUGGESTED["eyes_open"][0]
    assert most_mask is not None
    assert least_open is not None
    people = np.array([one.person for one in found])

    def signs(of: Callable[[Activations], np.ndarray], chosen: np.ndarray) -> np.ndarray:
        return np.array([of(one.seen) for one, taken in zip(found, chosen, strict=True) if taken])

    every = np.ones(len(found), bool)
    having = np.array([one.shows.masked for one in found])
    yield Task(
        "MASK", "Masks", 0.005, signs(probes.lower_face_signs, every), having, people, most_mask, _FALSE
    )
    chosen = ~having & np.array([one.shows.shut is not None for one in found])
    shut_ones = np.array([bool(one.shows.shut) for one in found])[chosen]
    eyes = signs(probes.eye_signs, chosen)
    yield Task("SHUT_EYES", "Shut eyes", 0.001, eyes, shut_ones, people[chosen], 1 - least_open, _FALSE)
    chosen &= people >= 0  # a veil is of lines, too
    lines = np.array([one.shows.drawn for one in found])[chosen]
    texture = signs(probes.texture_signs, chosen)
    yield Task("DRAWING", "Drawings", 0.0001, texture, lines, people[chosen], 0.5, _FALSE_DRAWING)


_HEAD = '''"""Weights of `probes`, int8 in base 85, as `benchmarks/measure_fit.py` wrote them.

Fitted on portraits of `photos` and `official` (works of the US government) and rendered heads, bare, spoilt,
dressed, veiled, masked, with shut eyes, and drawn; see there.
"""
'''


def fit_glasses(count: int) -> None:
    """Print the weights of `glasses_signs` (they are standardised only for the fitting)."""
    finder = open_finder("mesh")
    signs, worn = [], []
    for head in heads("pose", count) + heads("parts", count)[::2]:
        for face in finder.find(head.image)[:1]:
            look = look_at(head.image, face)
            signs.append(
                glasses_signs(look, cv2.cvtColor(look.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32))
            )
            worn.append(head.labels["attributes"]["Eyeglasses"])
    values = np.array(signs)
    middle, spread = values.mean(axis=0), values.std(axis=0)
    model = LogisticRegression(C=0.3, class_weight="balanced", max_iter=2000).fit(
        (values - middle) / spread, worn
    )
    weights = model.coef_[0] / spread
    print(f"_GLASSES = {tuple(weights.round(3).tolist())}")
    print(f"_GLASSES_BIAS = {model.intercept_[0] - weights @ middle:.3f}", flush=True)


def main() -> None:
    """Read the command line, fit, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=700, help="people of real pictures")
    parser.add_argument("--heads", type=int, default=500, help="rendered heads")
    parser.add_argument("--glasses", action="store_true", help="fit glasses, and print them, instead")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.glasses:
        fit_glasses(options.heads)
        return
    found = examples(options.data, options.count, options.heads)
    lines = "\n".join([_HEAD, *(fit_probe(task) for task in tasks(found))])
    Path(probes.__file__).with_name("probe_weights.py").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()

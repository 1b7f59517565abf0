"""Fit `mien.faces.probe_weights`, and the weights of glasses: python benchmarks/measure_fit.py DATA.

Learns from `DATA/photos` and `DATA/official` (works of the US government) and rendered heads: what is learnt
from these may ship. Of `count` people: bare, spoilt, dressed in painted beards and hats, with a painted mask
(of ten), with eyes painted shut. Every other head: eyes of AU43 4 and more are shut, of 1 and less open.
Writes probe_weights.py. The biases are set so that the default bounds drop at most one bare face of 2,000 of
those learnt from, spoilt ones among them, as cross-validation by person sees them. `measure_quality.py` and
`measure_drops.py` judge on other pictures.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from measure_spoilt import Pixels, disturbed, dressed
from measure_truth import MASKS, heads, masked, shut
from mien.core.picture import decode, list_pictures
from mien.faces import probes
from mien.faces.crop import Square, cut
from mien.faces.face import Activations, Face
from mien.faces.finder import open_finder
from mien.faces.measure import SUGGESTED
from mien.faces.measure_worn import glasses_signs, look_at
from mien.faces.mesh import INPUT_SIZE, MeshNetwork

SETS = ("photos", "official")
FALSE_SHARE = 1 / 2000  # of bare faces that the default bounds may drop
STRENGTH = 0.001  # C of the regressions, on standardised signs
_INSIDE, _RISE = 0.64, 0.019  # size and height of a face in the network's crop, as the finder cuts it
_SPREAD = (0.028, 0.0115, 0.0155)  # and how much size, place along and place down vary


@dataclass(frozen=True)
class Example:
    """What the network saw. person: examples of one stand on one side of a fold."""

    seen: Activations
    person: int
    masked: bool
    shut: bool | None  # None: neither


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


def variants(
    image: Pixels, face: Face, rng: np.random.Generator
) -> Iterator[tuple[Pixels, bool, bool | None]]:
    """Pictures of one person: pixels, masked, shut (None: as the picture is)."""

    def perhaps(picture: Pixels, chance: float) -> Pixels:
        return disturbed(picture, face, rng) if rng.random() < chance else picture

    yield image, False, None
    yield disturbed(image, face, rng), False, None
    if rng.random() < 0.5:
        yield perhaps(dressed(image, face, rng), 0.5), False, None
    yield perhaps(masked(image, face, str(rng.choice(list(MASKS))), rng), 0.4), True, None
    if rng.random() < 0.5:
        yield perhaps(shut(image, face, rng), 0.5), False, True


def examples(data: Path, count: int, num_heads: int) -> list[Example]:
    rng = np.random.default_rng(21)
    looker, finder, found = Looker(rng), open_finder("mesh"), []

    def add(pairs: Iterator[tuple[Pixels, bool, bool | None]], face: Face, shape: tuple[int, ...],
            person: int, shut_already: bool | None) -> None:  # fmt: skip
        for picture, is_masked, is_shut in pairs:
            if (seen := looker.look(picture, face, shape)) is not None:
                found.append(Example(seen, person, is_masked, shut_already if is_shut is None else is_shut))

    for person, (image, face) in enumerate(real_faces(data, count)):
        add(variants(image, face, rng), face, image.shape, person, False)
    drawn = heads("parts", num_heads)[::2] + heads("beard", num_heads // 5)[::2]
    for person, head in enumerate(drawn):
        lids = head.labels["action_units"].get("AU43", 0.0)
        lids_shut = None if 1 < lids < 4 or head.labels["glasses"] == "sun" else lids >= 4
        for face in finder.find(head.image)[:1]:
            worse = [(head.image, False, None), (disturbed(head.image, face, rng), False, None)]
            add(iter(worse), face, head.image.shape, -1 - person, lids_shut)
    return found


def fit_probe(
    name: str, words: str, signs: np.ndarray, having: np.ndarray, people: np.ndarray, least: float
) -> str:
    """Lines of probe_weights.py. least: the chance from which the default bound says that it is so."""
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000)
    )
    honest = cross_val_predict(
        model, signs, having, groups=people, cv=GroupKFold(5), method="decision_function"
    )
    limit = float(np.quantile(honest[~having], 1 - FALSE_SHARE))
    scaler, regression = model.fit(signs, having)
    weights = (regression.coef_[0] / scaler.scale_).astype(np.float32)
    bias = float(regression.intercept_[0] - weights @ scaler.mean_) - limit + np.log(least / (1 - least))
    print(
        f"{name}: {having.sum()} with, {(~having).sum()} without; {np.mean(honest[having] > limit):.1%} found"
    )
    text, step = probes.pack(weights)
    packed = "\n".join(f'    "{text[at : at + 100]}"' for at in range(0, len(text), 100))
    note = (
        f"# {words}: {having.sum()} with, {(~having).sum()} without, of {len(set(people.tolist()))} people."
    )
    return f"{note}\n{name} = (\n{packed}\n)\n{name}_SCALE = {step:.6g}\n{name}_BIAS = {bias:.4f}\n"


def probe_file(found: list[Example]) -> str:
    people = np.array([one.person for one in found])
    of_mask, of_eyes = SUGGESTED["mask"][1], SUGGESTED["eyes_open"][0]
    judged = np.array([one.shut is not None and not one.masked for one in found])
    parts = [
        '"""Weights of `probes`, int8 in base 85, as `benchmarks/measure_fit.py` wrote them.\n\n'
        "Fitted on portraits of `photos` and `official` (works of the US government) and rendered heads,\n"
        'bare, spoilt, dressed, masked and with shut eyes; see there.\n"""\n',
        fit_probe("MASK", "Masks", np.array([probes.lower_face_signs(one.seen) for one in found]),
                  np.array([one.masked for one in found]), people, of_mask),
        fit_probe("SHUT_EYES", "Shut eyes",
                  np.array([probes.eye_signs(one.seen) for one in found])[judged],
                  np.array([bool(one.shut) for one in found])[judged], people[judged], 1 - of_eyes),
    ]  # fmt: skip
    return "\n".join(parts)


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
    parser.add_argument("--count", type=int, default=500, help="people of real pictures")
    parser.add_argument("--heads", type=int, default=500, help="rendered heads")
    parser.add_argument("--glasses", action="store_true", help="fit glasses, and print them, instead")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.glasses:
        fit_glasses(options.heads)
        return
    Path(probes.__file__).with_name("probe_weights.py").write_text(
        probe_file(examples(options.data, options.count, options.heads)), encoding="utf-8"
    )


if __name__ == "__main__":
    main()

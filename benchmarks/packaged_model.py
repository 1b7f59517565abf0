"""Is a generator fit to come with mien? Its scores, nearest training faces and balance; JSON and Markdown.

    python benchmarks/packaged_model.py FILE --train train.zip --hold-out hold.zip --once photos official
        --out card [--count 1000]

FILE: a generator file or run folder. train: what it learnt from last, hold-out: people it never saw
(benchmarks/hold_out.py parts them). Written to --out: scores.json, scores.md (for the model card) and
grid.png, 8x8 faces of seeds 0-63 that nobody picked.

The gate: fakes must not be near to a training face more often than people are who are not among them, and a
face must be found in 99.5 % of fakes at psi .7 and 99 % at psi 1. Near is what 5 % of people are; a hold-out
alone is some hundred faces, of which 5 % are a handful.
Through LPIPS (mirrored too) people are the hold-out, and the training set, each face against those of
everybody whom the identity network does not take for the same person. Of the fakes neither more than 5 % may
be near, nor more than of the hold-out.
Through the identity network that would say nothing: whoever it takes for another has left both. There people
are the faces of --once, classes in which nobody stands twice, each against the others of its class, and fakes
against the same classes.
Planted copies (training faces mirrored, brightened, as JPEG 60) show that the judges see copies. Exit code 1
where the gate is shut.
"""

import argparse
import io
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mien.core.atomic import write_text
from mien.core.image import to_float, to_hwc
from mien.core.network import LoadedNetwork, load_network
from mien.core.sampling import draw, latents
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.evaluation.measure import measure
from mien.faces.identity import SAME_PERSON, IdentityNetwork
from mien.faces.identity import distances as identity_distances
from mien.generation.generate import generate
from mien.metrics import faces as face_metric
from mien.nn.lpips import Lpips

PSIS = (0.7, 1.0)
LEAST_FOUND = {0.7: 0.995, 1.0: 0.99}
PERCENTILE = 5.0  # of people's distances: nearer than that counts as near
LEVELS = (1.0, 5.0, 10.0, 50.0)
COPIES = 100
_CHUNK = 32
Embed = Callable[[Tensor], np.ndarray]  # uint8 [N, C, H, W] to [N, D], Euclidean


@dataclass(frozen=True)
class Nearness:
    """How near pictures are to the nearest training face, through one network.

    thresholds: the distance of people at each of LEVELS. shares: at each, of people, of the hold-out among
    them, of the fakes by psi, and of planted copies, that are nearer; medians: of the same. measures: of whom
    the share must not be less than that of the fakes.
    """

    network: str
    thresholds: dict[str, float]
    shares: dict[str, dict[str, float]]
    medians: dict[str, float]
    measures: tuple[str, ...]

    @property
    def gate(self) -> bool:
        """Whether fakes at psi 1 are near to training faces no more often than people not among them are."""
        at = f"{PERCENTILE:g}"
        return self.shares["psi 1"][at] <= min(self.shares[who][at] for who in self.measures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--train", required=True)
    parser.add_argument("--hold-out", required=True)
    parser.add_argument("--once", nargs="+", required=True, help="classes in which nobody stands twice")
    parser.add_argument("--out", type=Path, default=Path("card"))
    parser.add_argument("--count", type=int, default=1000, help="fakes at each psi")
    parser.add_argument("--found-count", type=int, default=1000, help="fakes in which faces are looked for")
    parser.add_argument("--seed", type=int, default=1_000_000, help="of the first fake")
    arguments = parser.parse_args()
    loaded = load_network(arguments.file)
    train, held_out = (open_dataset(source) for source in (arguments.train, arguments.hold_out))
    fakes = {psi: drawn(loaded, arguments.count, arguments.seed, psi) for psi in PSIS}
    sources = np.array([str((record.get("labels") or {}).get("class")) for record in train.records])
    if lacking := [source for source in arguments.once if source not in sources]:
        parser.error(f"--once: {', '.join(lacking)}: no such class in {arguments.train}")
    nearness = nearest(images(train), sources, arguments.once, images(held_out), fakes)
    found: dict[str, Any] = {
        "model": loaded.model,
        "kimg": loaded.header.nimg / 1000,
        "train": {"name": train.name, "images": len(train), "content_hash": train.content_hash},
        "hold_out": {"name": held_out.name, "images": len(held_out), "content_hash": held_out.content_hash},
        "once": arguments.once,
        "fakes": {"count": arguments.count, "first_seed": arguments.seed},
        "found_count": arguments.found_count,
        "faces_found": {
            f"{psi:g}": faces_found(drawn(loaded, arguments.found_count, arguments.seed, psi)) for psi in PSIS
        },
        "kernel": {
            side: kernel(loaded.path, source, arguments.count, arguments.seed)
            for side, source in (("hold-out", arguments.hold_out), ("train", arguments.train))
        },
        "nearest": [asdict(each) for each in nearness],
        "balance": balance({"training": images(train), **{f"psi {p:g}": fakes[p] for p in PSIS}}),
    }
    shut = [each.network for each in nearness if not each.gate]
    shut += [f"faces at psi {p:g}" for p in PSIS if found["faces_found"][f"{p:g}"] < LEAST_FOUND[p]]
    found["gate"] = {"open": not shut, "shut_by": shut}
    (grid,) = generate(arguments.file, out=arguments.out, seeds="0-63", grid=True).run()
    grid.replace(arguments.out / "grid.png")
    write_text(arguments.out / "scores.json", json.dumps(found, indent=2) + "\n")
    write_text(arguments.out / "scores.md", markdown(found))
    print(markdown(found))
    sys.exit(bool(shut))


def images(dataset: Dataset) -> Tensor:
    return torch.from_numpy(np.array(dataset.images(np.arange(len(dataset)))))


def drawn(loaded: LoadedNetwork[Any], count: int, seed: int, psi: float) -> Tensor:
    generator: Any = loaded.network
    return draw(generator, latents(list(range(seed, seed + count)), generator.z_dim), psi=psi)


def faces_found(pictures: Tensor) -> float:
    """The share of pictures in which a face is found."""
    return face_metric.compute(pictures[:1], pictures)["faces_fake"]


def kernel(file: Path, data: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Kernel distances through every usual network, at each psi, and of the data's halves."""
    rows = []
    for psi in PSIS:
        options: dict[str, Any] = {"num_fake": count, "num_real": count, "seed": seed, "psi": psi}
        scores = measure(file, data, metrics=["kernel"], floor=psi == 1, **options)
        for score in scores:
            subject = f"psi {psi:g}" if score.subject == "generator" else score.subject
            row = {"subject": subject, "network": score.network, "value": score.value}
            rows.append({**row, "low": score.low, "high": score.high})
    return rows


def nearest(
    train: Tensor, sources: np.ndarray, once: list[str], held_out: Tensor, fakes: dict[float, Tensor]
) -> list[Nearness]:
    """Through LPIPS and identity. sources: of each training face its class."""
    lpips, identity = Lpips.load("alexnet"), IdentityNetwork.load("cpu")

    @torch.inference_mode()
    def perceptual(pictures: Tensor) -> np.ndarray:
        return lpips.embed(to_float(pictures)).numpy()

    probes = {"hold-out": held_out, **{f"psi {psi:g}": fakes[psi] for psi in fakes}, "copies": copies(train)}
    who = identity.features(train)
    same = identity_distances(who, who) <= SAME_PERSON
    return [
        _by_looks(perceptual, train, same, probes),
        _by_identity(identity.features, train, sources, once, probes),
    ]


def _by_looks(embed: Embed, train: Tensor, same: np.ndarray, probes: dict[str, Tensor]) -> Nearness:
    """same: bool [N, N], which of the training faces are taken for one person; each is for its own."""
    faces = both_ways(train, embed)
    far = {who: distances(both_ways(pictures, embed), faces[0]) for who, pictures in probes.items()}
    people = np.concatenate([far["hold-out"], distances(faces, faces[0], without=same)])
    return _nearness("LPIPS-AlexNet", people, far, ("people", "hold-out"))


def _by_identity(
    embed: Embed, train: Tensor, sources: np.ndarray, once: list[str], probes: dict[str, Tensor]
) -> Nearness:
    """Each face against sources in which nobody stands twice, one at a time; copies against all."""
    faces = both_ways(train, embed)
    galleries = [sources == source for source in once]
    far = {}
    for who, pictures in probes.items():
        rows = both_ways(pictures, embed)
        among = [np.ones(len(train), bool)] if who == "copies" else galleries
        far[who] = np.concatenate([distances(rows, faces[0][gallery]) for gallery in among])
    people = [
        distances(faces[:, gallery], faces[0][gallery], without=np.eye(gallery.sum(), dtype=bool))
        for gallery in galleries
    ]
    return _nearness("identity", np.concatenate(people), far, ("people",))


def _nearness(
    network: str, people: np.ndarray, far: dict[str, np.ndarray], measures: tuple[str, ...]
) -> Nearness:
    far = {"people": people, **far}
    thresholds = {f"{level:g}": float(np.percentile(people, level)) for level in LEVELS}
    shares = {
        who: {level: float(np.mean(row <= most)) for level, most in thresholds.items()}
        for who, row in far.items()
    }
    medians = {who: float(np.median(row)) for who, row in far.items()}
    return Nearness(network, thresholds, shares, medians, measures)


def both_ways(pictures: Tensor, embed: Embed) -> np.ndarray:
    """The embeddings of pictures as they are and mirrored: [2, N, D]."""
    chunks = pictures.split(_CHUNK)  # type: ignore[no-untyped-call]
    return np.stack(
        [np.concatenate([embed(chunk.flip(-1) if way else chunk) for chunk in chunks]) for way in (0, 1)]
    )


def distances(faces: np.ndarray, gallery: np.ndarray, without: np.ndarray | None = None) -> np.ndarray:
    """Of each face [2, N, D], as it is or mirrored, to the nearest of the gallery [M, D]: [N].

    without: bool [N, M], whom not to look at.
    """
    lengths = np.square(gallery).sum(axis=1)
    squares = [np.square(rows).sum(axis=1)[:, None] + lengths - 2 * rows @ gallery.T for rows in faces]
    nearer = np.minimum(*squares)
    if without is not None:
        nearer[without] = np.inf
    least: np.ndarray = np.sqrt(np.maximum(nearer.min(axis=1), 0))
    return least


def copies(train: Tensor) -> Tensor:
    """Every so-manieth training face mirrored, brightened by 15 levels and through JPEG at quality 60."""
    chosen = train[np.linspace(0, len(train) - 1, min(COPIES, len(train))).astype(int)]
    bright = (chosen.flip(-1).int() + 15).clamp(0, 255).to(torch.uint8)
    return torch.stack([_through_jpeg(picture) for picture in bright])


def _through_jpeg(picture: Tensor) -> Tensor:
    pixels = to_hwc(picture)
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "JPEG", quality=60)
    decoded = np.asarray(Image.open(buffer, formats=["JPEG"])).reshape(pixels.shape)
    return torch.from_numpy(decoded.copy()).permute(2, 0, 1)


def balance(sides: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """Sex and age as two networks guess them, and how far heads are turned, of each side's pictures."""
    from mien.faces.age_sex import AgeSexNetworks
    from mien.faces.finder import open_finder
    from mien.faces.pose import head_pose

    guesser, finder = AgeSexNetworks.load(), open_finder("mesh")
    result = {}
    for side, pictures in sides.items():
        guess = guesser.guess(pictures)
        found = (finder.find(face_metric.prepared(to_hwc(picture))) for picture in pictures)
        yaws = [
            abs(head_pose(faces[0].points)[0]) for faces in found if faces and faces[0].points is not None
        ]
        result[side] = {
            "women": float(np.mean(guess.female > 0.5)),
            **{
                f"{low} to {high} years": float(np.mean((guess.years >= low) & (guess.years < high)))
                for low, high in ((0, 25), (25, 40), (40, 55), (55, 81))
            },
            "turned by more than 15 degrees": float(np.mean(np.array(yaws) > 15)) if yaws else 0.0,
        }
    return result


def markdown(found: dict[str, Any]) -> str:
    """The part of the model card that this measured."""
    gate = "open" if found["gate"]["open"] else f"shut by {', '.join(found['gate']['shut_by'])}"
    parts = [
        f"## Scores\n\n{found['fakes']['count']:,} fakes from seed {found['fakes']['first_seed']:,};"
        f" training set {found['train']['images']:,} pictures, hold-out {found['hold_out']['images']:,} of"
        f" people that it never saw. Gate: {gate}.\n",
        _table(
            (f"face found in {found['found_count']:,}", "share"),
            [(f"psi {psi}", f"{share:.1%}") for psi, share in found["faces_found"].items()],
        ),
        _table(("kernel distance to", "through", "of", "value", "95 % interval"), _kernel_rows(found)),
        "## Nearest training faces\n\nShare nearer to a training face than this share of people is who are"
        " not among them. By LPIPS: the hold-out, and each training face against those of everybody else. By"
        f" identity: each face of {' and '.join(found['once'])} against the others there; copies against"
        " all.\n",
        *(_near(each) for each in found["nearest"]),
        "## Balance\n\nAs networks guess it; they err, and on small pictures more.\n",
        _balance(found["balance"]),
    ]
    return "\n".join(parts)


def _kernel_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            side,
            row["network"],
            row["subject"],
            f"{row['value']:.4f}",
            "" if row["low"] is None else f"{row['low']:.4f} to {row['high']:.4f}",
        )
        for side, rows in found["kernel"].items()
        for row in rows
    ]


def _near(each: dict[str, Any]) -> str:
    rows = [
        (who, *(f"{share:.1%}" for share in shares.values()), f"{each['medians'][who]:.3f}")
        for who, shares in each["shares"].items()
    ]
    return _table((each["network"], *(f"{level} %" for level in each["thresholds"]), "median distance"), rows)


def _balance(sides: dict[str, dict[str, float]]) -> str:
    names = list(next(iter(sides.values())))
    return _table(("", *sides), [(name, *(f"{side[name]:.1%}" for side in sides.values())) for name in names])


def _table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()

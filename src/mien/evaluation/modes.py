"""`mien modes`: what the training images show and the generator does not draw."""

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from cyclopts import Parameter
from pydantic import BaseModel
from torch import Tensor

from mien import TOOL
from mien.core.atomic import write_text
from mien.core.errors import want_folder
from mien.core.events import Column, Events, Table, job
from mien.core.seeds import Seed
from mien.datasets.opening import open_dataset
from mien.evaluation.extraction import Ticker, extract
from mien.evaluation.image_sets import DatasetReals, check_alike, choice, data_of, open_fakes, pictures
from mien.evaluation.measure import feature_networks
from mien.evaluation.mode_scores import Bin, Occupancy, Support, cut_of, occupancy, power, support
from mien.faces.identity import distances
from mien.metrics import prdc
from mien.reports.inline_images import Shown, show_strip
from mien.reports.page import write_html
from mien.training.settings import pick_device

_MOST = 2_000
_SHOWN_BINS, _SHOWN_IMAGES = 12, 10
_PRDC = ("coverage", "recall", "recall_symmetric")


class Modes(BaseModel, frozen=True, protected_namespaces=()):
    """What `mien modes` found through one feature network.

    ndb, ndb_real, jsd: see `mode_scores.Occupancy`. missing: bins that fakes surely lack, as (share of
    training images, share of fakes); missing_share: of the training images that lie in any of them. power:
    the chance that a loss of a tenth of the clusters is found, with its interval; None with too few images to
    try. enough: training images and fakes that find it in 80 %, None where these do. support, support_real:
    (size, low, high), None: no bound. prdc: coverage, recall and its symmetric form, each (value, low, high).
    """

    model: str
    data: str
    data_hash: str
    network: str
    num_real: int
    num_fake: int
    num_bins: int
    ndb: float
    ndb_real: float
    jsd: float
    missing: tuple[tuple[float, float], ...]
    missing_share: float
    power: tuple[float, float, float] | None
    enough: tuple[int, int] | None
    support: tuple[float | None, float | None, float | None]
    support_real: tuple[float | None, float | None, float | None]
    prdc: dict[str, tuple[float, float, float]]
    tool: str = TOOL


@job
def modes(
    events: Events,
    run: str,
    /,
    *,
    data: str | None = None,
    features: Annotated[str | None, Parameter(name="--features")] = None,
    out: Path = Path("modes"),
    count: int = 1_000,
    bins: int | None = None,
    seed: Seed = 0,
    trunc: float = 1.0,
    device: str = "auto",
) -> Modes:
    """Say what the training images show and the model does not draw, with pictures of it.

    Training images are parted into bins by their features, in many ways; a kind is missing where fakes are
    surely rarer in its bin (5 % over all bins together), and by half or more. Beside it: NDB and JSD,
    coverage and recall, and the support by the birthday paradox: how many different faces there seem to be.
    Writes modes.html and modes.json. Raises InputError where there are too few images.

    Parameters
    ----------
    run
        A run folder, a .safetensors file, "packaged", or pictures: a folder, a zip, an .npy or .npz.
    data
        What it was trained on, as for train; by default what a run says of itself.
    features
        The feature network, as for evaluate; by default lite0.
    out
        Folder for the page and the JSON.
    count
        How many fakes are drawn, and training images compared.
    bins
        How many bins; by default one for 25 training images and 10 fakes, at most 100.
    seed
        Seed of the first fake.
    trunc
        Truncation psi from 0 to 1.
    device
        cpu, cuda, mps or auto.
    """
    want_folder(out)
    place = pick_device(device)
    data = data_of([run], data, events.note)
    source, train = open_fakes(run, place), open_dataset(data)
    for note in source.notes:
        events.warn(note)
    check_alike(source.spec, train.spec, run, data)
    network = feature_networks([features] if features else None, place, events.note)[0]
    num_real, num_fake = min(len(train), max(count, _MOST)), min(count, source.most or count)
    tick = Ticker(events.progress("extracting features"), num_real + num_fake)
    real = DatasetReals(train).extract([network], num_real, 0, tick).features[network.name]
    drawn = source.batches(DatasetReals(train), num_fake, seed=seed, psi=trunc, device=place)
    fake = extract(drawn, [network], num_fake, 0, tick).features[network.name]
    x, y = (part.numpy() for part in prdc.projected(real, fake, prdc.DIMS))
    bins_of = occupancy(x, y, bins=bins, seed=seed)
    chance = power(x, len(y), bins=bins, seed=seed)
    same = min(len(x), len(y))
    apart = distances(x[:same], x[:same])
    cut = cut_of(apart)
    supports = support(distances(y[:same], y[:same]), cut), support(apart, cut)
    values = prdc.compute(real, fake)
    result = Modes(
        model=str(source.about(num_fake, seed, trunc)["model_id"]),
        data=train.name,
        data_hash=train.content_hash,
        network=network.name,
        num_real=num_real,
        num_fake=num_fake,
        num_bins=len(bins_of.bins),
        ndb=bins_of.ndb,
        ndb_real=bins_of.ndb_real,
        jsd=bins_of.jsd,
        missing=tuple((one.real, one.fake) for one in bins_of.missing),
        missing_share=len(bins_of.missing_reals) / num_real,
        power=None if chance is None else (chance.chance, chance.low, chance.high),
        enough=None
        if chance is None or chance.times == 1
        else (_rounded_up(num_real * chance.times), _rounded_up(num_fake * chance.times)),
        support=_finite(supports[0]),
        support_real=_finite(supports[1]),
        prdc={
            name: (values[name], values.get(f"{name}_low", 0.0), values.get(f"{name}_high", 1.0))
            for name in _PRDC
        },
    )
    chosen = choice(len(train), num_real)

    def images(bin_: Bin) -> Tensor:
        return torch.cat(list(pictures(train, chosen[bin_.members[:_SHOWN_IMAGES]])))

    write_text(out / "modes.json", result.model_dump_json(indent=1) + "\n")
    write_html(out / "modes.html", "modes.html.j2", _context(result, bins_of, images))
    events.send(shown(result))
    for _, line in sentences(result):
        events.note(line)
    for name in ("modes.html", "modes.json"):
        events.wrote(out / name)
    return result


def sentences(result: Modes) -> list[tuple[str, str]]:
    """Tone and sentence, the conclusion first."""
    size, low, _ = result.support
    real_size = result.support_real[0]
    lines = []
    if result.missing:
        number = len(result.missing)
        kinds = "a kind of training image is" if number == 1 else f"{number} kinds of training image are"
        lines.append(
            (
                "doubt",
                f"{kinds} missing among the fakes or far too rare; {result.missing_share:.0%} of the training"
                " images are of such a kind",
            )
        )
    else:
        lines.append(("good", "no kind of training image is surely missing"))
    lines.append(_power(result))
    if size is None:
        lines.append(
            ("plain", f"no two fakes are alike: there are more than {low or 0:,.0f} different faces")
        )
    else:
        small = real_size is None or size < real_size / 3
        among = "more than the pairs can tell" if real_size is None else f"{real_size:,.0f}"
        several = "all fakes look like one face" if size < 1.5 else f"some {size:,.0f} different faces"
        lines.append(
            (
                "doubt" if small else "plain",
                f"{several} by pairs that are alike (training images by the same rule: {among})",
            )
        )
    return lines


def _power(result: Modes) -> tuple[str, str]:
    """Tone and sentence: what would have been found."""
    if result.power is None:
        return "doubt", "too few images to say what would be found: use 1,000 training images and fakes"
    chance, low, high = result.power
    line = (
        "a loss of a tenth of all kinds of faces would be found with a chance of"
        f" {chance:.0%} ({low:.0%} to {high:.0%})"
    )
    if result.enough is None:
        return "plain", line
    real, fake = result.enough
    return "doubt", f"{line}; for 80 % use some {real:,} training images and {fake:,} fakes"


def _rounded_up(number: float) -> int:
    """To two digits."""
    step = int(10 ** (int(math.log10(number)) - 1))
    return math.ceil(number / step) * step


def shown(result: Modes) -> Table:
    columns = (Column("score", wraps=True), Column("value", wraps=True), Column("what is usual", wraps=True))
    rows: list[tuple[str, ...]] = [
        ("kinds missing", f"{len(result.missing)}", "0"),
        ("NDB/K", f"{result.ndb:.2f}", f"{result.ndb_real:.2f} (real halves)"),
        ("JSD, bits", f"{result.jsd:.3f}", "0"),
        *(
            (name.replace("_", " "), f"{value:.2f} ({low:.2f} to {high:.2f})", "1")
            for name, (value, low, high) in result.prdc.items()
        ),
        ("support", _support(result.support), f"{_support(result.support_real)} (training images)"),
    ]
    title = f"{result.model} through {result.network}: {result.num_fake:,} fakes, {result.num_real:,} real"
    return Table(columns, tuple(rows), title, "in brackets: 95 % intervals")


def _context(result: Modes, occupied: Occupancy, images: Any) -> dict[str, Any]:
    lost = occupied.missing_reals
    others = [bin_ for bin_ in occupied.bins if np.isin(bin_.members, lost).mean() < 0.5]
    rows: list[tuple[Bin, Shown]] = []
    for bin_ in (*occupied.missing, *others)[:_SHOWN_BINS]:
        strip = show_strip(images(bin_).numpy(), f"training images of bin {len(rows) + 1}", made=None)
        rows.append((bin_, strip))
    return {
        "modes": result,
        "verdict": [(tone, f"{line[0].upper()}{line[1:]}.") for tone, line in sentences(result)],
        "table": shown(result),
        "bins": rows,
    }


def _finite(value: Support) -> tuple[float | None, float | None, float | None]:
    size, low, high = (x if np.isfinite(x) else None for x in (value.size, value.low, value.high))
    return size, low, high


def _support(value: tuple[float | None, float | None, float | None]) -> str:
    size, low, high = value
    if size is None:
        return f"over {low or 0:,.0f}"
    return f"{size:,.0f} ({low or 0:,.0f} to {'any' if high is None else f'{high:,.0f}'})"

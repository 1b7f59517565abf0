"""What was found of a translator: the figures, where they are kept and how they are shown."""

from pydantic import BaseModel, ConfigDict
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from mien import TOOL
from mien.attributes.agreement import Interval
from mien.core import ledger
from mien.core.run import RunFolder

METRIC = "translator"


class Closeness(BaseModel):
    """How near to their targets pictures are, pixel by pixel. way: "translated", "input", "mean target".

    l1: as a share of the range. psnr: in dB, the mean over pictures. ms_ssim, ssim: None under 11 px.
    """

    model_config = ConfigDict(frozen=True)

    way: str
    l1: Interval
    psnr: float
    ssim: float | None
    ms_ssim: float | None


class Likeness(BaseModel):
    """How like their targets pictures are to a feature network.

    distance: mean distance to the own target (`_identity.distances`). rank1: how often that is the nearest
    among `among` people's. auc: how often it is nearer than anyone else's. doubt: of the Frechet distance.
    """

    model_config = ConfigDict(frozen=True)

    way: str
    network: str
    network_hash: str
    resize: str
    distance: float
    frechet: float
    rank1: Interval
    auc: float
    doubt: str | None


class Examination(BaseModel):
    """What was found of a translator; a line of `metric-translator.jsonl`.

    unseen: whether the model is known not to have learnt from these people. how: in words, which these are.
    among: people of whom one is looked for; rank1 of pure chance is one in so many. mean target: the mean of
    the targets examined, which is nearer to them than a mean of others could be.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_id: str
    nimg: int
    dataset_name: str
    dataset_hash: str
    roles: tuple[str, ...]
    num_pairs: int
    num_people: int
    unseen: bool
    how: str
    among: int
    closeness: tuple[Closeness, ...]
    likeness: tuple[Likeness, ...]
    tool: str = TOOL


def append(run: RunFolder, found: Examination) -> None:
    """Add a line to the run's `metric-translator.jsonl`, atomically."""
    ledger.append(run, METRIC, found)


def newest(run: RunFolder) -> Examination | None:
    """What was found last, None where nothing was. Raises InputError for a damaged line."""
    return ledger.newest(run, METRIC, Examination)


def table(found: Examination) -> RenderableType:
    """Pixel by pixel, then to each feature network; the translated above what must be beaten."""
    way = " to ".join(found.roles) or "input to target"
    lines: list[RenderableType] = [
        f"[bold]{found.model_id}[/], {way}, on {found.num_pairs:,} pairs of {found.num_people:,} people"
        f" ({found.dataset_name}), {found.how}",
        _pixels(found),
    ]
    for network in dict.fromkeys(one.network for one in found.likeness):
        of_network = [one for one in found.likeness if one.network == network]
        lines += [_through(network, of_network), *_doubts(of_network)]
    lines.append(
        f"rank 1: how often the own target is the nearest of {found.among} people's (chance:"
        f" {1 / found.among:.1%}); AUC: how often it is nearer than another's; in brackets: 95 % intervals"
    )
    return Group(*lines)


def _pixels(found: Examination) -> Table:
    grid = _grid("pixels", "L1", "PSNR", "SSIM", "MS-SSIM")
    for one in found.closeness:
        similar = ["-" if value is None else f"{value:.3f}" for value in (one.ssim, one.ms_ssim)]
        grid.add_row(one.way, _share(one.l1), f"{one.psnr:.2f} dB", *similar)
    return grid


def _through(network: str, rows: list[Likeness]) -> Table:
    grid = _grid(f"through {network}", "rank 1", "AUC", "distance", "Frechet")
    for one in rows:
        grid.add_row(
            one.way, _share(one.rank1), f"{one.auc:.3f}", f"{one.distance:.3f}", f"{one.frechet:.4g}"
        )
    return grid


def _doubts(rows: list[Likeness]) -> list[str]:
    return sorted({f"Frechet: {one.doubt}" for one in rows if one.doubt})


def _grid(*headings: str) -> Table:
    grid = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in headings:
        left = heading == headings[0]
        grid.add_column(heading, justify="left" if left else "right", no_wrap=not left)
    return grid


def _share(figure: Interval) -> str:
    return f"{figure.value:.1%} ({figure.low:.1%}-{figure.high:.1%})"

"""`mien report`: the HTML report of a run, in one file without scripts or outside requests."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.core.errors import MienError
from mien.core.events import Events, Tick, job
from mien.core.family import GENERATOR
from mien.core.network import LoadedNetwork, load_network
from mien.core.run import RunFolder
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.evaluation.neighbours import NearestNeighbours, memorisation, nearest, spaces
from mien.evaluation.psi_curve import charts_and_table, curves_of
from mien.reports.charts import number
from mien.reports.inline_images import (
    Samples,
    Shown,
    draw_samples,
    show_grid,
    show_real,
    show_sample,
    show_timelapse,
)
from mien.reports.log import read_log
from mien.reports.page import attempt, report_path, run_parts, write_html
from mien.reports.score_tables import quote, read_scores, tables
from mien.reports.sentences import dig, facts, lead, verdict
from mien.training.kinds import kind, kind_at

_NUM_SHOWN = 24
_NUM_SAMPLES = 64  # compared with the training pictures
_NUM_NEIGHBOURS = 4
_NUM_CLOSEST = 8


@job
def report(events: Events, run: Path, /, *, data: str | None = None, out: Path | None = None) -> Path:
    """Write a run's report: one self-contained HTML page.

    Returns the path of the page. Raises InputError where `run` is no run folder.

    Parameters
    ----------
    run
        A run folder.
    data
        The dataset, if it is not where it was when the run was made.
    out
        Where to write the page, or a folder for it; report.html in the run folder by default.
    """
    writer = kind(kind_at(run) if run.is_dir() else GENERATOR)
    progress = events.progress("comparing with the training pictures")
    path: Path = writer.write_report(run, data=data, out=out, progress=progress)
    events.wrote(path)
    return path


def write_report(
    run: Path, *, data: str | None = None, out: Path | None = None, progress: Tick | None = None
) -> Path:
    """Write the report of a run folder as one HTML page and return its path.

    data: the training pictures as `open_dataset` takes them; by default where the run's config says they
    were. out: the page; by default `report.html` in the run folder.
    progress(done, total) counts training pictures looked at. What is missing or damaged (generator,
    pictures, log, scores, dataset) costs its part of the page, which says so.
    Raises InputError where `run` is no run folder or `out` is another file.
    """
    folder = RunFolder.open(run)
    path = report_path(folder, out)
    write_html(path, "report.html.j2", _context(folder, data, progress))
    return path


def _context(run: RunFolder, data: str | None, progress: Tick | None) -> dict[str, Any]:
    config, config_note = attempt(run.read_config, {})
    loaded, loaded_note = _generator(run)
    dataset, dataset_note = _open_data(config, data, progress)
    log = read_log(run)
    timelapse, why = attempt(lambda: show_timelapse(run) if run.timelapse.is_file() else None, None)
    if timelapse is None:
        unwritten = "There is no timelapse yet; the run writes it when its budget is spent."
        why = f"The timelapse could not be shown: {why}" if why else unwritten
    scores, num_damaged_scores = read_scores(run)
    samples, samples_note = _samples(loaded, dataset)
    compared, comparison_note = _neighbours(samples, dataset, dataset_note, config, progress)
    content = dig(config, "dataset", "content_hash")
    trained_on = content if isinstance(content, str) else None
    curves, other_scores = curves_of(scores)
    quoted = quote(scores, trained_on=trained_on)
    nimg = (loaded.header.nimg or 0) if loaded else 0
    return {
        "lead": lead(config, loaded, log),
        "verdict": list(verdict(log, quoted, memorisation(compared))),
        "facts": [*facts(config, log, nimg), ("Newest generator", loaded.model if loaded else "none")],
        "samples": [(show_sample(samples, at), samples.classes[at]) for at in range(_NUM_SHOWN)]
        if samples
        else [],
        "samples_note": samples_note or loaded_note,
        "timelapse": (timelapse, why),
        "grids": _grids(run),
        "compared": [
            _comparison(one, samples, dataset)
            for one in compared
            if samples is not None and dataset is not None
        ],
        "nearest_note": comparison_note,
        "tables": tables(other_scores, trained_on=trained_on),
        "psi_curves": [charts_and_table(curve) for curve in curves],
        "num_damaged_scores": num_damaged_scores,
        **run_parts(run, log, config, _products(run, loaded)),
        "config_note": config_note,
    }


def _generator(run: RunFolder) -> tuple[LoadedNetwork[Any] | None, str]:
    """The newest generator that can be read, and a note on those that cannot."""
    notes = []
    for path in reversed(run.generators()):
        try:
            loaded = load_network(path)
        except MienError as error:
            notes.append(f"{error}.")
            continue
        if notes:
            notes.append(f"An older one was taken instead: {path.name}.")
        return loaded, " ".join(notes)
    return None, " ".join(notes) or "The run has saved no generator yet."


def _open_data(
    config: Mapping[str, Any], data: str | None, progress: Tick | None
) -> tuple[Dataset | None, str]:
    """The training dataset, or why it is missing; with what is doubtful about it."""
    source = data if data is not None else dig(config, "dataset", "source")
    if not isinstance(source, str):
        return None, "The configuration does not say on what the run was trained; give --data."
    try:
        dataset = open_dataset(source, progress=progress)
    except MienError as error:
        return None, f"The training pictures are not at hand: {error}."
    expected = dig(config, "dataset", "content_hash")
    if expected is not None and dataset.content_hash != expected:
        return dataset, f"{source} does not hold the pictures that the run was trained on, but others."
    return dataset, ""


def _samples(loaded: LoadedNetwork[Any] | None, dataset: Dataset | None) -> tuple[Samples | None, str]:
    if loaded is None:
        return None, ""
    try:
        return draw_samples(loaded, dataset, _NUM_SAMPLES), ""
    except (RuntimeError, ValueError, TypeError) as error:  # whatever a file from elsewhere may make torch do
        reason = " ".join(str(error).split())[:200]
        return None, f"No samples could be drawn ({type(error).__name__}: {reason})."


def _neighbours(
    samples: Samples | None, dataset: Dataset | None, note: str, config: Mapping[str, Any], tick: Tick | None
) -> tuple[list[NearestNeighbours], str]:
    """The samples' nearest training images, in each space whose files are here. note: on the dataset."""
    if samples is None:
        return [], f"There are no samples to compare with training pictures. {note}".strip()
    if dataset is None:
        return [], note
    images = samples.images
    mirror = dig(config, "options", "mirror") is not False
    compared, why = attempt(
        lambda: [
            nearest(images, dataset, mirror=mirror, count=_NUM_NEIGHBOURS, space=space, progress=tick)
            for space in spaces(images.shape[-1])
        ],
        [],
    )
    return compared, why or note


def _grids(run: RunFolder) -> list[tuple[str, Shown | None, str]]:
    """The run's grids of real and generated images: title, image, and why there is none."""
    newest = run.all_fakes()[-1:] or [run.fakes(0)]
    grids: list[tuple[str, Shown | None, str]] = []
    for title, path, generated in (("Real", run.reals, False), ("Generated", newest[0], True)):
        alt = f"a grid of {title.lower()} pictures ({path.name})"
        try:
            grids.append((title, show_grid(path, alt, generated=generated), path.name))
        except MienError as error:
            grids.append((title, None, f"It could not be shown: {error}."))
    return grids


def _comparison(
    comparison: NearestNeighbours, samples: Samples | None, dataset: Dataset | None
) -> dict[str, Any]:
    """The samples nearest to a training image, each with its neighbours."""
    assert samples is not None
    assert dataset is not None
    rows = []
    for index in comparison.closest(_NUM_CLOSEST):
        near = comparison.neighbours[index]
        shown = [show_real(dataset, neighbour.index, f"{neighbour.ratio:.2f}") for neighbour in near]
        rows.append((show_sample(samples, index), shown))
    return {"nearest": comparison, "rows": rows, "words": list(comparison.sentences())}


def _products(run: RunFolder, loaded: LoadedNetwork[Any] | None) -> Iterator[tuple[Path, str]]:
    if loaded is not None:
        header = loaded.header
        when = f", saved {header.created}" if header.created else ""
        yield loaded.path, f"generator at {number(header.nimg / 1000)} kimg, {header.tool}{when}"
    yield run.reals, "real pictures"
    yield from ((path, "newest grid") for path in run.all_fakes()[-1:])
    yield run.timelapse, "timelapse"

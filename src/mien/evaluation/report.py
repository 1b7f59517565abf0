"""`mien report`: the HTML report of a run, in one file without scripts or outside requests."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from mien import TOOL
from mien.core.atomic import write_bytes
from mien.core.errors import InputError, MienError
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
from mien.reports.page import files_of, log_parts, render
from mien.reports.score_tables import quote, read_scores, tables
from mien.reports.sentences import dig, facts, lead, verdict
from mien.training.kinds import kind, kind_at
from mien.training.settings import pick_device

_NUM_SHOWN = 24
_NUM_SAMPLES = 64  # compared with the training pictures
_NUM_NEIGHBOURS = 4
_NUM_CLOSEST = 8


@dataclass(frozen=True)
class _Data:
    """The training dataset, or why it is missing. note: what is doubtful about it."""

    dataset: Dataset | None
    note: str


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
        Where to write the page; report.html in the run folder by default.
    """
    writer = kind(kind_at(run) if run.is_dir() else GENERATOR)
    progress = events.progress("comparing with the training pictures")
    path: Path = writer.write_report(run, data=data, out=out, progress=progress)
    events.wrote(path)
    return path


def write_report(
    run: Path,
    *,
    data: str | None = None,
    out: Path | None = None,
    device: str = "cpu",
    progress: Tick | None = None,
) -> Path:
    """Write the report of a run folder as one HTML page and return its path.

    data: the training pictures as `open_dataset` takes them; by default where the run's config says they
    were. out: the page; by default `report.html` in the run folder. device: where samples are drawn.
    progress(done, total) counts training pictures looked at. What is missing or damaged (generator,
    pictures, log, scores, dataset) costs its part of the page, which says so.
    Raises InputError where `run` is no run folder, `out` is a folder, or there is no such device.
    """
    folder = RunFolder.open(run)
    place = pick_device(device)
    target = out or folder.report
    if target.is_dir():
        raise InputError(f"{target}: is a folder; give --out the name of a file")
    page = render("report.html.j2", _gather(folder, data, place, progress))
    # A log may hold lone surrogates, which UTF-8 cannot.
    write_bytes(target, page.encode("utf-8", "replace"))
    return target


def _gather(run: RunFolder, data: str | None, device: torch.device, progress: Tick | None) -> dict[str, Any]:
    """The template's variables by name."""
    config, config_note = _config(run)
    loaded, loaded_note = _generator(run, device)
    training_data = _open_data(config, data, progress)
    log = read_log(run)
    scores, num_damaged_scores = read_scores(run)
    samples, samples_note = _samples(loaded, training_data.dataset)
    compared, comparison_note = _neighbours(samples, training_data, config, progress)
    content = dig(config, "dataset", "content_hash")
    trained_on = content if isinstance(content, str) else None
    curves, other_scores = curves_of(scores)
    quoted = quote(scores, trained_on=trained_on)
    return {
        "run": run.name,
        "tool": TOOL,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "lead": lead(config, loaded, log),
        "verdict": list(verdict(log, quoted, memorisation(compared))),
        "facts": facts(config, loaded, log),
        "samples": _shown_samples(samples, loaded),
        "samples_note": samples_note or loaded_note,
        "timelapse": _timelapse(run),
        "grids": _grids(run),
        "compared": [
            {
                "nearest": comparison,
                "rows": _neighbour_rows(comparison, samples, loaded, training_data.dataset),
                "words": list(comparison.sentences()),
            }
            for comparison in compared
        ],
        "nearest_note": comparison_note,
        "tables": tables(other_scores, trained_on=trained_on),
        "psi_curves": [charts_and_table(curve) for curve in curves],
        "num_damaged_scores": num_damaged_scores,
        **log_parts(log),
        "config": json.dumps(config, indent=2, ensure_ascii=False, default=str) if config else "",
        "config_note": config_note,
        "files": _files(run, loaded),
    }


def _config(run: RunFolder) -> tuple[dict[str, Any], str]:
    try:
        return run.read_config(), ""
    except InputError as error:
        return {}, str(error)


def _generator(run: RunFolder, device: torch.device) -> tuple[LoadedNetwork[Any] | None, str]:
    """The newest generator that can be read, and a note on those that cannot."""
    notes = []
    for path in reversed(run.generators()):
        try:
            loaded = load_network(path)
        except MienError as error:
            notes.append(f"{error}.")
            continue
        loaded.network.to(device)
        if notes:
            notes.append(f"An older one was taken instead: {path.name}.")
        return loaded, " ".join(notes)
    return None, " ".join(notes) or "The run has saved no generator yet."


def _open_data(config: Mapping[str, Any], data: str | None, progress: Tick | None) -> _Data:
    source = data if data is not None else dig(config, "dataset", "source")
    if not isinstance(source, str):
        return _Data(None, "The configuration does not say on what the run was trained; give --data.")
    try:
        dataset = open_dataset(source, progress=progress)
    except MienError as error:
        return _Data(None, f"The training pictures are not at hand: {error}.")
    expected = dig(config, "dataset", "content_hash")
    if expected is not None and dataset.content_hash != expected:
        return _Data(dataset, f"{source} does not hold the pictures that the run was trained on, but others.")
    return _Data(dataset, "")


def _samples(loaded: LoadedNetwork[Any] | None, dataset: Dataset | None) -> tuple[Samples | None, str]:
    if loaded is None:
        return None, ""
    try:
        return draw_samples(loaded, dataset, _NUM_SAMPLES), ""
    except (RuntimeError, ValueError, TypeError) as error:  # whatever a file from elsewhere may make torch do
        reason = " ".join(str(error).split())[:200]
        return None, f"No samples could be drawn ({type(error).__name__}: {reason})."


def _shown_samples(samples: Samples | None, loaded: LoadedNetwork[Any] | None) -> list[tuple[Shown, str]]:
    if samples is None or loaded is None:
        return []
    return [(show_sample(samples, i, loaded.model), samples.classes[i]) for i in range(_NUM_SHOWN)]


def _neighbours(
    samples: Samples | None, data: _Data, config: Mapping[str, Any], progress: Tick | None
) -> tuple[list[NearestNeighbours], str]:
    """The samples' nearest training images, in each space whose files are here."""
    if samples is None:
        return [], f"There are no samples to compare with training pictures. {data.note}".strip()
    if data.dataset is None:
        return [], data.note
    mirror = dig(config, "options", "mirror") is not False
    try:
        comparisons = [
            nearest(
                samples.images,
                data.dataset,
                mirror=mirror,
                count=_NUM_NEIGHBOURS,
                space=space,
                progress=progress,
            )
            for space in spaces(samples.images.shape[-1])
        ]
    except MienError as error:
        return [], f"{error}."
    return comparisons, data.note


def _neighbour_rows(
    comparison: NearestNeighbours,
    samples: Samples | None,
    loaded: LoadedNetwork[Any] | None,
    dataset: Dataset | None,
) -> list[tuple[Shown, list[Shown]]]:
    """The samples nearest to a training image, each with its neighbours."""
    if samples is None or loaded is None or dataset is None:
        return []
    rows = []
    for index in comparison.closest(_NUM_CLOSEST):
        neighbours = [
            show_real(dataset, neighbour.index, f"{neighbour.ratio:.2f}")
            for neighbour in comparison.neighbours[index]
        ]
        rows.append((show_sample(samples, index, loaded.model), neighbours))
    return rows


def _timelapse(run: RunFolder) -> tuple[tuple[Shown, Shown] | None, str]:
    if not run.timelapse.is_file():
        return None, "There is no timelapse yet; the run writes it when its budget is spent."
    try:
        return show_timelapse(run), ""
    except MienError as error:
        return None, f"The timelapse could not be shown: {error}."


def _grids(run: RunFolder) -> list[tuple[str, Shown | None, str]]:
    """The run's grids of real and generated images: title, image, and why there is none."""
    fakes = run.all_fakes()
    grids: list[tuple[str, Shown | None, str]] = []
    for title, path, generated in (
        ("Real", run.reals, False),
        ("Generated", fakes[-1] if fakes else run.fakes(0), True),
    ):
        alt = f"a grid of {title.lower()} pictures ({path.name})"
        try:
            grids.append((title, show_grid(path, alt, generated=generated), path.name))
        except MienError as error:
            grids.append((title, None, f"It could not be shown: {error}."))
    return grids


def _files(run: RunFolder, loaded: LoadedNetwork[Any] | None) -> list[tuple[str, str, str, str]]:
    """Name, description, size and SHA-256 of the files behind this page."""
    drawn = run.all_fakes()
    files: list[tuple[Path, str]] = [(run.path / "config.json", "configuration"), (run.log, "log")]
    if loaded is not None:
        header = loaded.header
        when = f", saved {header.created}" if header.created else ""
        files.append((loaded.path, f"generator at {number(header.nimg / 1000)} kimg, {header.tool}{when}"))
    files += [(run.reals, "real pictures"), *((path, "newest grid") for path in drawn[-1:])]
    files.append((run.timelapse, "timelapse"))
    files += [(path, "scores") for path in sorted(run.path.glob("metric-*.jsonl"))]
    return files_of(files)

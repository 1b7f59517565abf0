"""`mien directions learn`: directions of attributes, from samples that somebody or something has labelled."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mien.attributes.label_files import first_names, read_label_file, seed_of
from mien.core.errors import InputError
from mien.core.events import Column, Events, Table, Tick, job
from mien.core.packaged import source_of
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.directions.direction import Direction, Directions, path_for, table_of
from mien.latent.directions.effects import (
    Bench,
    Candidate,
    candidates,
    choose,
    expected_steps,
    lengths_in,
    refined,
    works,
)
from mien.latent.directions.fit import Fit, Parts, TooFew, correlation, fit
from mien.latent.directions.reach import quality_of
from mien.latent.layers import layer_blocks, row_groups
from mien.latent.readings import READERS, Readers, Readings, check_names
from mien.training.settings import pick_device

_BATCH = 64
_MOST_SAMPLES = 200_000
# Latents that effects are measured on, none of them for two purposes. A mean over 32 is known to some .1
# standard deviations, which chooses between remedies; to take effects of .15 away, more are needed.
_TRIED_ON, _CHOSEN_ON, _REFINED_ON, _CHECKED_ON, _JUDGED_ON = 32, 32, 128, 128, 64
_REFINED_AGAIN_ON, _CHECKED_AGAIN_ON = 256, 128
_ALL = _TRIED_ON + _CHOSEN_ON + _REFINED_ON + _CHECKED_ON + _JUDGED_ON + _REFINED_AGAIN_ON + _CHECKED_AGAIN_ON
_FOLLOWED = 48  # faces that follow a direction until they break
_FIRST_SEED = 1 << 24  # of these, far from the samples'
_MOST_GAIN = 5.0  # standard deviations of the latents that one of an attribute may take
# What is held still unless --hold says otherwise, of what the readers give.
HELD = (
    "female",
    "male",
    "age",
    "young",
    "yaw",
    "smile",
    "mouth_open",
    "glasses",
    "skin_lightness",
    "skin_redness",
    "hair_lightness",
)
# Not held while these are learnt: with a mouth as open as before a smile can hardly be seen, and faces break.
_PART_OF = {"smile": ("mouth_open",)}
_SAME = 0.5  # correlation over samples from which two names are taken to mean one thing


@job
def learn(
    events: Events,
    source: Path | None = None,
    /,
    *,
    out: Path | None = None,
    attributes: str = "",
    hold: str | None = None,
    samples: int = 2000,
    reader: tuple[str, ...] = (),
    trunc: float = 1.0,
    label: tuple[str, ...] = (),
    device: str = "auto",
) -> Directions:
    """Learn directions in latent space: along each, one attribute of the face changes.

    Samples are drawn and read. A direction is learnt from the ends of an attribute's range (logistic
    regression, linear SVM) or from all samples (ridge), whichever orders other samples best; its accuracy is
    that on samples kept out. Then images are drawn along it: conditional projection, a range of layers, a
    combination of all directions and the difference to be expected are tried, and the one that moves other
    attributes least is kept. One unit moves the attribute by one standard deviation over the samples. Some
    others are held still though they are not learnt (--hold). At last faces follow each direction until they
    break. An attribute that cannot be learnt or moved is named and left out. Raises InputError.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    out
        The file of directions; by default directions.safetensors in the run folder, or beside the file; of
        the model that comes with mien, which has some, in the folder that one is in.
    attributes
        Which to learn, like smile,yaw,age; by default all that the readers give.
    hold
        Which others to hold still meanwhile, like female,age; none for none. By default sex, age, yaw, smile,
        mouth (not while a smile is learnt), glasses, skin and hair, where the readers give them.
    samples
        Faces to draw: seeds 0, 1, ... More give better directions.
    reader
        What reads the samples: mesh (pose, mouth, eyes, brows), colours (skin, hair), expressions, age, sex,
        a run that trained --model attributes, or a .csv or .json of labels by seed (or by file, as
        seed0003.png); may be repeated. By default all that come with mien.
    trunc
        Truncation psi from 0 to 1 of the samples.
    label
        What to show, for a model trained with labels; as for `generate`, may be repeated.
    device
        Where the generator draws: cpu, cuda, mps or auto.
    """
    if not 100 <= samples <= _MOST_SAMPLES:
        raise InputError(f"--samples {samples}: between 100 and {_MOST_SAMPLES:,}")
    drawing = Drawing.of(source, trunc=trunc, label=label, device=pick_device(device))
    names, files = _split(reader or READERS)
    path = out or path_for(source_of(source))
    chosen = [name.strip() for name in attributes.split(",") if name.strip()]
    rows = _label_rows(files, events)
    readers = Readers.open(names) if names else Readers(())
    given = tuple(dict.fromkeys((*(name for row in rows.values() for name in row), *readers.names)))
    check_names(chosen, given)
    held = _held(hold, chosen or given, readers.names)
    if chosen and names:
        readers = readers.narrowed([*chosen, *held])
    seeds = sorted(rows) if rows else list(range(samples))
    codes = Codes.of_seeds(drawing, seeds)
    readings = Readings((), np.zeros((len(seeds), 0)))
    if names:
        readings = _read(drawing, codes, readers, events.progress("drawing and reading"))
    labelled = _joined(readings, rows, seeds)
    if chosen:
        held = _say_held(labelled, chosen, held, events, all_of_them=hold is not None)
        labelled = labelled.only([*chosen, *held])
    _say_unread(labelled, events)
    several = Lesson(drawing, codes, labelled, readers, held).directions(events)
    if not several:
        raise InputError("no attribute could be learnt; see the lines above, and try more --samples")
    directions = Directions(_reaching(several, drawing, events), codes.space, drawing.loaded.model)
    directions.save(path)
    events.send(table_of(directions))
    events.wrote(path, f"{len(directions)} directions: {', '.join(directions.names)}")
    return directions


def _split(reader: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Readers by name, and files of labels."""
    files = []
    for path in map(Path, reader):
        is_run = (path / "config.json").exists()
        is_folder = path.is_dir() and not is_run and any(path.glob("*.json"))
        if is_folder or path.suffix.lower() in (".csv", ".json"):
            files.append(path)
    return [name for name in reader if Path(name) not in files], files


def _held(hold: str | None, learnt: Sequence[str], readable: Sequence[str]) -> tuple[str, ...]:
    """The attributes to hold still beside those that are learnt. Raises InputError where nobody reads one."""
    if hold is None:
        free = {part for name in learnt for part in _PART_OF.get(name, ())}
        names = [name for name in HELD if name in readable and name not in free]
    else:
        names = [name.strip() for name in hold.split(",") if name.strip() not in ("", "none")]
        check_names(names, readable)
    return tuple(name for name in dict.fromkeys(names) if name not in learnt)


def _say_held(
    readings: Readings, chosen: Sequence[str], held: Sequence[str], events: Events, *, all_of_them: bool
) -> tuple[str, ...]:
    """Those of `held` but for what goes with a chosen attribute as if it were the same; both are said."""
    still, same = [], []
    for name in held:
        column = readings.column(name)
        r, twin = max((abs(correlation(readings.column(one), column)), one) for one in chosen)
        if r < _SAME or all_of_them:
            still.append(name)
        else:
            same.append(f"; {name} goes with {twin} (r {r:.2f}) and is left free")
    if held:
        events.note(f"held still: {', '.join(still) or 'nothing'}{''.join(same)} (--hold says which)")
    return tuple(still)


def _label_rows(files: Sequence[Path], events: Events) -> dict[int, dict[str, float]]:
    """Labels by seed; what names no seed is named in a warning, and left out."""
    by_seed: dict[int, dict[str, float]] = {}
    for file in files:
        rows = read_label_file(file)
        unknown = [name for name in rows if seed_of(name) is None]
        if unknown:
            why = "for they name no generated face (seed0003.png)"
            events.warn(f"{file}: left out, {why}: {first_names(unknown)}")
        for name, row in rows.items():
            if (seed := seed_of(name)) is not None and seed < 2**32:
                by_seed[seed] = by_seed.get(seed, {}) | row
    if files and not by_seed:
        raise InputError(f"{files[0]}: none of its rows names a generated face, by seed or as seed0003.png")
    return by_seed


def _read(drawing: Drawing, codes: Codes, readers: Readers, tick: Tick) -> Readings:
    """The readings of what the latents draw, a batch of images in memory at a time."""
    parts = []
    for start in range(0, len(codes), _BATCH):
        parts.append(readers.read(codes[start : start + _BATCH].draw(drawing)).values)
        tick(min(start + _BATCH, len(codes)), len(codes))
    return Readings(readers.names, np.concatenate(parts))


def _joined(readings: Readings, rows: dict[int, dict[str, float]], seeds: Sequence[int]) -> Readings:
    """Labels of files, then what readers read; a label goes before a reading of the same name."""
    names = tuple(dict.fromkeys(name for row in rows.values() for name in row))
    labelled = np.array([[rows.get(seed, {}).get(name, math.nan) for name in names] for seed in seeds])
    labelled = labelled.reshape(len(seeds), len(names))
    yes_no = {n for n, c in zip(names, labelled.T, strict=True) if set(c[np.isfinite(c)]) <= {0.0, 1.0}}
    others = [name for name in readings.names if name not in names]
    values = np.concatenate([labelled, readings.only(others).values], axis=1)
    return Readings((*names, *others), values, frozenset(yes_no))


def _say_unread(readings: Readings, events: Events) -> None:
    known = np.isfinite(readings.values)
    unread = int((~known.any(axis=1)).sum())
    partly = int((~known.all(axis=1)).sum()) - unread
    if unread or partly:
        events.note(
            f"of {len(readings.values):,} samples {unread:,} could not be read at all, {partly:,} in part"
            " (no face was found in them)"
        )


def _reaching(several: Sequence[Direction], drawing: Drawing, events: Events) -> tuple[Direction, ...]:
    """The directions with how far faces can follow them, where that can be known."""
    quality = quality_of(drawing, _FIRST_SEED + _ALL, _FOLLOWED)
    if isinstance(quality, str):
        events.note(f"how far they go is not known: {quality}")
        return tuple(several)
    reaching, tick = [], events.progress("following", unit="directions")
    for number, one in enumerate(several, start=1):
        reaching.append(one.reaching(quality.reach(one.step)))
        tick(number, len(several))
    return tuple(reaching)


@dataclass(frozen=True)
class Lesson:
    """Samples with their readings, and what reads new ones. held: attributes that are not to move at all."""

    drawing: Drawing
    codes: Codes
    readings: Readings
    readers: Readers
    held: tuple[str, ...] = ()

    def _fits(self, events: Events) -> dict[str, tuple[Fit, Tensor]]:
        """For each attribute that can be learnt its fit and, shaped like a latent, its step."""
        features, step_of = _features(self.codes.values, row_groups(self.drawing))
        parts, fits = Parts.of(len(self.codes)), {}
        tick = events.progress("learning", unit="attributes")
        for number, name in enumerate(self.readings.names, start=1):
            try:
                values, yes_no = self.readings.column(name), name in self.readings.yes_no
                one = fit(features, values, name, parts, yes_no=yes_no)
                fits[name] = one, step_of(one.weights)
            except TooFew as error:
                events.warn(f"{'not held still' if name in self.held else 'left out'}: {error}")
            tick(number, len(self.readings.names))
        return fits

    def directions(self, events: Events) -> list[Direction]:
        """The directions that work: measured on images where a reader can, else by their fit."""
        fits = self._fits(events)
        measured = [name for name in fits if name in self.readers.names]
        directions = self._measured(measured, fits, events) if measured else {}
        for name, (one, step) in fits.items():
            if name in measured:
                continue
            if one.correlation <= 0 or one.accuracy.value <= 0.5:
                events.warn(f"left out: {name} cannot be told from the latents (held out: chance)")
                continue
            size = self._sigma(step) / max(one.correlation, 1 / _MOST_GAIN)
            known = {"method": one.method, "source": "labels", "accuracy": one.accuracy}
            directions[name] = Direction.of(step * size, name, **known)
        return [directions[name] for name in fits if name in directions]

    def _measured(
        self, names: list[str], fits: dict[str, tuple[Fit, Tensor]], events: Events
    ) -> dict[str, Direction]:
        readers = self.readers.narrowed(names)
        spread = np.maximum(self.readings.only(names).spread(), 1e-9)
        others = Codes.of_seeds(self.drawing, range(_FIRST_SEED, _FIRST_SEED + _ALL))  # not learnt from
        bench = Bench(self.drawing, others, lambda images: readers.read(images).only(names), spread)
        counts = (_TRIED_ON, _CHOSEN_ON, _REFINED_ON, _CHECKED_ON, _JUDGED_ON)
        edges = np.cumsum([0, *counts, _REFINED_AGAIN_ON, _CHECKED_AGAIN_ON]).tolist()
        tried, chosen, refining, checking, judged, *again = (bench.part(*ends) for ends in pairwise(edges))
        steps = torch.stack([fits[name][1] * self._sigma(fits[name][1]) for name in names])
        blocks = layer_blocks(row_groups(self.drawing)) if self.codes.space == "w" else []
        helpers = sum(name in self.held for name in names)  # they come last
        owns = range(len(names) - helpers)
        expected = expected_steps(self.codes.values, self.readings.only(names).values)
        length = lengths_in(self.codes.values, row_groups(self.drawing))
        tick = events.progress("measuring", unit="steps")
        options = candidates(steps, blocks, tried, tick, expected=expected, helpers=helpers)
        best, tick = {}, events.progress("choosing", unit="attributes")
        for number, own in enumerate(owns, start=1):
            if (one := choose(options[own], own, chosen, self._sigma, length)) is not None:
                best[own] = one
            tick(number, len(owns))
        whole = (steps if expected is None else expected)[len(owns) :]
        kept, compared = self._refined(best, whole, ((refining, checking), again), names, length)
        if compared:
            events.send(_comparison(compared))
        directions = {}
        for own in owns:
            name = names[own]
            effects = judged.effects(kept[own].step[None]) if own in kept else None
            if effects is None or not works(effects, own):
                events.warn(f"left out: {name} does not move its own attribute, as far as can be seen")
                continue
            directions[name] = Direction.of(
                kept[own].step,
                name,
                method=f"{fits[name][0].method}, {kept[own].how}",
                source="readers",
                accuracy=fits[name][0].accuracy,
                effects=dict(zip(names, effects.mean[0].round(4).tolist(), strict=True)),
            )
        return directions

    def _refined(
        self,
        best: dict[int, tuple[Candidate, dict[str, float]]],
        helpers: Tensor,
        refine_on: Sequence[Sequence[Bench]],
        names: list[str],
        length: Callable[[Tensor], float],
    ) -> tuple[dict[int, Candidate], list[tuple[str, dict[str, float]]]]:
        """By attribute what was chosen, corrected where that helps, and each remedy's scores.

        refine_on: by turns, what effects are measured on and what they are checked on. A first correction is
        of long steps that were never measured together, and leaves effects as large as its own error.
        """
        if not best:
            return {}, []
        kept = {own: candidate for own, (candidate, _) in best.items()}
        scores = {own: dict(scored) for own, (_, scored) in best.items()}
        for measure, check in refine_on if len(kept) + len(helpers) > 1 else ():
            steps = torch.stack([*(candidate.step for candidate in kept.values()), *helpers])
            for own, one in zip(kept, refined(steps, measure, check, list(kept), length), strict=True):
                if one is not None:
                    kept[own] = Candidate(one[0], f"{best[own][0].how} and refined")
                    scores[own]["refined"] = one[1]
        return kept, [(names[own], scored) for own, scored in scores.items()]

    def _sigma(self, step: Tensor) -> float:
        """The standard deviation of the samples' latents along a step, in steps."""
        flat, along = self.codes.values.flatten(1), step.flatten()
        return float((flat @ along).std() / along.square().sum())


def _features(
    values: Tensor, groups: Sequence[tuple[int, ...]]
) -> tuple[np.ndarray, Callable[[np.ndarray], Tensor]]:
    """Latents [N, ...] as features [N, F] of like scale, and how weights of these become a step."""
    rows = values if values.ndim == 3 else values[:, None]
    scales = [float(rows[:, group[0]].std(dim=0).square().mean().sqrt().clamp_min(1e-8)) for group in groups]
    parts = [rows[:, group[0]] / scale for group, scale in zip(groups, scales, strict=True)]

    def step_of(weights: np.ndarray) -> Tensor:
        step = torch.zeros_like(rows[0])
        for group, scale, part in zip(groups, scales, np.split(weights, len(groups)), strict=True):
            step[list(group)] = torch.from_numpy(part / scale).float()
        return step.reshape(values.shape[1:])

    return torch.cat(parts, dim=1).double().numpy(), step_of


def _comparison(compared: Sequence[tuple[str, dict[str, float]]]) -> Table:
    """How selective each remedy made each direction; of like ones the shorter is kept."""
    ways = ("plain", "conditional", "layers", "combined", "expected", "refined")
    rows = tuple(
        (name, *(f"{scores[way]:.1f}" if way in scores else "-" for way in ways)) for name, scores in compared
    )
    columns = (Column("direction", wraps=True), *(Column(way, numbers=True) for way in ways))
    caption = "own effect over the largest effect on another attribute, on images that were not learnt from"
    return Table(columns, rows, title="How selective each remedy is", caption=caption)

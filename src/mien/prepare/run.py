"""Photos in, packed datasets of faces out, with a verdict on every input."""

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mien.core import artefacts
from mien.core.errors import InputError, MienError
from mien.core.labels import Label
from mien.core.manifest import Record, continuation
from mien.faces.align import LAYOUTS
from mien.faces.finder import FINDERS, needed_artefacts
from mien.prepare import store as stores
from mien.prepare.candidates import Candidates, Found, Prepared, open_prepared, prepared_size
from mien.prepare.dedupe import DEFAULT_THRESHOLD
from mien.prepare.judge import MEASUREMENTS, Rules
from mien.prepare.pack import Packed, write_pack
from mien.prepare.people import LEAST_SIDE, NEEDS
from mien.prepare.pool import Pool
from mien.prepare.select import Selection, know_people, select
from mien.prepare.sources import Inputs, list_inputs
from mien.prepare.where import ITSELF, Where
from mien.prepare.work import Job

DEFAULT_SIZE = 64
DUPLICATES_BY = ("hash", "identity")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PrepareResult:
    """What came of a run.

    packs: one for each size, in the order asked for. seconds: of the whole run. measured: inputs that were
    looked at in this run; the others were known. class_names: of folder labels, or (). notes: lines the
    user should see.
    """

    packs: tuple[Packed, ...]
    seconds: float
    measured: int
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """Pictures in the first zip."""
        return self.packs[0].kept

    @property
    def dropped(self) -> Mapping[str, int]:
        """Reasons and counts of the first zip."""
        return self.packs[0].dropped

    @property
    def drops(self) -> list[Record]:
        """Records of what the first zip lacks, at most 1000."""
        return self.packs[0].drops

    @property
    def total(self) -> int:
        """Inputs looked at."""
        return self.packs[0].total


@dataclass(frozen=True)
class _Wish:
    """How to choose among candidates and where to put them."""

    out: Path
    rules: Rules
    where: Where | None
    duplicates: int | None
    sheet: bool
    report: Callable[[Packed], None] | None
    one_each: bool = False
    guess_person: bool = False


def prepare(
    source: Path,
    out: Path,
    *,
    size: int | Sequence[int] | None = None,
    layout: str | None = None,
    finder: str = "mesh",
    rules: Rules | None = None,
    where: str | None = None,
    duplicates: int | None = DEFAULT_THRESHOLD,
    duplicates_by: str = "hash",
    guess_person: bool = False,
    files: Collection[str] | None = None,
    labels: Mapping[str, Label] | None = None,
    class_names: Sequence[str] = (),
    extra: Mapping[str, Mapping[str, Any]] | None = None,
    workers: int | None = None,
    keep_work: bool = True,
    sheet: bool = False,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
    report: Callable[[Packed], None] | None = None,
) -> PrepareResult:
    """Find, cut, measure, judge and pack the largest face of every picture in folder or zip `source`.

    size: side of the packed pictures, a power of two; several give `OUT-64.zip`, `OUT-128.zip`, ...
    (default 64). layout: "ffhq" (default), "center", "wild" or "eyes", see `align.layout_squares`.
    finder: "mesh" or "haar". rules: bounds on measurements. where: a condition on each record, see `where`.
    duplicates: bits of 768 in which near-duplicates may differ; the sharpest is kept; None keeps all.
    duplicates_by: "hash", or "identity": after that, of all pictures in which a face recognition network sees
    one person the sharpest is kept (the artefact is fetched). guess_person: write who that network takes each
    face for as `person`, where nothing else says it; for splits that part nobody.
    files: the names of the only inputs to look at; None for all. labels: by the input's name, in place of
    the source's own; class_names: what class numbers mean. extra: by the input's name, further keys of its
    record; "labels" there are added to the source's.
    workers: processes (default one a core). keep_work: leave `OUT.work` beside the zip. sheet: draw
    `OUT-sheet.jpg` as well. progress: told (done, total) after each input. announce: told what happens.
    report: told of each zip while dropped faces can still be shown.

    What was found is kept in `OUT.work` as it is found: a killed run goes on there, and other rules or
    conditions need no pixel again. If `source` was itself prepared and neither another size nor a layout is
    asked for, its pictures are copied as they are and its records judged. The same input gives
    byte-identical zips, for any number of workers and kills. Raises InputError for bad arguments or a bad
    source, MienError if no face was kept or a download fails; `out` is then untouched.
    """
    begun = time.monotonic()
    sizes = _checked_sizes(size)
    condition = None if where is None else Where(where)
    _check_target(source, out)
    _check_names(finder, layout)
    _check_people(duplicates_by, duplicates, guess_person, sizes, layout, announce)
    wish = _Wish(
        out, rules or Rules(), condition, duplicates, sheet, report, duplicates_by == "identity", guess_person
    )
    notes: tuple[str, ...] = ()
    pack = _as_prepared(source, sizes, layout) if labels is None and extra is None and files is None else None
    if pack is not None:
        candidates: Candidates = Prepared(pack[0])
        _check_where(condition, candidates)
        packs, more = _write_all(candidates, (pack[1],), wish, source, out.parent)
        return PrepareResult(packs, time.monotonic() - begun, 0, candidates.class_names, more)
    inputs = _only(list_inputs(source, without=_own(out, sizes or (DEFAULT_SIZE,))), files, source)
    inputs = _with_extras(inputs, labels, tuple(class_names), extra or {})
    job = Job(sizes or (DEFAULT_SIZE,), layout or "ffhq", finder)
    with stores.opened(out, job.to_dict()) as store:
        found = Found(inputs, store)
        _check_where(condition, found)
        measured = _measure(found, inputs, source, store.path, job, workers or _cores(), progress, announce)
        packs, notes = _write_all(found, job.sizes, wish, source, store.path.parent)
    if not keep_work:
        stores.forget(out)
    seconds = time.monotonic() - begun
    return PrepareResult(packs, seconds, measured, inputs.class_names, inputs.notes + notes)


def _checked_sizes(size: int | Sequence[int] | None) -> tuple[int, ...]:
    sizes = () if size is None else (size,) if isinstance(size, int) else tuple(size)
    for each in sizes:
        if each < 8 or each > 4096 or each & (each - 1):
            raise InputError(f"size {each} is no power of two from 8 to 4096")
    if len(set(sizes)) < len(sizes):
        raise InputError(f"sizes {', '.join(map(str, sizes))}: one is named twice")
    return sizes


def _check_target(source: Path, out: Path) -> None:
    if out.suffix.lower() != ".zip" or out.is_dir():
        raise InputError(f"{out}: the dataset is written as a zip; give a file name ending in .zip")
    if out.exists() and source.exists() and out.samefile(source):
        raise InputError(f"{out}: cannot be prepared into itself; give the result another name")
    later = continuation(out)
    if later.exists():
        raise InputError(
            f"{later}: holds verdicts on the {out.name} that is there; prepare into another name"
            f" (`mien prepare {out.name} NEW.zip` keeps the verdicts), or delete it"
        )


def _check_names(finder: str, layout: str | None) -> None:
    if finder not in FINDERS:
        raise InputError(f"{finder!r} is no finder; choose from: {', '.join(FINDERS)}")
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"{layout!r} is no layout; choose from: {', '.join(LAYOUTS)}")


def _check_people(
    duplicates_by: str,
    duplicates: int | None,
    guess_person: bool,
    sizes: tuple[int, ...],
    layout: str | None,
    announce: Callable[[str], None] | None,
) -> None:
    """Whether what was asked about people can be done; the network is fetched before anything else begins."""
    if duplicates_by not in DUPLICATES_BY:
        raise InputError(f"duplicates by {duplicates_by!r}: choose from: {', '.join(DUPLICATES_BY)}")
    if duplicates_by == "hash" and not guess_person:
        return
    if duplicates_by == "identity" and duplicates is None:
        raise InputError(
            "--duplicates-by identity drops pictures that --keep-duplicates would keep: choose one"
        )
    if layout not in (None, "ffhq"):
        raise InputError(f"people are told apart by faces of layout ffhq, not {layout}")
    if min(sizes or (DEFAULT_SIZE,)) < LEAST_SIDE:
        raise InputError(f"people are told apart from {LEAST_SIDE} pixels on, not of {min(sizes)}")
    artefacts.obtain(NEEDS, announce=announce)


def _check_where(condition: Where | None, candidates: Candidates) -> None:
    if condition is not None:
        condition.check_names({*MEASUREMENTS, *ITSELF} | candidates.known_names())


def _as_prepared(source: Path, sizes: tuple[int, ...], layout: str | None) -> Any:
    """(reader, size) of a source whose pictures can be copied as they are, or None."""
    if layout is not None or len(sizes) > 1 or not source.exists():
        return None
    reader = open_prepared(source)
    size = None if reader is None else prepared_size(reader)
    return None if size is None or sizes not in ((), (size,)) else (reader, size)


def _own(out: Path, sizes: tuple[int, ...]) -> list[Path]:
    """What this run writes, which may lie inside the source."""
    zips = [_pack_path(out, size, sizes) for size in sizes]
    beside = [_beside(path, ending) for path in zips for ending in ("-sheet.jpg", "-report.html")]
    return [*zips, *beside, stores.work_folder(out)]


def _pack_path(out: Path, size: int, sizes: Sequence[int]) -> Path:
    return out if len(sizes) == 1 else _beside(out, f"-{size}.zip")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.stem + ending)


def _only(inputs: Inputs, files: Collection[str] | None, source: Path) -> Inputs:
    """The inputs of these names, all of which must be there."""
    if files is None:
        return inputs
    wanted = set(files)
    found = tuple(file for file in inputs.files if file.name in wanted)
    if len(found) < len(wanted):
        missing = sorted(wanted - {file.name for file in found})
        raise InputError(f"{source}: {len(missing)} of the files to prepare are missing, first {missing[0]}")
    return replace(inputs, files=found, labels=None, class_names=(), notes=())


def _with_extras(
    inputs: Inputs,
    labels: Mapping[str, Label] | None,
    class_names: tuple[str, ...],
    extra: Mapping[str, Mapping[str, Any]],
) -> Inputs:
    """The inputs with labels and record keys from elsewhere."""
    if labels is not None:
        inputs = replace(inputs, labels=labels, class_names=class_names)
    names = {*inputs.extra, *extra}
    joined = {name: {**inputs.extra.get(name, {}), **extra.get(name, {})} for name in names}
    return replace(inputs, extra=joined)


def _measure(
    found: Found,
    inputs: Inputs,
    source: Path,
    store: Path,
    job: Job,
    workers: int,
    progress: Progress | None,
    announce: Callable[[str], None] | None,
) -> int:
    """Look at every input of which nothing is known; return how many those were."""
    missing, total = found.missing(), len(found)
    if not missing:
        return 0
    if announce is not None and len(missing) < total:
        announce(f"{total - len(missing):,} of {total:,} were looked at before")
    for name in needed_artefacts(job.finder):
        artefacts.obtain(name, announce=announce)
    setup = {"source": str(source), "store": str(store), "job": job.to_dict()}
    files = [inputs.files[index] for index in missing]
    tasks = [{"name": file.name, "at": file.at, "key": file.key} for file in files]
    with Pool(setup, count=workers) as pool:
        for done, (task, answer) in enumerate(pool.run(tasks), total - len(missing) + 1):
            if answer.record is not None and "stop" in answer.record:
                raise MienError(answer.record["stop"])
            found.take(missing[task], answer)
            if progress is not None:
                progress(done, total)
    found.refresh()
    return len(missing)


def _write_all(
    candidates: Candidates, sizes: tuple[int, ...], wish: _Wish, source: Path, scratch: Path
) -> tuple[tuple[Packed, ...], tuple[str, ...]]:
    """Choose and write for each size; the sizes for which nothing is left become notes."""
    packs, notes = [], []
    for size in sizes:
        rules = wish.rules.for_size(size)
        chosen = select(candidates, rules, where=wish.where, duplicates=wish.duplicates)
        path = _pack_path(wish.out, size, sizes)
        if chosen.num_kept and (wish.one_each or wish.guess_person):
            chosen = know_people(chosen, candidates, size, one_each=wish.one_each, guess=wish.guess_person)
        if not chosen.num_kept:
            notes.append(_nothing(chosen, source, path))
            continue
        pack = write_pack(path, size, candidates, chosen, bounds=rules.bounds(), scratch=scratch)
        if wish.sheet:
            pack.write_sheet(_beside(path, "-sheet.jpg"))
        if wish.report is not None:
            wish.report(pack)
        packs.append(pack)
    if not packs:
        raise MienError(notes[0])
    return tuple(packs), tuple(notes)


def _nothing(chosen: Selection, source: Path, path: Path) -> str:
    reasons = [drop.reason for drop in chosen.drops if drop is not None]
    counts = sorted(((reasons.count(reason), reason) for reason in set(reasons)), reverse=True)
    listed = ", ".join(f"{count} {reason}" for count, reason in counts)
    return f"{source}: no face was kept of {len(reasons)} files ({listed}); {path} was not written"


def _cores() -> int:
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

"""How `mien prepare` works: inputs are measured, chosen and packed."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mien.core import artefacts, cluster
from mien.core.cluster import cores
from mien.core.errors import InputError, MienError
from mien.core.events import Events
from mien.core.manifest import Record, continuation
from mien.core.packed import PackReader
from mien.faces.align import LAYOUTS
from mien.faces.finder import FINDERS, needed_artefacts
from mien.prepare import store as stores
from mien.prepare.all_faces import FACES
from mien.prepare.candidates import Candidates, PackedFaces, StoredFaces, open_prepared, prepared_size
from mien.prepare.dedupe import DEFAULT_THRESHOLD
from mien.prepare.extract import NO_FINDER, CropConfig
from mien.prepare.judge import MEASUREMENTS, NO_FACE, Rules
from mien.prepare.pack import Packed, write_pack
from mien.prepare.people import LEAST_SIDE, NEEDS
from mien.prepare.pool import Answer, Pool, extracted
from mien.prepare.select import Duplicates, Selection, know_people, select
from mien.prepare.sources import Inputs
from mien.prepare.where import ITSELF, Where

DEFAULT_SIZE = 64
DUPLICATES_BY = ("hash", "identity")
_PATIENCE, _PATIENCE_ALL = 60.0, 300.0  # seconds for a photo of which one face is taken, or all are
RULES = Rules()
Finish = Callable[[Packed], None]


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
class Options:
    """How faces are cut out, judged and chosen. Raises InputError for values that are wrong or contradict.

    As of `mien prepare`, but: sizes: () for that of a prepared source, else 64. layout: None for "ffhq", or a
    prepared source's own. duplicates: None keeps all.
    """

    sizes: tuple[int, ...] = ()
    layout: str | None = None
    finder: str = "mesh"
    faces: str = "largest"
    rules: Rules = RULES
    where: Where | None = None
    duplicates: int | None = DEFAULT_THRESHOLD
    mirrored_duplicates: bool = False
    duplicates_by: str = "hash"
    guess_person: bool = False
    workers: int | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        for size in self.sizes:
            if size < 8 or size > 4096 or size & (size - 1):
                raise InputError(f"size {size} is no power of two from 8 to 4096")
        if len(set(self.sizes)) < len(self.sizes):
            raise InputError(f"sizes {', '.join(map(str, self.sizes))}: one is named twice")
        if self.finder not in (*FINDERS, NO_FINDER):
            known = ", ".join((*FINDERS, NO_FINDER))
            raise InputError(f"{self.finder!r} is no finder; choose from: {known}")
        if self.faces not in FACES:
            raise InputError(f"--faces {self.faces!r}: choose from: {', '.join(FACES)}")
        if self.finder == NO_FINDER:
            self._check_whole()
        if self.layout is not None and self.layout not in LAYOUTS:
            raise InputError(f"{self.layout!r} is no layout; choose from: {', '.join(LAYOUTS)}")
        if self.duplicates_by not in DUPLICATES_BY:
            raise InputError(f"duplicates by {self.duplicates_by!r}: choose from: {', '.join(DUPLICATES_BY)}")
        if self.knows_people:
            self._check_people()

    @property
    def knows_people(self) -> bool:
        """Whether the face recognition network is asked who is who."""
        return self.one_each or self.guess_person

    @property
    def one_each(self) -> bool:
        return self.duplicates_by == "identity"

    @property
    def crops(self) -> CropConfig:
        """What workers cut out of photos."""
        return CropConfig(self.sizes or (DEFAULT_SIZE,), self.layout or "ffhq", self.finder, self.faces)

    def rules_for(self, size: int) -> Rules:
        """The rules for pictures of `size` pixels; without a finder, only those that were asked for."""
        rules = self.rules.asked() if self.finder == NO_FINDER else self.rules
        if self.faces == "all" and rules.min_coverage == RULES.min_coverage:
            rules = replace(rules, min_coverage=None)  # a face in a group covers little of its photo
        return rules.for_size(size)

    def duplicates_for(self, size: int) -> Duplicates:
        """Which near-duplicates to look for among crops of `size` pixels."""
        aligned = self.finder != NO_FINDER and self.layout in (None, "ffhq") and size >= LEAST_SIDE
        is_here = artefacts.artefact_path(NEEDS) is not None
        known = aligned and self.duplicates == DEFAULT_THRESHOLD and is_here
        return Duplicates(self.duplicates, self.mirrored_duplicates, size if known else None)

    def _check_whole(self) -> None:
        """Refuse what only faces have."""
        given_flags = {"--layout": self.layout is not None, "--faces": self.faces != "largest"}
        given_flags |= {"--duplicates-by identity": self.one_each, "--guess-person": self.guess_person}
        wrong = next((flag for flag, given in given_flags.items() if given), None)
        if wrong is not None:
            raise InputError(f"{wrong} is about faces, which --finder none does not look for: choose one")

    def _check_people(self) -> None:
        if self.one_each and self.duplicates is None:
            raise InputError(
                "--duplicates-by identity drops pictures that --keep-duplicates would keep: choose one"
            )
        if self.layout not in (None, "ffhq"):
            raise InputError(f"people are told apart by faces of layout ffhq, not {self.layout}")
        if min(self.sizes or (DEFAULT_SIZE,)) < LEAST_SIDE:
            raise InputError(f"people are told apart from {LEAST_SIDE} pixels on, not of {min(self.sizes)}")


def check_target(source: Path, out: Path) -> None:
    """Raise InputError where `out` cannot be written from `source`."""
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


def open_again(source: Path, options: Options) -> tuple[PackReader, int] | None:
    """(reader, size) of a source whose pictures can be copied as they are, or None."""
    if options.layout is not None or len(options.sizes) > 1 or not source.exists():
        return None
    reader = open_prepared(source)
    size = None if reader is None else prepared_size(reader)
    return None if reader is None or size is None or options.sizes not in ((), (size,)) else (reader, size)


def judge_again(
    reader: PackReader, size: int, source: Path, out: Path, options: Options, finish: Finish
) -> PrepareResult:
    """Choose anew among the pictures of a prepared source, which are copied as they are."""
    begun = time.monotonic()
    with closing(stores.CropsBeside(source)) as beside:
        candidates = PackedFaces(reader, size, beside)
        _check_where(options.where, candidates)
        packs, notes = _write_packs(candidates, (size,), (source, out, out.parent), options, finish)
    return PrepareResult(packs, time.monotonic() - begun, 0, candidates.class_names, notes)


def prepare_inputs(
    inputs: Inputs, out: Path, options: Options, *, events: Events, finish: Finish
) -> PrepareResult:
    """Find, cut, measure, judge and pack the faces of every picture in `inputs`.

    Several sizes give `OUT-64.zip`, `OUT-128.zip`, ... finish: called with each zip while its dropped faces
    can still be shown. What is measured is kept in `OUT.work` at once: a killed run goes on there, and other
    rules or conditions need no pixel again. The same inputs give byte-identical zips, for any number of
    workers and kills. Raises InputError for a bad source, MienError if no face was kept or a download fails;
    `out` is then untouched.
    """
    begun = time.monotonic()
    config = options.crops
    with stores.opened(out, asdict(config)) as store:
        candidates = StoredFaces(inputs, store)
        _check_where(options.where, candidates)
        measured = _measure(candidates, inputs, store, options, events)
        places = (inputs.root, out, store.path.parent)
        packs, notes = _write_packs(candidates, config.sizes, places, options, finish)
    seconds = time.monotonic() - begun
    return PrepareResult(packs, seconds, measured, inputs.class_names, inputs.notes + notes)


def output_files(out: Path, options: Options) -> list[Path]:
    """What a run writes, which may lie inside the source."""
    sizes = options.crops.sizes
    zips = [_pack_path(out, size, sizes) for size in sizes]
    beside = [file for path in zips for file in (sheet_path(path), report_path(path))]
    return [*zips, *beside, stores.work_folder(out)]


def sheet_path(pack: Path) -> Path:
    """The contact sheet beside a zip."""
    return pack.with_name(f"{pack.stem}-sheet.jpg")


def report_path(pack: Path) -> Path:
    """The report page beside a zip."""
    return pack.with_name(f"{pack.stem}-report.html")


def _pack_path(out: Path, size: int, sizes: Sequence[int]) -> Path:
    return out if len(sizes) == 1 else out.with_name(f"{out.stem}-{size}.zip")


def _check_where(condition: Where | None, candidates: Candidates) -> None:
    if condition is not None:
        condition.check_names({*MEASUREMENTS, *ITSELF} | candidates.known_names())


def _measure(
    candidates: StoredFaces, inputs: Inputs, store: stores.Store, options: Options, events: Events
) -> int:
    """Look at every input of which nothing is known; return how many those were."""
    missing, total, config = candidates.missing(), len(inputs.files), options.crops
    if not missing:
        return 0
    if len(missing) < total:
        events.note(f"{total - len(missing):,} of {total:,} were looked at before")
    for name in needed_artefacts(config.finder):
        artefacts.obtain(name, announce=events.note)
    places = {"source": str(inputs.root.resolve()), "store": str(store.path.resolve())}
    setup = {**places, "config": asdict(config)}
    files = [inputs.files[index] for index in missing]
    tasks = [{"name": file.name, "at": file.at, "key": file.key} for file in files]
    progress = events.progress("cutting images" if config.finder == NO_FINDER else "finding faces")
    with closing(_answers(setup, tasks, store, options)) as answers:
        for done, (task, answer) in enumerate(answers, total - len(missing) + 1):
            if answer.record is not None and "stop" in answer.record:
                raise MienError(answer.record["stop"])
            candidates.take(missing[task], answer)
            progress(done, total)
    candidates.refresh()
    return len(missing)


def _answers(
    setup: dict[str, Any], tasks: list[dict[str, Any]], store: stores.Store, options: Options
) -> Generator[tuple[int, Answer]]:
    """What workers answer of each task: those of a cluster, or processes of our own."""
    patience = _PATIENCE_ALL if options.faces == "all" else _PATIENCE
    if options.cluster is None:
        with Pool(setup, count=options.workers or cores(), patience_seconds=patience) as pool:
            yield from pool.run(tasks)
        return
    needs = needed_artefacts(options.finder)
    with cluster.opened(options.cluster, needs=needs, workers=options.workers) as opened:
        yield from extracted(opened, setup, tasks, store, patience=patience)


def _write_packs(
    candidates: Candidates,
    sizes: tuple[int, ...],
    places: tuple[Path, Path, Path],
    options: Options,
    finish: Finish,
) -> tuple[tuple[Packed, ...], tuple[str, ...]]:
    """Choose for each size and write its zip; with notes on sizes for which nothing is left.

    places: the source, the zip, and a folder on the same disk for what is half written. Raises MienError
    where nothing is left for any size.
    """
    source, out, scratch = places
    packs, notes = [], []
    for size in sizes:
        path, rules = _pack_path(out, size, sizes), options.rules_for(size)
        chosen = select(candidates, rules, where=options.where, duplicates=options.duplicates_for(size))
        if chosen.num_kept and options.knows_people:
            one_each, guess = options.one_each, options.guess_person
            chosen = know_people(chosen, candidates, size, one_each=one_each, guess=guess)
        if not chosen.num_kept:
            notes.append(_nothing(chosen, source, path))
            continue
        notes += [note for note in chosen.notes if note not in notes]
        packed = write_pack(path, size, candidates, chosen, bounds=rules.bounds(), scratch=scratch)
        finish(packed)
        packs.append(packed)
    if not packs:
        raise MienError(notes[-1])
    return tuple(packs), tuple(notes)


def _nothing(chosen: Selection, source: Path, path: Path) -> str:
    drops = [drop for drop in chosen.drops if drop is not None]
    reasons = [drop.reason for drop in drops]
    counts = sorted(((reasons.count(reason), reason) for reason in set(reasons)), reverse=True)
    listed = ", ".join(f"{count} {reason}" for count, reason in counts)
    most = next((drop for drop in drops if drop.reason == counts[0][1]), NO_FACE)
    others = "for other images than faces: --finder none"
    hint = f"; {others if most.reason == NO_FACE.reason else 'the first: ' + most.detail}"
    files = "1 file" if len(reasons) == 1 else f"{len(reasons):,} files"
    return f"{source}: no face was kept of {files} ({listed}); {path} was not written{hint}"

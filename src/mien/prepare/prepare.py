"""`mien prepare`: photos in, packed datasets of faces out, with a verdict on every file."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from mien.core import artefacts, storage
from mien.core import cluster as clusters
from mien.core.errors import InputError
from mien.core.events import Events, job
from mien.core.manifest import continuation
from mien.core.packed import PackReader
from mien.core.picture import PICTURE_SUFFIXES
from mien.core.text import one_line
from mien.datasets.index import Index, name_of, record_fields
from mien.datasets.layout import parse_options
from mien.datasets.opening import choose_entries, hint, resolve
from mien.prepare.dedupe import DEFAULT_THRESHOLD
from mien.prepare.judge import Rules
from mien.prepare.pack import Packed
from mien.prepare.people import NEEDS
from mien.prepare.report import write_prepare_report
from mien.prepare.run import (
    RULES,
    Options,
    PrepareResult,
    check_target,
    judge_again,
    open_again,
    output_files,
    prepare_inputs,
    report_path,
    sheet_path,
)
from mien.prepare.sources import Input, Inputs, list_inputs, list_rows
from mien.prepare.store import forget, work_folder
from mien.prepare.where import Where

_NAMED = 20  # dropped files that are listed; the manifest has all


def _numbers(_: object, tokens: Sequence[Token]) -> tuple[int, ...]:
    """`64,128,256` of the command line."""
    return tuple(int(part) for part in tokens[0].value.split(","))


@job
def prepare(
    events: Events,
    source: str,
    out: Path,
    /,
    *,
    size: Annotated[tuple[int, ...] | None, Parameter(converter=_numbers, n_tokens=1, negative="")] = None,
    layout: Literal["ffhq", "center", "wild", "eyes"] | None = None,
    rules: Annotated[Rules, Parameter(name="*")] = RULES,
    where: str | None = None,
    duplicates: int | None = None,
    duplicates_by: Literal["hash", "identity"] = "hash",
    keep_duplicates: Annotated[bool, Parameter(negative="")] = False,
    guess_person: Annotated[bool, Parameter(negative="")] = False,
    mirrored_duplicates: Annotated[bool, Parameter(negative="")] = False,
    finder: Literal["mesh", "haar", "none"] = "mesh",
    faces: Literal["largest", "central", "all"] = "largest",
    workers: int | None = None,
    cluster: str | None = None,
    keep_work: bool = True,
) -> PrepareResult:
    """Find, cut, measure, judge and pack the faces of photos, with a verdict on every file.

    Run it again with other rules: what was found is known, and only the choice is made anew. A run that was
    killed goes on. A zip that was prepared before can be the source: its faces are judged again and copied.
    The same photos give byte-identical zips, for any number of workers and kills. Raises InputError for bad
    options or a bad source, MienError if no face was kept or a download fails; `out` is then untouched.

    Parameters
    ----------
    source
        A folder, zip or tar of photos; sub-folders become labels. Or a prepared zip, or a layout:
        celeba:FOLDER, parquet:FOLDER, table:FOLDER, folder:FOLDER?size=64. s3://... and gs://... will do.
    out
        The zip to write; a contact sheet and a report page are written beside it. s3://... will do.
    size
        Pixels along a side, a power of two (64 unless given); several with commas give a zip each.
    layout
        ffhq (level, by eyes and mouth), center (upright around the face), wild (as much of the picture as a
        square holds) or eyes (a picture of each eye); ffhq unless given.
    where
        A condition on what was measured and on labels: 'abs(yaw) < 15 and sharpness > 0.3'.
    duplicates
        How alike near-duplicates are: bits of 768 in which their hashes may differ.
    duplicates_by
        hash (the same picture, again) or identity: keep one picture, the best, of every person.
    keep_duplicates
        Keep near-duplicates instead of the best of them: the one with the most real pixels on the face.
    guess_person
        Write who a face recognition network takes each face for as `person`, so that no split parts anybody.
    mirrored_duplicates
        Take mirrored copies for duplicates, too.
    finder
        mesh (better, fetched once), haar (needs no download, measures no pose, eyes or mouth), or none: the
        middle square of each picture, for drawings, cropped faces and whatever else.
    faces
        Which faces of a photo: largest, central (nearest to the middle) or all.
    workers
        Processes; one a core by default.
    cluster
        Let a Dask cluster find the faces: tcp://HOST:PORT, or local for processes of this machine. Its
        workers need the photos at the same place, and what `mien artefacts` fetches.
    keep_work
        Leave OUT.work beside the zip, for other rules later.
    """
    source = str(source)
    if not source.strip():
        raise InputError("the source is empty; give a folder or zip of photos, or . for this folder")
    if (remote := storage.remote(source)) and remote == storage.remote(out):
        raise InputError(f"{source}: cannot be prepared into itself; give the result another name")
    source, own_size = _plain_source(storage.local(source, pictures=cluster is None))
    options = Options(
        sizes=(size,) if isinstance(size, int) else tuple(size or own_size),  # Python may give one
        layout=layout,
        finder=finder,
        faces=faces,
        rules=rules,
        where=None if where is None else Where(where),
        duplicates=None if keep_duplicates else DEFAULT_THRESHOLD if duplicates is None else duplicates,
        mirrored_duplicates=mirrored_duplicates,
        duplicates_by=duplicates_by,
        guess_person=guess_person,
        workers=workers,
        cluster=cluster,
    )
    clusters.check(cluster)
    beside = (continuation(out).name, f"{work_folder(out).name}/")
    with storage.sent(out, events, first=beside) as (made, events):
        check_target(Path(source), made)
        if options.knows_people:
            artefacts.obtain(NEEDS, announce=events.note)  # before anything else begins
        result = _run(source, made, options, events)
        if not keep_work:
            forget(made)
        _describe(result, work_folder(made), events)
    result = replace(result, packs=tuple(replace(p, path=out.with_name(p.path.name)) for p in result.packs))
    if result.packs:
        address = storage.remote(result.packs[0].path)
        packed = shlex.quote(str(result.packs[0].path) if address is None else address.address)
        # Tossing is done on a disk.
        looked = f"mien curate {packed}\n      " if address is None else ""
        events.hint(f"next: {looked}mien train {packed} --minutes 10")
    return result


def _plain_source(source: str) -> tuple[str, tuple[int, ...]]:
    """The folder or zip of "folder:WHERE?size=64", with the size that it names; others as they are."""
    name, colon, where = source.partition(":")
    if Path(source).exists() or not colon or name != "folder":
        return source, ()
    path, given = parse_options(where)
    unknown = sorted(given.keys() - {"size"})
    if unknown:
        raise InputError(f"{source}: prepare takes size= of a plain folder, not {unknown[0]}=")
    size = given.get("size", "")
    if size and not size.isdecimal():
        raise InputError(f"{source}: size={size} is no number of pixels")
    return str(path), (int(size),) if size else ()


def _run(source: str, out: Path, options: Options, events: Events) -> PrepareResult:
    root = Path(source)
    again = open_again(root, options)
    if again is not None:
        return judge_again(*again, root, out, options, lambda packed: _write_pages(packed, root))
    inputs = open_inputs(source, without=output_files(out, options))
    return prepare_inputs(
        inputs, out, options, events=events, finish=lambda packed: _write_pages(packed, inputs.root)
    )


def open_inputs(source: str, *, without: Sequence[Path] = ()) -> Inputs:
    """What `source` holds: a folder, a zip, or "NAME:FOLDER?options" of a known layout.

    Of a layout only the files that it chooses are read: the folder may hold others that must not be used
    (minors). Its labels and what else it knows go into the records. without: our own output. Raises
    InputError as `list_inputs` and `choose_entries` do.
    """
    resolved = resolve(source)
    if resolved.layout == "folder":
        inputs = list_inputs(Path(source), without=without)
        notes = hint(str(inputs.root)) if inputs.labels is None and not inputs.extra else ()
        is_picture = (PurePath(file.name).suffix.lower() in PICTURE_SUFFIXES for file in inputs.files)
        if notes and not any(is_picture):  # nothing but labels
            raise InputError(f"{inputs.root}: no picture files in it; {notes[0]}")
        return replace(inputs, notes=inputs.notes + notes)
    chosen = choose_entries(source)
    index, columns = chosen.index, chosen.columns
    extra = record_fields(index)
    if index.layout == "parquet":
        files = list_rows(index)
    else:
        files, extra = _listed(index, extra, without)
    if columns is None:
        return Inputs(index.root, files, notes=index.notes, extra=extra)
    labels = {name_of(entry): columns.label(entry.record()) for entry in index.entries}
    return Inputs(index.root, files, labels, columns.class_names, index.notes, extra)


def _listed(
    index: Index, fields: Mapping[str, dict[str, Any]], without: Sequence[Path]
) -> tuple[tuple[Input, ...], dict[str, dict[str, Any]]]:
    """The files of an index in its folder, and what is known of each."""
    listed = list_inputs(index.root, without=without)
    files = tuple(file for file in listed.files if file.name in fields)
    missing = sorted(fields.keys() - {file.name for file in files})
    if missing:
        raise InputError(
            f"{index.root}: {len(missing)} of the files to prepare are missing, first {missing[0]}"
        )
    return files, {name: {**listed.extra.get(name, {}), **its} for name, its in fields.items()}


def _write_pages(packed: Packed, source: Path) -> None:
    packed.write_sheet(sheet_path(packed.path))
    records = PackReader(packed.path, with_tossed=True).all_records
    title = f"{source.name} prepared as {packed.path.name}"
    write_prepare_report(
        report_path(packed.path), records=records, bounds=packed.bounds, thumb=packed.thumb, title=title
    )


def _describe(result: PrepareResult, work: Path, events: Events) -> None:
    if result.measured:
        speed = result.measured / max(result.seconds, 1e-9)
        files = "1 file" if result.measured == 1 else f"{result.measured:,} files"
        events.note(f"looked at {files} ({speed:.3g} a second)")
    else:
        events.note(f"judged {result.total:,} again; no picture had to be looked at")
    for note in result.notes:
        events.note(note)
    for packed in result.packs:
        events.wrote(packed.path, f"{packed.kept:,} kept of {packed.total:,}")
        lines = [f"  dropped {count:,}: {reason}" for reason, count in packed.dropped.items()]
        lines.append(f"  look at {report_path(packed.path)} and {sheet_path(packed.path)}")
        events.note("\n".join(lines))
    drops = [f"    {record.get('source')}: {record.get('detail')}" for record in result.drops[:_NAMED]]
    more = sum(result.dropped.values()) - _NAMED
    if more > 0:
        drops.append(f"    and {more:,} more, each named in manifest.jsonl inside the zip")
    if drops:
        events.note("\n".join(map(one_line, drops)))
    if work.exists():
        megabytes = sum(path.stat().st_size for path in work.glob("*") if path.is_file()) / 1e6
        events.note(
            f"{work} ({megabytes:,.1f} MB) holds every face that was found: the same command with other rules"
            " takes seconds; delete it when you are content"
        )

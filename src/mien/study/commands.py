"""`mien study new`, `serve`, `results`: people judge pictures in the browser."""

from pathlib import Path
from typing import Literal

from mien.core.errors import InputError, MienError, install
from mien.core.events import Events, job

Kind = Literal["categorise", "hype-time", "hype-infinity", "rate", "prefer", "attributes"]


@job
def new(events: Events, design: Path, /, *, db: str | None = None, example: Kind | None = None) -> str:
    """Make a study of DESIGN, a TOML or JSON file, in a database; or write an example of a design there.

    Its pictures are stripped, brought to one size, encoded alike and put into the database under random
    names. Returns the database's address. Raises InputError where the design is wrong, a set has too few
    pictures or the database holds a study.

    Parameters
    ----------
    design
        The design; docs/study.md says what stands in it.
    db
        SQLite file, or address as SQLAlchemy takes it (postgresql+psycopg://...); by default a file beside
        the design.
    example
        Write a commented example of this kind to DESIGN instead, and stop.
    """
    _check_extra()
    from sqlalchemy.engine import make_url

    from mien.study.make import make_study, write_example

    if example is not None:
        write_example(events, design, example)
        return str(design)
    place = db or str(design.with_suffix(".sqlite"))
    make_study(events, design, place)
    shown = make_url(place).render_as_string(hide_password=True) if "://" in place else place
    events.note(f"next: mien study serve {shown}")
    return place


@job
def serve(
    events: Events,
    study: str,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    name: tuple[str, ...] = (),
    open: bool = False,
) -> None:
    """Serve STUDY to participants until Ctrl-C; two addresses are printed, theirs and yours.

    An answer is on disk before it is acknowledged: stop and start again as you like, links stay valid. Raises
    InputError where there is no study, it is being served already or the address cannot be had.

    Parameters
    ----------
    study
        SQLite file that `mien study new` made, or the database's address.
    host
        Address to listen on. Others reach the study only if you say so, as 0.0.0.0; put a web server with
        HTTPS before it.
    port
        Port to listen on; a free one by default.
    name
        Host name that participants use, where it is another than the address; may be repeated.
    open
        Open your page in the browser.
    """
    _check_extra()
    from mien.study.web import serve_study

    serve_study(events, study, host=host, port=port, names=name, open_browser=open)


@job
def results(
    events: Events,
    study: str,
    /,
    *,
    out: Path = Path("study-results"),
    ids: bool = False,
    forget: tuple[str, ...] = (),
) -> list[Path]:
    """Write what STUDY found: a page with plots, tables of votes and participants, all figures as JSON.

    It may run while the study is served. Returns the files. Raises InputError.

    Parameters
    ----------
    study
        SQLite file that `mien study new` made, or the database's address.
    out
        Folder for results.html, results.json, votes.csv and participants.csv.
    ids
        Write recruitment ids into participants.csv; they may name people.
    forget
        Delete the data of the participant with this code first, for good; may be repeated.
    """
    _check_extra()
    from mien.study.enrolment import delete_participant
    from mien.study.loaded import Study
    from mien.study.records import read_records
    from mien.study.results import analyse, shown, write_results
    from mien.study.store import open_study

    store = open_study(study)
    try:
        for code in forget:
            if not delete_participant(store, code):
                raise InputError(f"--forget {code}: there is no participant with this code")
            events.note(f"{code}: all data deleted")
        records = read_records(Study(store))
    finally:
        store.close()
    findings = analyse(records)
    for table in shown(findings.figures):
        events.send(table)
    for _, sentence in findings.sentences:
        events.note(f"- {sentence}")
    for warning in findings.warnings:
        events.warn(warning)
    written = write_results(records, findings, out, ids=ids)
    for path in written:
        events.wrote(path)
    return written


def _check_extra() -> None:
    try:
        import fastapi  # noqa: F401
        import sqlalchemy  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MienError(f"study needs FastAPI and SQLAlchemy; {install('study')}") from error

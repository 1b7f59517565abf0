"""The tables of a study and the database they lie in: a file of SQLite, or any address that SQLAlchemy takes.

One database holds one study with its pictures. What `write` has returned is on disk.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    func,
    inspect,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from mien.core.atomic import locked
from mien.core.errors import InputError

FORMAT = 1
STARTED, FINISHED = "started", "finished"  # states of a participant
_LOCK_NUMBER = 0x6D69656E  # of PostgreSQL's advisory lock
_CONNECTIONS = 20
_MOST_AT_ONCE = 64  # writes in one transaction of SQLite

T = TypeVar("T")

tables = MetaData()

studies = Table(
    "study",
    tables,
    Column("id", Integer, primary_key=True),
    Column("format", Integer, nullable=False),
    Column("design", Text, nullable=False),  # JSON
    Column("key", String(64), nullable=False),  # signs links and tokens, hexadecimal
    Column("secret", String(64), nullable=False),  # path of the researcher's pages
    Column("side", Integer, nullable=False),
    Column("created_at", String(40), nullable=False),
    Column("enrolled", Integer, nullable=False),  # also the next participant's number
)
pictures = Table(
    "picture",
    tables,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("set", String(64), nullable=False),
    Column("role", String(16), nullable=False),  # main, practice, mask
    Column("source", Text, nullable=False),
    Column("planned", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
participants = Table(
    "participant",
    tables,
    Column("id", Integer, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("code", String(32), nullable=False, unique=True),
    Column("recruitment", String(200), unique=True),
    Column("arm", String(64)),
    Column("answers", JSON, nullable=False),
    Column("state", String(16), nullable=False),  # started, finished
    Column("position", Integer, nullable=False),  # of the trial that is due
    Column("total", Integer, nullable=False),
    Column("device", JSON, nullable=False),
    Column("consented_at", String(40), nullable=False),
    Column("seen_at", String(40), nullable=False),
    Column("finished_at", String(40)),
)
trials = Table(
    "trial",
    tables,
    Column("id", Integer, primary_key=True),
    Column("participant_id", ForeignKey("participant.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("block", Integer, nullable=False),
    Column("pictures", JSON, nullable=False),
    Column("expected", JSON(none_as_null=True)),
    Column("exposure_ms", Float),
    Column("served", Integer, nullable=False),
    UniqueConstraint("participant_id", "position"),
)
votes = Table(
    "vote",
    tables,
    Column("trial_id", ForeignKey("trial.id", ondelete="CASCADE"), primary_key=True),
    Column("participant_id", ForeignKey("participant.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("answer", JSON, nullable=False),
    Column("correct", Boolean),
    Column("exposure_ms", Float),  # asked for
    Column("frames_planned", Integer),
    Column("frames_shown", Integer),
    Column("achieved_ms", Float),
    Column("refresh_hz", Float),
    Column("reaction_ms", Float),
    Column("server_ms", Float, nullable=False),  # from issuing the token to the vote
    Column("flags", String(200), nullable=False),
    Column("created_at", String(40), nullable=False),
)
incidents = Table(
    "incident",
    tables,
    Column("id", Integer, primary_key=True),
    Column("participant_id", ForeignKey("participant.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer),
    Column("kind", String(32), nullable=False),  # of requests that were refused
    Column("created_at", String(40), nullable=False),
)


def now() -> str:
    """The time in UTC, ISO 8601; texts sort as times do."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


_Waiting = tuple[Callable[[Connection], Any], "Future[Any]"]


class Store:
    """A database, by its path or address. Safe from several threads. InputError where the address is none."""

    def __init__(self, study: str) -> None:
        try:
            self.engine = _engine(study if "://" in study else f"sqlite:///{Path(study).absolute()}")
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise InputError(f"{study}: not a database that can be opened ({_line(error)})") from error
        self.name = self.engine.url.render_as_string(hide_password=True)
        if self.path is not None:
            self.name = str(self.path)
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._starting = threading.Lock()

    @property
    def path(self) -> Path | None:
        """The file, where it is SQLite."""
        url = self.engine.url
        return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads."""
        with self.engine.connect() as connection:
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Call `work` in a transaction and return its result when that is on disk.

        If `work` raises, nothing of it happened. SQLite lets one write at a time and waits for the disk after
        each: what comes in meanwhile is done together, in one transaction with a savepoint for each.
        """
        if self.path is None:
            with self.engine.begin() as connection:
                return work(connection)
        mine: Future[T] = Future()
        with self._starting:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_on, name="writer", daemon=True)
                self._writer.start()
        self._waiting.put((work, mine))
        return mine.result()

    def _write_on(self) -> None:
        """Carry out what waits, a batch at a time, until the store is closed."""
        going = True
        while going:
            batch = [self._waiting.get()]
            with suppress(queue.Empty):
                while len(batch) < _MOST_AT_ONCE:
                    batch.append(self._waiting.get_nowait())
            going = None not in batch
            self._write_batch([one for one in batch if one is not None])

    def _write_batch(self, batch: "list[_Waiting]") -> None:
        """Carry out all in one transaction, and tell those who wait when it is on disk."""
        ends: list[Callable[[], None]] = []
        try:
            with self.engine.connect() as connection:
                connection = connection.execution_options(immediate=True)
                with connection.begin():
                    ends = [_carry_out(connection, work, future) for work, future in batch]
        except Exception as error:  # nobody's work is on disk, whatever it was
            for _, future in batch:
                future.set_exception(error)
        else:
            for end in ends:
                end()

    def holds_study(self) -> bool:
        """Whether there is a study in it. Raises InputError where the database cannot be read."""
        if self.path is not None and not self.path.exists():
            return False
        try:
            with self.reading() as connection:
                return (
                    inspect(connection).has_table("study")
                    and connection.execute(select(studies.c.id)).first() is not None
                )
        except SQLAlchemyError as error:
            raise InputError(f"{self.name}: cannot be opened ({_line(error)})") from error

    def forget_deleted(self) -> None:
        """Let nothing of deleted rows stay in SQLite's files."""
        if self.path is not None:
            with self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """End the writer, when all that waits is written, and close the connections."""
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join()
            self._writer = None
        self.engine.dispose()


def _carry_out(
    connection: Connection, work: Callable[[Connection], T], future: "Future[T]"
) -> Callable[[], None]:
    """Do `work` or nothing of it; gives what to call when the transaction is on disk."""
    try:
        with connection.begin_nested():
            result = work(connection)
    except Exception as error:
        return partial(future.set_exception, error)
    return partial(future.set_result, result)


def open_study(study: str) -> Store:
    """A database with a study in it. Raises InputError where there is none."""
    store = Store(study)
    if not store.holds_study():
        raise InputError(f"{store.name}: there is no study there; `mien study new` makes one")
    with store.reading() as connection:
        version = connection.execute(select(studies.c.format)).scalar_one()
    if version != FORMAT:
        raise InputError(f"{store.name}: of another version of mien (format {version}, not {FORMAT})")
    return store


@contextmanager
def serving_alone(store: Store) -> Iterator[None]:
    """Hold the study against a second server; freed however this process ends.

    By a lock beside a SQLite file, by an advisory lock in PostgreSQL; other databases have none.
    """
    busy = InputError(f"{store.name}: is being served already; use that server, or end it first")
    if store.path is not None:
        with locked(store.path.with_name(store.path.name + ".lock"), lambda _: busy):
            yield
    elif store.engine.url.get_backend_name() == "postgresql":
        with store.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            if not connection.execute(select(func.pg_try_advisory_lock(_LOCK_NUMBER))).scalar_one():
                raise busy
            try:
                yield
            finally:
                connection.execute(select(func.pg_advisory_unlock(_LOCK_NUMBER)))
    else:
        yield


def _engine(address: str) -> Engine:
    url = make_url(address)
    options: dict[str, Any] = {"pool_size": _CONNECTIONS, "max_overflow": _CONNECTIONS}
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, **options)
    if url.database in (None, "", ":memory:"):
        raise ArgumentError("a study needs a file")
    engine = create_engine(url, connect_args={"timeout": 30}, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions begin in `_begin_sqlite`
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _line(error: Exception) -> str:
    """The first line of an error; SQLAlchemy's have several."""
    reason = getattr(error, "orig", None) or error
    return (str(reason).strip() or type(reason).__name__).splitlines()[0][:200]

"""A database for each test: a file of SQLite, and a private PostgreSQL where that is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the extra study is not installed")
pytest.importorskip("fastapi", reason="the extra study is not installed")


def _programs() -> Path | None:
    """The folder of initdb and pg_ctl, which Debian keeps out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return None if program is None else Path(program).parent


def _user() -> str:
    """Who the server runs as: not root, which it refuses."""
    return "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """A PostgreSQL server that listens on a socket in a temporary folder alone; gives the folder."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    account = pwd.getpwnam(_user())
    with tempfile.TemporaryDirectory(prefix="mien-pg-") as name:
        folder = Path(name)
        os.chmod(folder, 0o755)
        data = folder / "data"
        if os.geteuid() == 0:
            os.chown(folder, account.pw_uid, account.pw_gid)

        def run(*command: object) -> None:
            subprocess.run(
                [str(part) for part in command],
                check=True,
                stdout=subprocess.DEVNULL,
                cwd=folder,
                user=account.pw_uid if os.geteuid() == 0 else None,
                group=account.pw_gid if os.geteuid() == 0 else None,
                env={"PATH": os.environ["PATH"], "HOME": name, "LC_ALL": "C.UTF-8"},
            )

        run(programs / "initdb", "-D", data, "-U", "mien", "--auth=trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        run(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield name
        finally:
            run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "study.sqlite")
    return emptied(request.getfixturevalue("cluster"))


def emptied(cluster: str) -> str:
    """The address of the server's database, with nothing in it any more."""
    import psycopg

    with psycopg.connect(f"host={cluster} user=mien dbname=postgres", autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return f"postgresql+psycopg://mien@/postgres?host={cluster}"

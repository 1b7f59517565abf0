"""Seeds as users write them ("0,1,4-6", "@kept.txt"), and truncation. Imports no torch."""

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from mien.core.errors import InputError
from mien.core.text import decode_text

Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=1 << 31))]  # of what a command draws by chance

_PART = re.compile(r"^([0-9]{1,20})(?:-([0-9]{1,20}))?$")
_MOST = 1_000_000
_MOST_PSI = 100.0
_MOST_BYTES = 16 << 20  # of a file of seeds


def parse_seeds(text: str) -> list[int]:
    """Read "0,1,4-6" as [0, 1, 4, 5, 6], and "@kept.txt" as what that file says in the same way.

    A file may have any number of lines, and "#" begins a remark. Raises InputError naming the wrong part.
    """
    if text.startswith("@"):
        return _read_seeds(Path(text[1:]))
    return _seeds(text.replace(" ", "").split(","), f"seeds {text!r}")


def write_seeds(seeds: list[int]) -> str:
    """The seeds as briefly as `parse_seeds` reads them: [0, 1, 2, 5] becomes "0-2,5"."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1][1:] = [seed]
        else:
            runs.append([seed])
    return ",".join("-".join(map(str, run)) for run in runs)


def _read_seeds(path: Path) -> list[int]:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = decode_text(data)
    except OSError as error:
        raise InputError(f"seeds @{path}: the file cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"seeds @{path}: this is no text file") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"seeds @{path}: a list of seeds is smaller than {_MOST_BYTES >> 20} MiB")
    seeds: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        parts = line.partition("#")[0].replace(",", " ").split()
        seeds += _seeds(parts, f"seeds @{path}, line {number}", already=len(seeds))
    if not seeds:
        raise InputError(f"seeds @{path}: there is no seed in this file")
    return seeds


def _seeds(parts: list[str], where: str, *, already: int = 0) -> list[int]:
    seeds: list[int] = []
    for part in parts:
        match = _PART.match(part)
        if match is None:
            raise InputError(f"{where}: {part[:40]!r} is neither a number nor a range like 4-6")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last >= 2**32:
            raise InputError(f"{where}: the range {part!r} must rise and stay below 2**32")
        if already + len(seeds) + last - first >= _MOST:
            raise InputError(f"{where}: more than {_MOST:,} seeds at once")
        seeds.extend(range(first, last + 1))
    return seeds


def check_psi(trunc: float) -> float:
    """The truncation that a user asked for. Raises InputError for what is no number to draw with."""
    if not abs(trunc) <= _MOST_PSI:
        raise InputError(f"--trunc {trunc}: psi is a number, usually from 0 to 1")
    return trunc


def psi_note(psi: float) -> str:
    """What to expect of a truncation that is not usual; "" from above 0 to 1."""
    if psi == 0:
        return "--trunc 0: the mean face alone, whatever the seed"
    if psi > 1:
        return f"--trunc {psi:g}: beyond 1 faces are stranger than those that it learnt from, and break"
    return f"--trunc {psi:g}: below 0 faces are the opposites of what their seeds draw" if psi < 0 else ""

"""Error classes whose messages are for the user: what is wrong, where, and what to do."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pydantic import ValidationError

_NOUNS = {  # pydantic's and ours
    **{"valid integer": "whole number", "valid number": "number", "a valid string": "text"},
    **{
        "valid tuple": "list",
        "valid list": "list",
        "valid dictionary": "table",
        "a valid boolean": "yes or no",
    },
}
_ALIKE = 0.75  # of names, 0 to 1, that one may be the other misspelt
_ONE_FILE = frozenset(
    {".csv", ".gif", ".htm", ".html", ".jpeg", ".jpg", ".json", ".mp4", ".npy", ".npz", ".pdf", ".png"}
    | {".safetensors", ".webp", ".zip"}
)
_REASONS = {"missing": "is missing", "extra_forbidden": "there is no such key"}


class MienError(Exception):
    """Something failed while running; each argument is one line for the user. Exit code 1.

    raised_by_all: by every process of a training at once, so that one of them says it for all.
    """

    exit_code = 1
    raised_by_all = False

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class InputError(MienError):
    """The command line, a file or a folder given by the user is unusable. Exit code 2."""

    exit_code = 2


class Problem(NamedTuple):
    """The first thing that pydantic found wrong: the value's place, the value (short), and the reason."""

    name: str
    value: str
    reason: str


def first_problem(error: "ValidationError") -> Problem:
    """What to tell the user of values that a pydantic model does not take."""
    first = error.errors(include_url=False)[0]
    return Problem(".".join(map(str, first["loc"])), str(first["input"])[:60], reason_of(first))


def reason_of(problem: Mapping[str, Any]) -> str:
    """Why, in words, of one of the problems in `ValidationError.errors()`."""
    if problem["type"] in _REASONS:
        return _REASONS[problem["type"]]
    reason = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    reason = reason.partition(", unable to parse")[0]
    for theirs, ours in _NOUNS.items():
        reason = reason.replace(theirs, ours)
    return reason


# How plain RuntimeErrors say it: torch on CPUs, oneDNN, CUDA's libraries.
_NO_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "could not create a primitive",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory did not suffice, of this machine or its GPU, or did not before `error` came of it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY):
        return True
    return isinstance(error.__context__, Exception) and is_out_of_memory(error.__context__)


def install(extra: str) -> str:
    """How to get what an extra of mien brings."""
    return f"in mien's folder: pip install -c constraints.txt '.[{extra}]'"


def did_you_mean(path: Path) -> str:
    """The end of a sentence: what of nearly that name lies there, or among the runs; "" for nothing."""
    for folder in (path.parent, path.parent / "runs"):
        names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
        begun = [name for name in names if name.startswith(path.name)]
        begun = [name for name in begun if name == f"{path.name}.zip"] or begun
        if path.name and (alike := begun or difflib.get_close_matches(path.name, names, 1, _ALIKE)):
            return f"; did you mean {folder / alike[-1]}?"
    return ""


def want_folder(out: Path, advice: str = "") -> None:
    """Raise InputError where `out`, which is to be a folder, is a file or has the name of one."""
    if out.is_file() or (out.suffix.lower() in _ONE_FILE and not out.is_dir()):
        raise InputError(f"--out {out}: is a file's name, and a folder is wanted{advice}")


def make_squares(size: int = 64) -> str:
    """How pictures become squares of one size, which need not be faces."""
    return f"mien prepare SRC OUT.zip --finder none --size {size}"


def power_of_two(side: int, least: int, most: int, *, model: str = "this model", advice: str = "") -> int:
    """The exponent of a picture's side. Raises InputError unless it is a power of two in that range."""
    if not least <= side <= most or side & (side - 1):
        raise InputError(
            f"pictures of {side} px: {model} needs a power of two from {least} to {most};"
            f" {advice}make them with {make_squares()}"
        )
    return side.bit_length() - 1

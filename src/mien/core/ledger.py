"""What was measured of a run, kept in it: a line of `metric-<name>.jsonl` for each examination."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mien.core.atomic import write_text
from mien.core.errors import InputError
from mien.core.run import RunFolder

Found = TypeVar("Found", bound=BaseModel)


def append(run: RunFolder, metric: str, *found: BaseModel) -> None:
    """Add a line for each to the run's `metric-<metric>.jsonl`, atomically."""
    path = run.metric(metric)
    old = path.read_text("utf-8") if path.exists() else ""
    write_text(path, old + "".join(one.model_dump_json() + "\n" for one in found))


def read_all(run: RunFolder, metric: str, kind: type[Found]) -> list[Found]:
    """What was found so far, oldest first. Raises InputError naming a damaged line."""
    path = run.metric(metric)
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise InputError(f"{path}: line {number} is not an examination") from error
    return found


def newest(run: RunFolder, metric: str, kind: type[Found]) -> Found | None:
    """What was found last, None where nothing was. Raises InputError naming a damaged line."""
    found = read_all(run, metric, kind)
    return found[-1] if found else None

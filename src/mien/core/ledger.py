"""Evaluation results of a run: one line of its `metric-<name>.jsonl` for each."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mien.core.atomic import write_text
from mien.core.errors import InputError
from mien.core.run import RunFolder

Record = TypeVar("Record", bound=BaseModel)


def append(run: RunFolder, metric: str, *records: BaseModel) -> None:
    """Append a line for each record to the run's `metric-<metric>.jsonl`, atomically."""
    path = run.metric(metric)
    old = path.read_text("utf-8") if path.exists() else ""
    write_text(path, old + "".join(record.model_dump_json() + "\n" for record in records))


def read_all(run: RunFolder, metric: str, kind: type[Record]) -> list[Record]:
    """All results, oldest first. Raises InputError naming a damaged line."""
    path = run.metric(metric)
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise InputError(f"{path}: line {number} is not an examination") from error
    return records


def newest(run: RunFolder, metric: str, kind: type[Record]) -> Record | None:
    """The newest result, None where there is none. Raises InputError naming a damaged line."""
    records = read_all(run, metric, kind)
    return records[-1] if records else None

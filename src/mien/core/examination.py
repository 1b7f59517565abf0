"""Results of evaluating a trained network on a dataset, kept as lines of a run's `metric-*.jsonl`."""

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from mien import TOOL
from mien.core import ledger
from mien.core.events import Event
from mien.core.run import RunFolder


class Examination(BaseModel):
    """Base class of evaluation results; each kind of network adds its scores and how they are shown.

    metric: the name of the run's file, `metric-<metric>.jsonl`. kept_out: whether these images are known to
    be held out of its training. how: which images these are, in words.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())
    metric: ClassVar[str]

    model_id: str
    nimg: int
    dataset_name: str
    dataset_hash: str
    kept_out: bool = Field(False, validation_alias=AliasChoices("kept_out", "unseen"))
    how: str = ""
    tool: str = TOOL

    def tables(self) -> list[Event]:
        """The tables and notices that show it."""
        raise NotImplementedError

    def append(self, run: RunFolder) -> None:
        """Add it as a line to the run's file, atomically."""
        ledger.append(run, self.metric, self)

    @classmethod
    def of_run(cls, run: RunFolder) -> Sequence[Self]:
        """All of a run, oldest first. Raises InputError naming a damaged line."""
        return ledger.read_all(run, cls.metric, cls)

    @classmethod
    def newest(cls, run: RunFolder) -> Self | None:
        """The last of a run, None where there is none. Raises InputError naming a damaged line."""
        return ledger.newest(run, cls.metric, cls)

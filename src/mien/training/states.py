"""Training states (checkpoints) of a run: save, resume and roll back."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mien.core import ranks
from mien.core.checkpoint import load_state, newest_state, prune_states, save_state
from mien.core.errors import InputError, MienError
from mien.core.run import RunFolder
from mien.training.loop import Training

_KEPT = 3
_DIGITS = re.compile("[0-9]+")


class States:
    """Saves and restores `training` in a run folder; the caller holds the folder's lock.

    Of several ranks the first alone reads and writes, and hands on what it read.
    """

    def __init__(self, run: RunFolder, training: Training, *, family: str) -> None:
        self._run, self._training, self._family = run, training, family

    def save(self) -> None:
        """Write the state, then drop those too old to be needed."""
        if not ranks.leads():
            return
        state = {"family": self._family, **self._training.state_dict()}
        save_state(self._run.state(self._training.nimg), state)
        prune_states(self._run.path, _KEPT)

    def begin(self) -> None:
        """Write the state of a new run, with which all ranks begin."""
        self.save()
        state = ranks.led(self._training.state_dict)
        if not ranks.leads():
            self._training.load_state_dict(state)

    def resume(self, report: Callable[[str], None]) -> bool:
        """Load the newest state that can be read; False if there is none.

        report: gets a line for each damaged state passed over. InputError where the state is another model's.
        """
        newest = ranks.led(lambda: self._newest(report))
        if newest is not None:
            self._restore(*newest)
        return newest is not None

    def _newest(self, report: Callable[[str], None]) -> tuple[str, dict[str, Any]] | None:
        newest = newest_state(self._run.path, report=report)
        return None if newest is None else (str(newest[0]), newest[1])

    def roll_back(self, before_nimg: int) -> None:
        """Return to the newest state of at most `before_nimg` images, or to the oldest; drop what follows it.

        Raises MienError where no state can be read.
        """
        self._restore(*ranks.led(lambda: self._early(before_nimg)))

    def _early(self, before_nimg: int) -> tuple[str, dict[str, Any]]:
        readable = {path: state for path in self._paths() if (state := _read(path)) is not None}
        if not readable:
            raise MienError(
                f"{self._run.path}: no training state is left to return to; start anew with --new"
            )
        early = [path for path, state in readable.items() if state["counters"]["nimg"] <= before_nimg]
        path = early[-1] if early else min(readable)
        return str(path), readable[path]

    def _restore(self, path: str, state: dict[str, Any]) -> None:
        family = state.get("family")
        if family != self._family:
            raise InputError(f"{path}: a checkpoint of the family {family!r}, this run is {self._family!r}")
        try:
            self._training.load_state_dict(state)
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"{path}: does not fit this run's configuration ({reason})") from error
        self._remove_later()

    def _remove_later(self) -> None:
        """Remove the states, networks and grids that are later than the current one."""
        if not ranks.leads():
            return
        run, nimg = self._run, self._training.nimg
        for path in (*self._paths(), *run.products(), *run.all_fakes()):
            if int(_DIGITS.findall(path.name)[-1]) > nimg // 1000:
                path.unlink()
        run.trim_log(nimg)

    def _paths(self) -> list[Path]:
        return sorted(self._run.path.glob("state-*.pt"))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return load_state(path)
    except InputError:
        return None

"""The commands as functions of Python: plain keyword arguments in, results out.

They show their progress where somebody looks on (a terminal, a notebook), and are silent elsewhere. `train`
gives its job, whose events can be iterated over.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from mien.core.events import Job
from mien.terminal import show_if_watched


class ShownJob(Job[Any]):
    """A job that shows itself when it is run whole."""

    def run(self, listen: Any = None) -> Any:
        return super().run(listen) if listen is not None else show_if_watched(Job(self._name, self._body))


def train(data: str | None = None, /, **options: Any) -> ShownJob:
    """Training on `data`: iterate over it for its events, or .run() it; the same call again goes on.

    options: the fields of `mien.training.options.TrainOptions`, as minutes=5, model="lite", out="runs";
    start is what `--from` is. The result is the run's folder. Raises InputError, ValidationError.
    """
    from mien.training.options import TrainOptions
    from mien.training.train import train as start

    job = start(None if data is None else str(data), options=TrainOptions(**options))
    return ShownJob(job._name, job._body)


def _whole(place: str) -> Callable[..., Any]:
    """The job at "module:function" as a function that does it and returns its result."""
    module, _, name = place.partition(":")
    start = getattr(importlib.import_module(module), name)

    @functools.wraps(start)
    def run(*args: Any, **kwargs: Any) -> Any:
        return show_if_watched(start(*args, **kwargs))

    return run


_WHOLE = {
    "collect_photos": "mien.collect.collect:collect",
    "prepare_photos": "mien.prepare.prepare:prepare",
    "generate": "mien.generation.generate:generate",
    "evaluate": "mien.evaluation.evaluate:evaluate",
    "write_report": "mien.evaluation.report:report",
}


def __getattr__(name: str) -> Any:
    if name not in _WHOLE:
        raise AttributeError(f"module 'mien.python' has no attribute {name!r}")
    return _whole(_WHOLE[name])

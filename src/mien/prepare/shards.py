"""Faces found by a cluster: shards of inputs, each extracted by a worker as a pool of one would."""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mien.core.cluster import Cluster, Shard
from mien.core.storage import on_worker, shared
from mien.prepare.pool import Answer, Pool
from mien.prepare.store import Store

_ROW = re.compile(r"(?<=\.parquet)#\d+$")
_INPUTS = 32  # of a shard: some seconds' work, beside which starting a process is little


class ShardAnswer(NamedTuple):
    """What was found in one input of a shard. stored: record, crops and thumb; None where nothing is kept."""

    number: int
    answer: Answer
    stored: tuple[dict[str, Any], dict[tuple[int, int, str], bytes], bytes] | None


def extracted(
    workers: Cluster,
    setup: Mapping[str, Any],
    tasks: Sequence[Mapping[str, Any]],
    store: Store,
    *,
    patience: float,
) -> Iterator[tuple[int, Answer]]:
    """As `Pool.run`, by a cluster; what is found goes into `store`, which this process alone writes."""
    starts = range(0, len(tasks), _INPUTS)
    plain = {"source": shared(setup["source"]), "config": setup["config"]}
    shards = [Shard((plain, patience, list(tasks[start : start + _INPUTS]))) for start in starts]
    for shard, answers in workers.run(extract_shard, shards):
        for number, answer, stored in answers:
            task = starts[shard] + number
            if stored is not None:
                record, crops, thumb = stored
                store.add(tasks[task]["key"], record, crops=crops, thumb=thumb)
            yield task, answer


def extract_shard(setup: dict[str, Any], patience: float, tasks: list[dict[str, Any]]) -> list[ShardAnswer]:
    """Find and cut the faces of some inputs; a crash or a hang costs one of them. Raises MienError."""
    place, version = setup["source"]
    source = on_worker(place, version, sorted({_ROW.sub("", task["name"]) for task in tasks}))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shard.sqlite")
        with Pool(
            {**setup, "source": str(source), "store": str(path)}, count=1, patience_seconds=patience
        ) as pool:
            answers = dict(pool.run(tasks))
        store = Store(path)
        try:
            numbers = store.keys()
            return [
                ShardAnswer(index, answers[index], _stored(store, numbers.get(task["key"]), setup))
                for index, task in enumerate(tasks)
            ]
        finally:
            store.close()


def _stored(store: Store, place: tuple[int, int] | None, setup: Mapping[str, Any]) -> Any:
    if place is None:
        return None
    number, faces = place
    crops = {
        (face, size, role): png
        for face in range(faces)
        for size in setup["config"]["sizes"]
        for role, png in store.crops(number, face, size)
    }
    return store.record(number), crops, store.thumb(number)

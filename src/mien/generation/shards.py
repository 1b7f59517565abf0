"""Faces drawn by a cluster: shards of seeds, drawn and coded by workers, written by this process."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mien import TOOL
from mien.core import cluster
from mien.core.atomic import file_sha256, write_bytes
from mien.core.cluster import Done, Shard
from mien.core.errors import MienError
from mien.core.events import Tick
from mien.core.image import to_hwc
from mien.core.provenance import Provenance, encode_picture
from mien.core.sampling import batch_for
from mien.core.storage import on_worker, shared
from mien.generation.batches import (
    CollapseCheck,
    LoadedGenerator,
    Looks,
    batches_of,
    looks_of,
    open_generator,
)
from mien.generation.file_names import free_path
from mien.labels.vectors import label_vectors

_BATCHES = 4  # of a shard, each drawn as one process would, so that the pictures are the same to the byte


class Drawn(NamedTuple):
    """What is drawn. like: "out/seed.png". ending: of names that are taken; see `file_names`."""

    drawing: LoadedGenerator
    labels: tuple[str, ...]
    psi: float
    like: Path
    ending: str


def drawn_by_cluster(
    address: str, job: Drawn, seeds: Sequence[int], collapse: CollapseCheck, progress: Tick
) -> list[Path]:
    """Write each seed's picture; shards that an earlier run wrote are not drawn again."""
    size = _BATCHES * batch_for(job.drawing.header.spec.resolution)
    source = job.drawing.path
    common = (shared(source), file_sha256(source), list(job.labels), job.psi, job.like.suffix)
    parts = [list(seeds[start : start + size]) for start in range(0, len(seeds), size)]
    shards = [Shard((*common, part)) for part in parts]
    job.like.parent.mkdir(parents=True, exist_ok=True)
    done = Done(job.like.parent / ".shards-done")
    todo = [number for number, shard in enumerate(shards) if shard.name not in done]
    count = sum(len(part) for number, part in enumerate(parts) if number not in set(todo))
    written = {seed: job.like.with_stem(f"seed{seed:04d}") for seed in seeds}
    with cluster.opened(address) as opened:
        for place, pictures in opened.run(draw_shard, [shards[number] for number in todo]):
            number = todo[place]
            for seed, (data, looks) in zip(parts[number], pictures, strict=True):
                collapse.observe(looks)
                path = free_path(written[seed], job.ending, data, job.drawing.model)
                write_bytes(path, data)
                written[seed] = path
            done.add(shards[number].name)
            count += len(parts[number])
            progress(count, len(seeds))
    done.forget()
    return list(written.values())


def draw_shard(
    source: tuple[str, str], sha256: str, labels: list[str], psi: float, suffix: str, seeds: list[int]
) -> list[tuple[bytes, Looks]]:
    """Files and looks of some seeds. Raises MienError where a worker has another generator, or none."""
    drawing = _opened(*source, sha256)
    vectors = label_vectors(drawing.header, tuple(labels), seeds)
    return [
        (
            encode_picture(to_hwc(image), suffix, Provenance(drawing.model, seed, TOOL)),
            looks_of(image),
        )
        for part, images in batches_of(drawing, seeds, vectors, psi, lambda done, total: None)
        for seed, image in zip(part, images, strict=True)
    ]


@lru_cache(maxsize=1)
def _opened(place: str, version: str, sha256: str) -> LoadedGenerator:
    path = on_worker(place, version)
    if file_sha256(path) != sha256:
        raise MienError(f"{place}: another file on a worker than here")
    return open_generator(path)

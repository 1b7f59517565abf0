"""One worker process: `python -m mien.prepare.worker DESCRIPTOR`, started by `pool`.

It speaks JSON frames over a socket, nothing pickled. First it is told source, store and config and answers
{"ready": true}; then for each {"name", "at", "key"} it puts what it found into the store and answers {}. If
the file could not even be read it answers its record, which is not stored: the next run shall try again. If
the store cannot be written it answers {"stop": why}.
"""

import json
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import cv2

from mien.core.errors import MienError
from mien.faces.finder import Finder, open_finder
from mien.faces.mesh import MeshNetwork
from mien.prepare.extract import NO_FINDER, CropConfig, Extracted, dropped, extract
from mien.prepare.judge import Drop
from mien.prepare.sources import Input, Reader, readable
from mien.prepare.store import Store


def main(descriptor: int, finder: Finder | None = None) -> None:
    """Serve until the other end closes. finder: instead of the config's own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    cv2.setNumThreads(1)  # the workers share the cores already
    link = Connection(descriptor)
    setup = json.loads(link.recv_bytes())
    config, store = CropConfig(**setup["config"]), Store(Path(setup["store"]))
    with Reader(Path(setup["source"])) as reader:
        if finder is None and config.finder != NO_FINDER:
            finder = open_finder(config.finder)
        mesh = MeshNetwork() if finder is not None and finder.name == "mesh" else None
        link.send_bytes(b'{"ready": true}')
        while True:
            try:
                task = json.loads(link.recv_bytes())
                file = Input(task["name"], task["at"], task["key"])
                extracted = _guarded(file, reader, finder, config, mesh)
                link.send_bytes(json.dumps(_answer(extracted, file.key, store)).encode())
            except (EOFError, ConnectionError):  # the parent has ended
                return


def _answer(extracted: Extracted, key: str, store: Store) -> dict[str, object]:
    if extracted.record["sha256"] is None:
        return extracted.record
    try:
        store.add(key, extracted.record, crops=extracted.crops, thumb=extracted.thumb)
    except MienError as error:
        return {"stop": str(error)}
    return {}


def _guarded(
    file: Input, reader: Reader, finder: Finder | None, config: CropConfig, mesh: MeshNetwork | None
) -> Extracted:
    try:
        return extract(file, reader, finder, config, mesh=mesh)
    except Exception as error:  # one odd picture must not end the others' run
        message = " ".join(str(error).split())[:160]
        drop = Drop("failed", f"preparing it failed ({type(error).__name__}: {message})")
        return Extracted({"source": readable(file.name), "sha256": None} | dropped(drop))


if __name__ == "__main__":
    main(int(sys.argv[1]))

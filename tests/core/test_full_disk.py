"""A disk that is really full: a tiny file system in a mount namespace, where the system allows one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mien

WRITERS = """
import os, sys
from pathlib import Path
import torch
from mien.core.checkpoint import NetworkHeader, newest_state, save_generator, save_state
from mien.core.errors import MienError
from mien.core.packed import PackReader, PackWriter
from mien.core.run import RunFolder
from mien.core.types import Spec
from mien.datasets.layouts import folder

disk, pictures = Path(sys.argv[1]), sys.argv[2]
os.environ["MIEN_CACHE"] = str(disk / "cache")
run = RunFolder.create(disk, "x")
run.write_config({})
save_state(run.state(1000), {"n": 1})

def pack():
    with PackWriter(disk / "a.zip") as writer:
        for _ in range(100):
            writer.add_png(bytes(10_000))

def log():
    for n in range(1000):
        run.append_log({"n": n, "text": "y" * 5000})

header = NetworkHeader(family="lite", config={}, spec=Spec(8), nimg=0, tool="mien")
large = torch.zeros(100_000)
attempts = {
    "same state": lambda: save_state(run.state(1000), {"n": 2, "w": large}),
    "new state": lambda: save_state(run.state(2000), {"n": 2, "w": large}),
    "generator": lambda: save_generator(run.generator(0), {"w": large}, header),
    "pack": pack,
    "cache": lambda: folder.open(pictures),
    "log": log,
}
for name, attempt in attempts.items():
    try:
        attempt()
    except MienError as error:
        assert "no space left" in str(error), error
        print(name)
said = []
assert newest_state(run.path, report=said.append)[1] == {"n": 1}
assert said == []
assert [record["n"] for record in run.read_log()] == list(range(len(run.read_log())))
names = {path.name for path in disk.rglob("*") if path.is_file()}
print(sorted(names - {".lock", "config.json", "log.jsonl", "state-000001.pt", "state-000001.pt.sha256"}))
"""


@pytest.mark.slow
def test_each_writer_says_so_and_leaves_what_was_there(tmp_path):
    from PIL import Image

    (tmp_path / "in").mkdir()
    Image.new("RGB", (512, 512)).save(tmp_path / "in" / "a.png")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=300k tmpfs '{disk}'"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    command = [sys.executable, "-W", "error", "-c", WRITERS, disk, tmp_path / "in"]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", *command],
        env=os.environ | {"PYTHONPATH": str(Path(mien.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert lines[:-1] == ["same state", "new state", "generator", "pack", "cache", "log"], done.stderr
    assert lines[-1] == "['state-000002.pt.sha256']"
    assert list(disk.iterdir()) == []

import errno
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import forked
import mien
from mien.core.errors import InputError, MienError
from mien.core.run import RunFolder, find_runs


@pytest.fixture
def run(tmp_path):
    folder = RunFolder.create(tmp_path / "runs", "lite-photos")
    folder.write_config({"family": "lite"})
    return folder


def test_runs_are_numbered_on_from_the_highest(tmp_path):
    root = tmp_path / "runs"
    assert RunFolder.create(root, "a").name == "00000-a"
    assert RunFolder.create(root, "b").name == "00001-b"
    (root / "00041-by-hand").mkdir()
    (root / "notes.txt").write_text("")
    assert RunFolder.create(root, "c").name == "00042-c"
    (root / "100000-many").mkdir()
    assert RunFolder.create(root, "d").name == "100001-d"


@given(st.text(max_size=200))
def test_whatever_it_is_called_the_folder_lies_directly_in_the_root(tmp_path_factory, what):
    root = tmp_path_factory.mktemp("runs")
    folder = RunFolder.create(root, what)
    assert folder.path.is_dir()
    assert folder.path.parent == root
    assert folder.name.isascii()


def test_many_at_once_get_numbers_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda i: RunFolder.create(tmp_path, f"run{i % 3}"), range(40)))
    assert sorted(folder.name[:5] for folder in folders) == [f"{i:05d}" for i in range(40)]


def test_a_root_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MienError, match="cannot make"):
        RunFolder.create(tmp_path / "file" / "runs", "x")


def test_open_takes_run_folders_only(tmp_path, run):
    assert RunFolder.open(run.path).read_config() == {"family": "lite"}
    (tmp_path / "other").mkdir()
    for name in ("other", "absent"):
        with pytest.raises(InputError, match=name):
            RunFolder.open(tmp_path / name)


def test_find_runs_lists_those_with_a_config_by_number(tmp_path, run):
    RunFolder.create(run.path.parent, "begun-and-killed")
    later = RunFolder.create(run.path.parent, "a")
    later.write_config({})
    assert [found.name for found in find_runs(run.path.parent)] == ["00000-lite-photos", "00002-a"]
    assert find_runs(tmp_path / "absent") == []


def test_config_comes_back_and_damage_is_named(run):
    config = {"b": [1, 2.5, None], "a": {"data": Path("x/y")}}
    run.write_config(config)
    assert run.read_config() == {"b": [1, 2.5, None], "a": {"data": "x/y"}}
    for text in ("{", "[]"):
        (run.path / "config.json").write_text(text)
        with pytest.raises(InputError, match=r"config\.json"):
            run.read_config()


def test_paths_follow_the_format(run):
    names = [
        run.fakes(0),
        run.generator(200_000),
        run.state(200_999),
        run.reals,
        run.metric("swd"),
        run.timelapse,
        run.report,
        run.log,
    ]
    assert [path.name for path in names] == [
        "fakes000000.png",
        "generator-000200.safetensors",
        "state-000200.pt",
        "reals.png",
        "metric-swd.jsonl",
        "timelapse.webp",
        "report.html",
        "log.jsonl",
    ]
    assert {path.parent for path in names} == {run.path}


def test_generators_are_sorted_by_images_seen(run):
    with pytest.raises(InputError, match="no generator yet"):
        run.newest_generator()
    for nimg in (1_000_000_000, 0, 999_999_000):
        run.generator(nimg).write_bytes(b"")
        run.fakes(nimg).write_bytes(b"")
    (run.path / "generator-best.safetensors").write_bytes(b"")
    expected = [0, 999_999_000, 1_000_000_000]
    assert run.generators() == [run.generator(nimg) for nimg in expected]
    assert run.all_fakes() == [run.fakes(nimg) for nimg in expected]
    assert run.newest_generator() == run.generator(1_000_000_000)


def test_log_lines_are_strict_json_and_come_back(run):
    assert run.read_log() == []
    run.append_log({"nimg": 64, "Loss/scores/fake": np.float32(0.5), "n": torch.tensor(3), "text": "a\nb"})
    run.append_log({"nimg": 128, "x": math.nan, "y": -math.inf, "z": torch.tensor(math.inf)})
    run.append_log({"event": "warning", "list": [1, math.nan], "deep": {"a": np.float64("nan")}})
    lines = run.log.read_text().split("\n")
    assert len(lines) == 4
    assert lines[3] == ""

    def refuse(name):
        raise AssertionError(name)

    for line in lines[:3]:
        json.loads(line, parse_constant=refuse)
    first, second, third = run.read_log()
    assert first == {"nimg": 64, "Loss/scores/fake": 0.5, "n": 3, "text": "a\nb"}
    assert math.isnan(second["x"])
    assert (second["y"], second["z"]) == (-math.inf, math.inf)
    assert third["event"] == "warning"


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_cut_last_line_is_passed_over_and_then_removed(run, cut):
    for nimg in (1000, 2000, 3000):
        run.append_log({"nimg": nimg, "text": "0123456789"})
    run.log.write_bytes(run.log.read_bytes()[:-cut])
    assert [record["nimg"] for record in run.read_log()][:2] == [1000, 2000]
    run.append_log({"nimg": 4000})
    assert [record["nimg"] for record in run.read_log()] == [1000, 2000, 4000]
    assert all(json.loads(line) for line in run.log.read_text().splitlines())


def test_trimming_drops_ticks_beyond_and_marks_events(run):
    run.append_log({"nimg": 1000})
    run.append_log({"event": "early", "nimg": 1000})
    run.append_log({"Progress/kimg": 2})
    run.append_log({"event": "late", "nimg": 3000})
    run.append_log({"Progress/kimg": 3.5, "x": math.nan})
    run.append_log({"event": "no number"})
    run.trim_log(2000)
    assert run.read_log() == [
        {"nimg": 1000},
        {"event": "early", "nimg": 1000},
        {"Progress/kimg": 2},
        {"event": "late", "nimg": 3000, "undone": True},
        {"event": "no number"},
    ]
    before = run.log.stat().st_ino
    run.trim_log(2000)
    assert run.log.stat().st_ino == before


def test_trimming_without_a_log_makes_none(run):
    run.trim_log(0)
    assert not run.log.exists()


def test_a_full_disk_is_said(run, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MienError, match="no space left"):
        run.append_log({"nimg": 0})
    with pytest.raises(MienError, match="no space left"):
        run.write_config({"family": "other"})
    assert run.read_config() == {"family": "lite"}


HOLDER = """
import sys, time
from pathlib import Path
from mien.core.run import RunFolder
with RunFolder.open(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(100)
"""


def hold(run):
    source = str(Path(mien.__file__).parents[1])
    process = forked.Popen(
        [sys.executable, "-c", HOLDER, run.path],
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.stdout.close()
    return process


def take(run):
    with run.lock():
        return True


def test_a_second_process_is_refused_by_name_and_let_in_after_kill_9(run):
    process = hold(run)
    stale = run.path / ".tmp-mien-abc.pt"
    stale.write_bytes(b"half")
    try:
        with pytest.raises(InputError, match=f"00000-lite-photos is in use by process {process.pid}"):
            take(run)
        assert stale.exists()  # it may be the other's, who is alive
    finally:
        process.kill()
        process.wait()
    assert take(run)
    assert not stale.exists()


def test_the_same_process_is_refused_too_and_free_after_an_error(run):
    with run.lock(), pytest.raises(InputError, match=str(os.getpid())):
        take(run)
    with pytest.raises(RuntimeError), run.lock():
        raise RuntimeError
    assert take(run)


def test_locking_leaves_everything_but_temporaries(run):
    run.append_log({"nimg": 1})
    (run.path / "mine.txt").write_text("kept")
    (run.path / ".tmp-mien-xyz").write_text("half")
    assert take(run)
    assert sorted(path.name for path in run.path.iterdir()) == [
        ".lock",
        "config.json",
        "log.jsonl",
        "mine.txt",
    ]

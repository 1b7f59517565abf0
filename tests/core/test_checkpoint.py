import errno
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import forked
import mien
from mien.core.checkpoint import (
    DatasetInfo,
    NetworkHeader,
    load_generator,
    load_state,
    model_id,
    newest_state,
    prune_states,
    read_header,
    save_generator,
    save_state,
)
from mien.core.errors import InputError, MienError
from mien.core.types import Spec

HEADER = NetworkHeader(
    family="lite",
    config={"width": 32, "names": ["a"], "none": None},
    spec=Spec(64, 3, 2, ("x", "y")),
    nimg=200_000,
    tool="mien 0.1.0",
    dataset=DatasetInfo(name="photos", content_hash="ab" * 32, num_images=879),
    created="2026-01-02T03:04:05Z",
)


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=generator).contiguous(
            memory_format=torch.channels_last
        ),
        "half": torch.randn(5, generator=generator).bfloat16(),
        "transposed": torch.randn(3, 4, generator=generator).t(),
        "count": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "flag": torch.tensor([True, False]),
    }


def saved(tmp_path):
    save_generator(tmp_path / "generator-000200.safetensors", tensors(), HEADER)
    return tmp_path / "generator-000200.safetensors"


def test_a_generator_comes_back_bit_for_bit(tmp_path):
    found, header = load_generator(saved(tmp_path))
    assert header == HEADER == read_header(tmp_path / "generator-000200.safetensors")
    assert found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_tensors_that_share_memory_are_written_each(tmp_path):
    shared = torch.arange(6.0)
    save_generator(tmp_path / "g.safetensors", {"a": shared, "b": shared[2:4], "c": shared}, HEADER)
    found, _ = load_generator(tmp_path / "g.safetensors")
    assert found["b"].tolist() == [2, 3]
    assert found["c"].tolist() == found["a"].tolist() == list(range(6))


def test_parameters_lose_their_gradient(tmp_path):
    save_generator(tmp_path / "g.safetensors", dict(torch.nn.Linear(2, 2).state_dict(keep_vars=True)), HEADER)
    found, _ = load_generator(tmp_path / "g.safetensors")
    assert not found["weight"].requires_grad


def test_the_same_generator_is_the_same_file_and_id(tmp_path):
    first = saved(tmp_path).read_bytes()
    reordered = dict(reversed(tensors().items()))
    save_generator(tmp_path / "other.safetensors", reordered, HEADER)
    assert (tmp_path / "other.safetensors").read_bytes() == first
    name = model_id(tmp_path / "other.safetensors")
    assert name == model_id(tmp_path / "generator-000200.safetensors")
    assert name.startswith("lite-")
    assert len(name) == len("lite-") + 12
    changed = tensors() | {"count": torch.tensor(8)}
    save_generator(tmp_path / "other.safetensors", changed, HEADER)
    assert model_id(tmp_path / "other.safetensors") != name


def test_any_safetensors_reader_reads_it(tmp_path):
    found = safetensors.torch.load_file(saved(tmp_path))
    assert torch.equal(found["half"], tensors()["half"])


@pytest.mark.parametrize("position", [3, 40, 0.2, 0.5, 0.9, -1])
def test_a_flipped_bit_is_noticed(tmp_path, position):
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    data[int(position * len(data)) if isinstance(position, float) else position] ^= 4
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"generator-000200\.safetensors"):
        load_generator(path)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_truncated_generator_is_named(tmp_path, share):
    path = saved(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"generator-000200\.safetensors"):
        load_generator(path)


def test_what_is_no_generator_of_ours_is_named(tmp_path):
    (tmp_path / "text.safetensors").write_text("hello, this is no model" * 10)
    (tmp_path / "evil.safetensors").write_bytes(pickle.dumps(print))
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "broken.safetensors", {"mien": "{"})
    newer = json.dumps({"header": HEADER.model_dump(mode="json") | {"format": 2}, "sha256": ""})
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "newer.safetensors", {"mien": newer})
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("text", "evil", "foreign", "broken", "newer", "folder", "absent"):
        for function in (load_generator, read_header, model_id):
            with pytest.raises(InputError, match=name) as caught:
                function(tmp_path / f"{name}.safetensors")
            assert "\n" not in str(caught.value)


def state(n=0):
    weight = torch.full((50, 50), float(n))
    return {
        "nimg": n,
        "networks": {"g": {"w": weight, "v": weight[:2]}},
        "adam": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": weight * 2}}, "betas": (0.0, 0.99)},
        "rng": torch.get_rng_state(),
        "order": [1, 2.5, "x", None, True],
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b and type(a) is type(b)


def test_a_state_comes_back(tmp_path):
    path = tmp_path / "state-000200.pt"
    save_state(path, state(3))
    assert same(load_state(path), state(3))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["state-000200.pt", "state-000200.pt.sha256"]


def test_the_checksum_is_one_that_sha256sum_checks(tmp_path):
    save_state(tmp_path / "state-000200.pt", state())
    save_state(tmp_path / "state-000200.pt", state(1))
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", "state-000200.pt.sha256"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "state-000200.pt: OK\n"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=20)
@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=4))
def test_every_plain_state_comes_back(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("s") / "state-000001.pt"
    save_state(path, content)
    assert same(load_state(path), content)


def test_numpy_numbers_become_plain_ones(tmp_path):
    content = {
        "a": np.float64(1.5),
        "b": [np.int64(3), np.bool_(True)],
        "c": np.str_("x"),
        "d": np.float32(2),
    }
    save_state(tmp_path / "state-000001.pt", content)
    assert same(load_state(tmp_path / "state-000001.pt"), {"a": 1.5, "b": [3, True], "c": "x", "d": 2.0})


@pytest.mark.parametrize("value", [np.zeros(3), {1, 2}, object(), Path("x"), b"bytes", 1j, torch.float32])
def test_what_could_not_be_loaded_is_refused_where_it_is_saved(tmp_path, value):
    with pytest.raises(TypeError, match=r"state\['deep'\]\[1\] is a"):
        save_state(tmp_path / "state-000001.pt", {"deep": [0, value]})
    with pytest.raises(TypeError, match="key"):
        save_state(tmp_path / "state-000001.pt", {(1, 2): 0})
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_with_the_right_checksum_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    path = tmp_path / "state-000001.pt"
    torch.save({"x": Evil()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(path.name + ".sha256").write_text(digest)
    with pytest.raises(InputError, match="not a training state"):
        load_state(path)
    assert not (tmp_path / "executed").exists()


def test_what_is_whole_but_no_state_is_named(tmp_path):
    """A file of some kilobytes that unpacks to gigabytes takes no memory: torch packs nothing."""
    listed, packed = tmp_path / "state-000001.pt", tmp_path / "state-000002.pt"
    torch.save([1, 2], listed)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    for path, why in {listed: "it holds a list", packed: "it is packed, and ours never are"}.items():
        path.with_name(path.name + ".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())
        with pytest.raises(InputError) as caught:
            load_state(path)
        assert str(caught.value) == f"{path}: not a training state ({why})"


def three(tmp_path):
    for kimg in (99_999, 100_000, 1_000_000):  # the last two names have six and seven digits
        save_state(tmp_path / f"state-{kimg:06d}.pt", state(kimg))
    return tmp_path / "state-1000000.pt"


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lose_checksum(path):
    path.with_name(path.name + ".sha256").unlink()


def spoil_checksum(path):
    path.with_name(path.name + ".sha256").write_bytes(b"\xff\xff")


@pytest.mark.parametrize("damage", [truncate, empty, flip, lose_checksum, spoil_checksum])
def test_a_damaged_state_is_passed_over_and_said(tmp_path, damage):
    newest = three(tmp_path)
    damage(newest)
    with pytest.raises(InputError, match=newest.name):
        load_state(newest)
    said = []
    path, content = newest_state(tmp_path, report=said.append)
    assert path.name == "state-100000.pt"
    assert content["nimg"] == 100_000
    assert len(said) == 1
    assert newest.name in said[0]
    assert "falling back" in said[0]


def test_the_newest_state_is_taken_in_silence(tmp_path):
    newest = three(tmp_path)
    said = []
    path, content = newest_state(tmp_path, report=said.append)
    assert (path, content["nimg"], said) == (newest, 1_000_000, [])


def test_no_state_and_only_damaged_ones_give_none(tmp_path):
    said = []
    assert newest_state(tmp_path, report=said.append) is None
    assert said == []
    three(tmp_path)
    for path in tmp_path.glob("state-*.pt"):
        truncate(path)
    assert newest_state(tmp_path, report=said.append) is None
    assert len(said) == 3


def test_pruning_keeps_the_newest_with_their_checksums(tmp_path):
    three(tmp_path)
    (tmp_path / "state-000005.pt.sha256").write_text("left behind by a kill")
    (tmp_path / "log.jsonl").write_text("")
    prune_states(tmp_path, 2)
    kept = ["state-100000.pt", "state-1000000.pt"]
    expected = sorted(["log.jsonl", *kept, *(name + ".sha256" for name in kept)])
    assert sorted(path.name for path in tmp_path.iterdir()) == expected
    with pytest.raises(ValueError, match="at least one"):
        prune_states(tmp_path, 0)


@pytest.mark.parametrize("step", range(12))
@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_stopped_at_any_step_of_a_save_either_the_old_or_the_new_state_is_there(
    tmp_path, monkeypatch, function, step
):
    """Every call that touches the disk fails in turn, for a new name and for one that is there already."""
    for name, old in (("state-000001.pt", state(1)), ("state-000002.pt", None)):
        folder = tmp_path / name
        save_state(folder / "state-000001.pt", state(1))
        calls = []
        real = getattr(os, function)

        def stop(*args, real=real, calls=calls):
            calls.append(args)
            if len(calls) > step:
                raise KeyboardInterrupt
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(os, function, stop)
            try:
                save_state(folder / name, state(2))
                finished = True
            except KeyboardInterrupt:
                finished = False
        said = []
        found = newest_state(folder, report=said.append)
        assert found is not None
        assert found[1]["nimg"] in ({2} if finished else {1, 2})
        assert said == [], (name, old)
        save_state(folder / name, state(3))
        assert newest_state(folder, report=said.append)[1]["nimg"] == 3


@pytest.mark.parametrize("save", ["state", "generator"])
def test_a_full_disk_is_said_and_the_older_file_stays(tmp_path, monkeypatch, save):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / ("state-000001.pt" if save == "state" else "g.safetensors")

    def write(n):
        if save == "state":
            save_state(path, state(n))
        else:
            save_generator(path, tensors(), HEADER.model_copy(update={"nimg": n}))

    write(1)
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(MienError, match="no space left") as caught:
            write(2)
        assert caught.value.exit_code == 1
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from mien.core.checkpoint import newest_state, save_state

def forever(folder, first, out, names):
    n = first
    while True:
        n += 1
        number = 0 if names == 1 else n
        save_state(folder / f"state-{number:06d}.pt", {"n": n, "w": torch.full((300, 300), n)})
        os.write(out, n.to_bytes(4, "little"))

folder, names = Path(sys.argv[1]), int(sys.argv[2])
chance, last, done = random.Random(0), 0, 0
for kill in range(15):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        forever(folder, last, writer, names)
    os.close(writer)
    confirmed = int.from_bytes(os.read(reader, 4), "little")  # at least one save, then die anywhere
    time.sleep(chance.random() * 0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while data := os.read(reader, 4):
        confirmed = int.from_bytes(data, "little")
    os.close(reader)
    said = []
    path, state = newest_state(folder, report=said.append)
    assert not said, said
    assert confirmed <= state["n"] <= confirmed + 1, (confirmed, state["n"])
    assert bool((state["w"] == state["n"]).all())
    last, done = state["n"], done + 1
print(done)
"""


@pytest.mark.slow
@pytest.mark.parametrize("names", [1, 2], ids=["same name", "new names"])
def test_kill_9_at_any_moment_loses_nothing_that_was_saved(tmp_path, names):
    source = str(Path(mien.__file__).parents[1])
    done = forked.run(
        [sys.executable, "-c", KILLED, tmp_path, str(names)],
        env=os.environ | {"PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != -signal.SIGKILL
    assert done.stdout.strip() == "15", done.stderr

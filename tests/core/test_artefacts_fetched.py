"""`mien artefacts fetch` and `add` through the real clients, from an index and a registry that misbehave."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from packages import MESH, index, serving, sha256, tiny, wheel
from safetensors.torch import load_file

import mien
from mien.cli import main
from mien.core import artefacts
from mien.core.artefacts import download
from mien.core.errors import MienError

PIP_NAMES = ["face-mesh", "face-finder", "lpips-alexnet"]
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="no npm client here")


@pytest.fixture
def world(tmp_path, monkeypatch):
    """The small packages in place of the real ones, an empty cache, and clients that know no other index."""
    made = tiny(tmp_path / "ran")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    real = dict(artefacts.ARTEFACTS)
    artefacts.ARTEFACTS.clear()
    artefacts.ARTEFACTS.update(made.table)
    for name in list(os.environ):
        if name.lower().startswith(("pip_", "npm_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
    monkeypatch.setenv("npm_config_audit", "false")
    yield made
    monkeypatch.undo()  # first what tests changed of the small ones
    artefacts.ARTEFACTS.clear()  # and not one by one, which would leave them in another order
    artefacts.ARTEFACTS.update(real)


@pytest.fixture
def at(monkeypatch):
    """Point the clients at an address."""

    def point(address):
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple/")
        monkeypatch.setenv("npm_config_registry", f"{address}/")

    return point


def registry(archives, address, asked=None):
    """npm wants a whole address for the archive."""
    plain = index(archives, asked)

    def answer(path):
        status, kind, body = plain(path)
        return (
            status,
            kind,
            body.replace(b'"/file/', f'"{address[0]}/file/'.encode()) if "json" in kind else body,
        )

    return answer


@pytest.fixture
def served(world, at):
    """An index that works; gives what it is asked for."""
    asked, address = [], [""]
    with serving(registry(world.archives, address, asked)) as where:
        address[0] = where
        at(where)
        yield asked


def cache_names(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache" / "artefacts").iterdir() if path.name != ".lock")


@pytest.mark.slow
def test_files_come_from_a_wheel_and_a_source_archive_of_which_nothing_runs(world, served, tmp_path, capsys):
    assert main(["artefacts", "fetch", *PIP_NAMES]) == 0
    said = capsys.readouterr().out
    assert said.count("fetching face-mesh (CC0) from tiny-wheel==1.0") == 1
    assert "fetching face-finder" not in said, "it came with the mesh's package"
    assert artefacts.artefact_path("face-mesh").read_bytes() == MESH
    assert load_file(artefacts.artefact_path("lpips-alexnet"))["convolutions.1.weight"].shape == (4, 2, 3, 3)
    assert not (tmp_path / "ran").exists(), "the package's setup code ran"
    assert cache_names(tmp_path) == ["face-finder.file", "face-mesh.file", "lpips-alexnet.file"]
    served.clear()
    assert main(["artefacts", "fetch", *PIP_NAMES]) == 0
    assert served == [], "what is here and whole is not asked for again"


@needs_npm
def test_files_come_from_an_npm_archive_of_which_nothing_runs(world, served, tmp_path):
    seen = []
    path = artefacts.fetch("expressions", progress=lambda done, total: seen.append((done, total)))
    weights = load_file(path)
    assert weights["dense0.conv0.filters"].shape == (2, 3, 3, 3)
    size = len(world.archives["tiny-npm-1.0.0.tgz"])
    assert seen[-1] == (size, size)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_another_hash_is_refused_and_the_others_still_come(world, served, fails, capsys):
    world.archives["tiny_sdist-1.0.tar.gz"] += b"\0"
    assert main(["artefacts", "fetch", *PIP_NAMES]) == 1
    out, error = capsys.readouterr()
    assert "mien: not fetched: lpips-alexnet" in error
    assert (
        next(line for line in out.splitlines() if line.startswith("lpips-alexnet: ")).count(
            "not the pinned one"
        )
        == 1
    )
    assert [artefacts.state(name) for name in PIP_NAMES] == ["ready", "ready", "absent"]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"tiny/finder.tflite": b"finder"}, "tiny/mesh.tflite is missing"),
        ({"tiny/mesh.tflite": MESH[:-1] + b"X", "tiny/finder.tflite": b"finder"}, "has the wrong SHA-256"),
        ({"tiny/mesh.tflite": MESH, "../../evil": b"x"}, "leaves the archive"),
        ({"tiny/mesh.tflite": MESH, "/etc/evil": b"x"}, "leaves the archive"),
    ],
)
def test_an_archive_that_is_pinned_but_wrong_inside_leaves_nothing(
    world, tmp_path, members, words, monkeypatch
):
    archive = wheel(members)
    (tmp_path / "a.whl").write_bytes(archive)
    artefact = artefacts.ARTEFACTS["face-mesh"]
    package = replace(artefact.sources[0].package, sha256=sha256(archive), size=len(archive))
    source = replace(artefact.sources[0], package=package)
    monkeypatch.setitem(artefacts.ARTEFACTS, "face-mesh", replace(artefact, sources=(source,)))
    with pytest.raises(artefacts.retrieve.MienError, match=words):
        artefacts.fetch("face-mesh", download=lambda package, folder: tmp_path / "a.whl")
    assert cache_names(tmp_path) == []


def pinned(monkeypatch, name, **changes):
    """Change what the table says of the one source of an artefact."""
    artefact = artefacts.ARTEFACTS[name]
    source = replace(artefact.sources[0], **changes)
    monkeypatch.setitem(artefacts.ARTEFACTS, name, replace(artefact, sources=(source,)))


def from_file(path):
    return lambda package, folder: path


def test_an_archive_that_is_cut_off_is_named_and_leaves_nothing(world, tmp_path, monkeypatch):
    cut = world.archives["tiny_sdist-1.0.tar.gz"][:200]
    (tmp_path / "a.tar.gz").write_bytes(cut)
    package = artefacts.ARTEFACTS["lpips-alexnet"].sources[0].package
    pinned(monkeypatch, "lpips-alexnet", package=replace(package, sha256=sha256(cut), size=len(cut)))
    with pytest.raises(MienError, match=r"a\.tar\.gz: not a whole archive .*; nothing was kept"):
        artefacts.fetch("lpips-alexnet", download=from_file(tmp_path / "a.tar.gz"))
    assert cache_names(tmp_path) == []


def test_a_conversion_that_gives_other_bytes_than_the_pinned_ones_keeps_nothing(world, tmp_path, monkeypatch):
    (tmp_path / "a.tar.gz").write_bytes(world.archives["tiny_sdist-1.0.tar.gz"])
    pinned(monkeypatch, "lpips-alexnet", sha256="0" * 64)
    with pytest.raises(MienError, match="lpips-alexnet: its conversion gave other bytes than the pinned"):
        artefacts.fetch("lpips-alexnet", download=from_file(tmp_path / "a.tar.gz"))
    assert cache_names(tmp_path) == []


def test_what_comes_along_and_is_not_as_pinned_costs_itself_alone(world, tmp_path, monkeypatch):
    (tmp_path / "a.whl").write_bytes(world.archives["tiny_wheel-1.0-py3-none-any.whl"])
    member = artefacts.ARTEFACTS["face-finder"].sources[0].members[0]
    pinned(monkeypatch, "face-finder", members=(replace(member, sha256="0" * 64),))
    path = artefacts.fetch("face-mesh", download=from_file(tmp_path / "a.whl"))
    assert path.read_bytes() == MESH
    assert cache_names(tmp_path) == ["face-mesh.file"]
    with pytest.raises(MienError, match=r"tiny/finder\.tflite has the wrong SHA-256"):
        artefacts.fetch("face-finder", download=from_file(tmp_path / "a.whl"))


def test_a_cache_that_is_no_folder_is_named(world, tmp_path, capsys):
    (tmp_path / "cache").write_bytes(b"a file")
    assert main(["artefacts", "fetch", "face-mesh"]) == 1
    out, error = capsys.readouterr()
    where = tmp_path / "cache" / "artefacts"
    assert f"face-mesh: {where}: cannot write there (Not a directory)" in " ".join(out.split())
    assert "mien: not fetched: face-mesh" in error


def test_a_client_that_takes_too_long_is_ended_and_named(world, served, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_PATIENCE_SECONDS", 0)
    with pytest.raises(MienError, match=r"pip took over 0 s to download tiny-wheel==1\.0"):
        artefacts.fetch("face-mesh")
    assert served == []
    assert cache_names(tmp_path) == []


@pytest.mark.slow
def test_without_network_it_is_one_line_and_the_old_state_stays(world, served, at, tmp_path, capsys):
    assert main(["artefacts", "fetch", "face-mesh"]) == 0
    artefacts.artefact_path("face-finder").write_bytes(b"damaged")
    at("http://127.0.0.1:9")
    capsys.readouterr()
    assert main(["artefacts", "fetch", "face-mesh", "face-finder"]) == 1
    out, error = capsys.readouterr()
    reasons = [line for line in out.splitlines() if line.startswith("face-finder: ")]
    assert len(reasons) == 1
    assert "mien artefacts add FILE" in reasons[0]
    assert "Traceback" not in out + error
    assert artefacts.state("face-mesh") == "ready"
    assert artefacts.artefact_path("face-mesh").read_bytes() == MESH


@pytest.mark.slow
@pytest.mark.parametrize("name", ["face-mesh", "lpips-alexnet", pytest.param("expressions", marks=needs_npm)])
def test_a_proxy_that_answers_with_a_page_is_one_line(world, at, tmp_path, capsys, name):
    page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    with serving(lambda path: (200, "text/html", page)) as address:
        at(address)
        assert main(["artefacts", "fetch", name]) == 1
    out, error = capsys.readouterr()
    assert len([line for line in out.splitlines() if line.startswith(f"{name}: ")]) == 1
    assert "Traceback" not in out + error
    assert cache_names(tmp_path) == []


def test_a_page_in_place_of_the_file_is_called_one(world, at, tmp_path, capsys):
    plain = index(world.archives)
    page = (200, "text/html", b"<html>Please log in</html>")
    with serving(lambda path: page if path.startswith("/file/") else plain(path)) as address:
        at(address)
        assert main(["artefacts", "fetch", "lpips-alexnet"]) == 1
    assert "a web page came instead" in capsys.readouterr().out
    assert cache_names(tmp_path) == []


@pytest.mark.slow
def test_a_disk_that_is_full_while_the_cache_is_written_changes_nothing(world, served, tmp_path, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (100_000, before[1])
    )  # the archive fits, the mesh in it does not
    try:
        code = main(["artefacts", "fetch", "face-mesh", "lpips-alexnet"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    out, error = capsys.readouterr()
    assert code == 1
    assert "no space left on disk" in out
    assert "not fetched: face-mesh" in error
    assert cache_names(tmp_path) == ["lpips-alexnet.file"], "the others go on, and no half file stays"
    assert main(["artefacts", "fetch", "face-mesh"]) == 0


@pytest.mark.slow
def test_a_truncated_file_is_called_damaged_and_is_replaced(world, served, capsys):
    assert main(["artefacts", "fetch", "face-mesh"]) == 0
    artefacts.artefact_path("face-mesh").write_bytes(MESH[:1000])
    capsys.readouterr()
    assert main(["artefacts", "list"]) == 0
    listed = {
        line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines() if line[0] != " "
    }
    assert listed == {
        "face-mesh": "damaged",
        "face-finder": "ready",
        "lpips-alexnet": "absent",
        "expressions": "absent",
    }
    assert main(["artefacts", "fetch", "face-mesh"]) == 0
    assert artefacts.state("face-mesh") == "ready"


@pytest.mark.slow
def test_killed_midway_it_leaves_nothing_that_counts_and_the_next_one_clears_it_up(
    world, served, at, tmp_path
):
    place = tmp_path / "cache" / "artefacts"

    def stalls(path):
        time.sleep(20)
        return 404, "text/plain", b""

    with serving(stalls) as address:
        clients = {"PIP_INDEX_URL": f"{address}/simple/", "PYTHONPATH": str(Path(mien.__file__).parents[1])}
        command = [sys.executable, "-m", "mien", "artefacts", "fetch", "face-mesh"]
        fetching = subprocess.Popen(
            command, env=os.environ | clients, stdout=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 60
        while not list(place.glob(".fetch-*/0/log.txt")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(fetching.pid, signal.SIGKILL)
        fetching.wait()
    (place / ".tmp-mien-left").write_bytes(b"half")
    assert len(list(place.glob(".fetch-*"))) == 1
    assert artefacts.state("face-mesh") == "absent"
    assert main(["artefacts", "fetch", "face-mesh"]) == 0
    assert cache_names(tmp_path) == ["face-finder.file", "face-mesh.file"]


@pytest.mark.slow
@needs_npm
def test_a_second_source_is_asked_where_the_first_fails(world, served, monkeypatch):
    mesh = artefacts.ARTEFACTS["face-mesh"]
    gone = replace(mesh.sources[0].package, spec="tiny-gone@9.9.9", channel="npm")
    first = replace(mesh.sources[0], package=gone, sha256="0" * 64)
    monkeypatch.setitem(artefacts.ARTEFACTS, "face-mesh", replace(mesh, sources=(first, *mesh.sources)))
    lines = []
    assert artefacts.fetch("face-mesh", announce=lines.append).read_bytes() == MESH
    assert [line.split("from ")[1].split(",")[0] for line in lines] == ["tiny-gone@9.9.9", "tiny-wheel==1.0"]
    assert artefacts.artefact_sha256("face-mesh") == sha256(MESH), "the hash of what lies there"


def test_a_missing_client_is_named(world, monkeypatch, fails):
    monkeypatch.setattr(download.shutil, "which", lambda name: None)
    with pytest.raises(artefacts.retrieve.MienError, match=r"npm is not installed here.*tiny-npm@1.0.0"):
        artefacts.fetch("expressions")


def test_add_knows_packages_their_files_and_other_caches_files(world, tmp_path, capsys, fails):
    for name, data in world.archives.items():
        (tmp_path / name).write_bytes(data)
    wheel_file, sdist, npm = (tmp_path / name for name in world.archives)
    assert main(["artefacts", "add", str(wheel_file), str(sdist)]) == 0
    assert "added face-mesh, face-finder from" in capsys.readouterr().out
    assert [artefacts.state(name) for name in PIP_NAMES] == ["ready"] * 3
    converted = tmp_path / "copied.safetensors"
    shutil.move(artefacts.artefact_path("lpips-alexnet"), converted)
    (tmp_path / "some.tflite").write_bytes(MESH)
    shutil.move(artefacts.artefact_path("face-mesh"), tmp_path / "gone")
    assert main(["artefacts", "add", str(converted), str(tmp_path / "some.tflite")]) == 0
    assert artefacts.state("lpips-alexnet") == artefacts.state("face-mesh") == "ready"
    from packages import tfjs

    shard, manifest = tfjs()
    (tmp_path / "x.bin").write_bytes(shard)
    assert "needs x.json" in fails("artefacts", "add", tmp_path / "x.bin")
    (tmp_path / "x.json").write_bytes(manifest)
    assert main(["artefacts", "add", str(tmp_path / "x.bin")]) == 0
    assert artefacts.state("expressions") == "ready"
    assert main(["artefacts", "add", "expressions", str(npm)]) == 0
    (tmp_path / "other").write_bytes(b"other")
    assert "not added" in fails("artefacts", "add", tmp_path / "other")
    assert "no such file" in fails("artefacts", "add", tmp_path / "none")
    assert "name the files" in fails("artefacts", "add")
    assert "wrong SHA-256" in fails("artefacts", "add", "face-mesh", sdist)
    assert artefacts.state("face-mesh") == "ready"
    assert not (tmp_path / "ran").exists()

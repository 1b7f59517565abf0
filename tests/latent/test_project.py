"""`mien project`: what it leaves behind, for every kind of generator; stopping; bad input."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import forked
from drawers import alike
from interop import official, rosinality_reference
from interop.official import checkpoint, persistent_generator
from latent.projecting import PLAIN_ONES, QUICK, STYLED_ONES, generator_file, without_artefacts
from latent.test_paste import KnownFaces, known_face
from mien.core.artefacts import artefact_path
from mien.core.checkpoint import NetworkHeader, load_generator
from mien.core.cluster import Shard
from mien.core.errors import InputError, MienError
from mien.core.events import Event, Events, Notice, Progress
from mien.core.image import to_float, to_hwc
from mien.core.network import load_network
from mien.core.packed import encode_png
from mien.core.picture import decode, read_picture
from mien.core.provenance import SourceType, verify
from mien.core.styles import draw_styles, sample_styles, styles
from mien.core.types import Spec
from mien.generation.drawing import Drawing
from mien.generation.generate import generate
from mien.interop.import_ import import_
from mien.latent.codes import Codes, shape_of
from mien.latent.directions.direction import Direction, Directions
from mien.latent.editing.edit import edit
from mien.latent.mix import mix
from mien.latent.projection.find import Finder, _opened, label_in_words, project_shard
from mien.latent.projection.objective import viewed
from mien.latent.projection.options import ProjectOptions
from mien.latent.projection.project import generated, real
from mien.latent.projection.projector import Saved, Starts
from mien.latent.projection.results import Projection, _bounded, _shown
from mien.latent.projection.spaces import Labels, open_space
from mien.latent.projection.targets import targets_of_seeds
from mien.latent.vary import vary
from mien.nn.lpips import Lpips
from rendered_heads import heads


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    without_artefacts(monkeypatch)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: generator_file(folder, name) for name in (*STYLED_ONES, *PLAIN_ONES)}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two photos of one face and one of two, which a finder knows."""
    pictures, points = heads(3)
    both = np.concatenate(pictures[:2], axis=1)[:150]
    (tmp_path / "photos").mkdir()
    paths = [tmp_path / "photos" / name for name in ("an a.png", "an-a.png", "both.png")]
    for path, pixels in zip(paths, (pictures[0], pictures[2][:158], both), strict=True):
        path.write_bytes(encode_png(pixels))
    faces = {
        (160, 160): [known_face(points[0])],
        (158, 160): [known_face(points[2])],
        both.shape[:2]: [known_face(points[0]), known_face(points[1], 160)],
    }
    monkeypatch.setattr("mien.latent.projection.targets.open_face_finder", lambda events: KnownFaces(faces))
    return paths


def options(**changes: Any) -> ProjectOptions:
    return QUICK.model_copy(update=changes)


def content(folder: Path) -> dict[str, bytes]:
    """All files but the page, which says when it was written."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("report.html", ".lock")
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", STYLED_ONES)
def test_what_it_leaves_behind(models: dict[str, Path], tmp_path: Path, name: str) -> None:
    found = generated(models[name], out=tmp_path / "out", seeds="0,1,5", options=options(every=5)).run()
    drawing = Drawing.of(models[name], trunc=1.0, label=())
    assert [projection.target.name for projection in found] == ["seed0000", "seed0001", "seed0005"]
    generate(models[name], out=tmp_path / "seeds", seeds="0,1,5").run()
    for projection in found:
        folder = tmp_path / "out" / projection.target.name
        with np.load(folder / "projected_w.npz") as file:
            w = file["w"]
        assert w.shape == (1, drawing.loaded.network.num_ws, w.shape[2])
        assert w.dtype == np.float32
        drawn = Codes.read(folder / "projected_w.npz", drawing).draw(drawing)
        assert alike(read_picture(folder / "proj.png"), to_hwc(drawn[0]))
        target = read_picture(folder / "target.png")
        assert alike(target, read_picture(tmp_path / "seeds" / f"{folder.name}.png"))
        for picture in ("target.png", "proj.png"):
            mark = verify(folder / picture)
            assert mark is not None
            assert mark.model == drawing.loaded.model
        with np.load(folder / "steps_w.npz") as file:
            assert file["step"].tolist() == [5, 10]
            assert file["w"].shape == (2, *w.shape[1:])
    record = json.loads((tmp_path / "out" / "projection.json").read_text())
    assert [face["source"] for face in record["faces"]] == ["seed 0", "seed 1", "seed 5"]
    assert record["summary"]["error"] == pytest.approx(np.median([f["error"] for f in record["faces"]]))
    assert -1 <= record["summary"]["w_cosine"] <= 1
    with np.load(tmp_path / "out" / "latents.npz") as file:
        assert file["names"].tolist() == ["seed0000", "seed0001", "seed0005"]
        assert np.array_equal(file["w"][2:], w)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<article") == 3
    assert "http" not in page.replace("http-equiv", "")
    assert not list((tmp_path / "out").glob("state*"))


@pytest.mark.parametrize("name", PLAIN_ONES)
def test_models_without_w_are_searched_in_z_which_is_said(
    models: dict[str, Path], tmp_path: Path, name: str
) -> None:
    heard: list[Event] = []
    generated(models[name], out=tmp_path / "out", seeds="3", options=QUICK).run(heard.append)
    told = [event.text for event in heard if isinstance(event, Notice)]
    assert any("has no w: searching in z" in text for text in told)
    assert sum("pixels alone are compared" in text for text in told) == 1
    drawing = Drawing.of(models[name], trunc=1.0, label=())
    codes = Codes.read(tmp_path / "out" / "seed0003" / "projected_z.npz", drawing)
    assert (codes.space, codes.values.shape) == ("z", (1, 8))


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_every_space_ends_in_w_where_there_is_one(
    models: dict[str, Path], tmp_path: Path, space: str
) -> None:
    (found,) = generated(models["lite"], out=tmp_path, seeds="2", options=options(space=space)).run()
    assert found.codes.space == "w"
    rows = found.codes.values[0, 1:]
    assert bool((rows == rows[0]).all()) is (space != "w+")


def test_a_prior_counts_in_w_unless_told_and_in_wplus_where_told(
    models: dict[str, Path], tmp_path: Path
) -> None:
    found = {
        (space, prior): generated(
            models["lite"],
            out=tmp_path / f"{space}{prior}",
            seeds="2",
            options=options(space=space, prior=prior),
        )
        .run()[0]
        .codes.values
        for space in ("w", "w+")
        for prior in (None, 0.0, 0.05, 10.0)
    }
    for space, usual, other in (("w", 0.05, 0.0), ("w+", 0.0, 0.05)):
        assert torch.equal(found[space, None], found[space, usual])
        assert not torch.equal(found[space, None], found[space, other])

    def apart(values: torch.Tensor) -> torch.Tensor:
        return (values - styles(load_network(models["lite"]).network, values[:, 0, :8], None))[:, 1:].norm()

    for space in ("w", "w+"):
        assert apart(found[space, 10.0]) < apart(found[space, 0.0])


@pytest.mark.slow
def test_two_runs_are_the_same(models: dict[str, Path], tmp_path: Path) -> None:
    more = options(initial_noise=0.05, noise=True, restarts=2, tune=True, tune_steps=3, seed=5)
    for folder in ("one", "two"):
        generated(models["stylegan2"], out=tmp_path / folder, seeds="0-4", options=more).run()
    assert content(tmp_path / "one") == content(tmp_path / "two")
    generated(
        models["stylegan2"], out=tmp_path / "three", seeds="0-4", options=options(seed=6, initial_noise=0.05)
    ).run()
    assert content(tmp_path / "three") != content(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize(("what", "done"), [("projecting", 4 * 7), ("projecting", 4 * 12 + 3), ("tuning", 2)])
def test_stopped_it_goes_on_as_if_it_had_not(
    models: dict[str, Path], tmp_path: Path, what: str, done: int
) -> None:
    """In the first batch of four targets, in the second of one, while tuning."""
    more = options(noise=True, every=4, initial_noise=0.05, tune=True, tune_steps=4)

    def run(folder: str, stop: bool) -> list[Event]:
        heard: list[Event] = []

        def listen(event: Event) -> None:
            heard.append(event)
            if stop and isinstance(event, Progress) and (event.what, event.done) == (what, done):
                raise KeyboardInterrupt

        generated(models["stylegan2"], out=tmp_path / folder, seeds="0-4", options=more).run(listen)
        return heard

    run("straight", False)
    with pytest.raises(KeyboardInterrupt):
        run("stopped", True)
    assert (tmp_path / "stopped" / "state.pt").exists()
    assert not (tmp_path / "stopped" / "projection.json").exists()
    heard = run("stopped", False)
    assert any(isinstance(event, Notice) and "goes on" in event.text for event in heard)
    steps = [event.done for event in heard if isinstance(event, Progress) and event.what == what]
    assert min(steps) > done, "nothing is done twice"
    assert content(tmp_path / "stopped") == content(tmp_path / "straight")


def test_another_command_in_the_same_folder_begins_anew(models: dict[str, Path], tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generated(models["lite"], out=tmp_path, seeds="0", options=QUICK).run(stop)
    heard: list[Event] = []
    generated(models["lite"], out=tmp_path, seeds="1", options=QUICK).run(heard.append)
    assert any(isinstance(e, Notice) and "of another command; beginning anew" in e.text for e in heard)


@pytest.mark.slow
def test_a_killed_process_goes_on(models: dict[str, Path], tmp_path: Path) -> None:
    """kill -9 costs the steps since the last state."""
    program = (
        "import sys; from latent.projecting import *; import pytest;"
        "without_artefacts(pytest.MonkeyPatch());"
        "from mien.latent.projection.project import generated;"
        "from mien.latent.projection.options import ProjectOptions;"
        "from pathlib import Path;"
        "generated(Path(sys.argv[1]), out=Path(sys.argv[2]), seeds='0',"
        "options=ProjectOptions(steps=400, candidates=4, space='w'))"
        ".run(lambda event: print(event, flush=True))"
    )
    tests = Path(__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tests), *sys.path]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", program, str(models["lite"]), str(tmp_path / "out")]
    process = forked.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Progress" in line and "done=60" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "out" / "state.pt").exists()
    again = forked.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "goes on where it was stopped" in again.stdout
    assert "done=51," in again.stdout, "the state of step 50"
    assert "done=50," not in again.stdout


@pytest.mark.slow
def test_photos(models: dict[str, Path], tmp_path: Path, photos: list[Path]) -> None:
    heard: list[Event] = []
    out = tmp_path / "out"
    found = real(models["lite"], photos[0].parent, out=out, paste=True, options=QUICK).run(heard.append)
    assert [projection.target.name for projection in found] == ["an-a", "an-a-2", "both"]
    told = " ".join(event.text for event in heard if isinstance(event, Notice))
    assert "both.png: the largest face is taken, another face left out; see --face" in told
    for projection, path in zip(found, photos, strict=True):
        folder = out / projection.target.name
        assert verify(folder / "target.png") is None, "a photo's crop is no generated picture"
        mark = verify(folder / "pasted.png")
        assert mark is not None
        assert mark.source_type is SourceType.COMPOSITE
        assert read_picture(folder / "pasted.png").shape == read_picture(path).shape
    page = (out / "report.html").read_text()
    assert page.count("put back into its photo") == 3
    everyone = real(models["lite"], photos[2], out=tmp_path / "all", all_faces=True, options=QUICK).run()
    assert [projection.target.name for projection in everyone] == ["both", "both-face2"]
    (second,) = real(models["lite"], photos[2], out=tmp_path / "two", face="2", options=QUICK).run()
    assert second.target.name == "both-face2"


def test_the_face_can_count_more_and_what_lies_outside_is_reported(
    models: dict[str, Path], tmp_path: Path, photos: list[Path]
) -> None:
    def errors(weight: float) -> tuple[float, float]:
        more = options(face_weight=weight, steps=60, space="w")
        (found,) = real(models["lite"], photos[0], out=tmp_path / str(weight), options=more).run()
        inside, outside = found.scores.error_inside, found.scores.error_outside
        assert inside is not None
        assert outside is not None
        return inside, outside

    even, face = errors(1.0), errors(30.0)
    assert face[0] < even[0]
    assert face[1] > even[1]


def test_gray_models(tmp_path: Path, photos: list[Path]) -> None:
    model = generator_file(tmp_path, "lite", channels=1)
    (found,) = real(model, photos[0], out=tmp_path / "out", paste=True, options=QUICK).run()
    assert found.image.shape == (1, 16, 16)
    pixels = read_picture(tmp_path / "out" / "an-a" / "target.png")
    assert (pixels[..., 0] == pixels[..., 2]).all()


@pytest.mark.parametrize("name", ["lite", "stylegan2"])
def test_conditional_models_in_w_need_no_label(tmp_path: Path, photos: list[Path], name: str) -> None:
    model = generator_file(tmp_path, name, labels=("woman", "man"))
    for label in ((), ("man",)):
        (found,) = real(model, photos[0], out=tmp_path / "out", options=options(label=label)).run()
        assert found.codes.values.ndim == 3
    with pytest.raises(InputError, match="conditional; say which with --label: woman, man"):
        generated(model, out=tmp_path / "out", seeds="0", options=QUICK).run()
    with pytest.raises(InputError, match="--optimise-label: w holds the label already"):
        real(model, photos[0], out=tmp_path / "out", options=options(optimise_label=True)).run()


@pytest.mark.slow
def test_a_label_is_found_with_the_latent(tmp_path: Path) -> None:
    """Of a conditional generator without w: images of each class end nearer to their own label."""
    model = generator_file(tmp_path, "plain", labels=("woman", "man"))
    shares = {}
    for label in ("woman", "man"):
        seeds = "0-2"
        path = tmp_path / label
        drawn = generate(model, out=path, seeds=seeds, label=label).run()
        del drawn
        more = options(optimise_label=True, label=(label,), steps=150, candidates=64)
        found = generated(model, out=tmp_path / f"out-{label}", seeds=seeds, options=more).run()
        assert all(projection.label for projection in found)
        shares[label] = np.mean([float(p.codes.labels[0, 1]) for p in found if p.codes.labels is not None])
        drawing = Drawing.of(model, trunc=1.0, label=(label,))
        codes = Codes.read(tmp_path / f"out-{label}" / "seed0000" / "projected_z.npz", drawing)
        assert codes.labels is not None, "the file knows the label"
        assert alike(to_hwc(codes.draw(drawing)[0]), to_hwc(found[0].image))
    assert shares["man"] > shares["woman"]


def imported(folder: Path, kind: str) -> Path:
    if kind == "ada":
        path = folder / "network.pkl"
        path.write_bytes(checkpoint(G_ema=persistent_generator(official.generator())))
    else:
        path = folder / "010000.pt"
        torch.save(
            rosinality_reference.file_content(
                rosinality_reference.state_dict(16, 12, 3, {4: 16, 8: 16, 16: 8})
            ),
            path,
        )
    result = import_(path).run()
    assert result is not None
    return result.path


@pytest.mark.slow
@pytest.mark.usefixtures("warm_sandbox")
@pytest.mark.parametrize("kind", ["ada", "rosinality"])
def test_imported_networks_project_like_our_own(tmp_path: Path, kind: str) -> None:
    model = imported(tmp_path, kind)
    more = options(steps=60, noise=True, tune=True, tune_steps=2)
    found = generated(model, out=tmp_path / "out", seeds="0,1", options=more).run()
    for projection in found:
        assert projection.codes.values.shape[1] == load_network(model).network.num_ws
        assert projection.scores.error < 0.2
    folder = tmp_path / "out" / "seed0000"
    assert (folder / "noise_maps.npz").exists()
    tuned, file = tmp_path / "out" / "tuned.safetensors", folder / "projected_w.npz"
    vary(str(file), out=tmp_path / "vary", model=tuned, count=2).run()
    assert alike(read_picture(tmp_path / "vary" / "face.png"), read_picture(folder / "proj.png"))
    mix(tuned, rows=f"0,{file}", columns="1", out=tmp_path / "mix.png").run()
    drawing = Drawing.of(tuned, trunc=1.0, label=())
    smile = Direction.of(torch.ones(shape_of(drawing)), "smile")
    Directions((smile,), "w", drawing.loaded.model).save(tmp_path / "out" / "tuned.directions.safetensors")
    edit(tuned, latent=file, set=("smile=0.5",), strip=("smile",), steps=3, out=tmp_path / "edit").run()
    edited = Codes.read(tmp_path / "edit" / "edited.npz", drawing)
    assert torch.allclose(edited.values, found[0].codes.values + 0.5, atol=1e-5)
    assert (tmp_path / "edit" / "strip-smile.png").exists()


def test_tuning_leaves_an_ordinary_generator_that_draws_the_faces_better(
    models: dict[str, Path], tmp_path: Path, photos: list[Path]
) -> None:
    plain = real(models["lite"], photos[0], out=tmp_path / "plain", options=QUICK).run()
    more = options(tune=True, tune_steps=40, tune_lr=3e-3)
    tuned = real(models["lite"], photos[0], out=tmp_path / "tuned", options=more).run()
    path = tmp_path / "tuned" / "tuned.safetensors"
    tensors, header = load_generator(path)
    before, old = load_generator(models["lite"])
    assert tensors.keys() == before.keys()
    assert (header.family, header.config, header.spec) == (old.family, old.config, old.spec)
    assert "tuned to one face" in header.origin
    assert tuned[0].scores.error < 0.9 * plain[0].scores.error
    assert torch.equal(tuned[0].codes.values, plain[0].codes.values), "the pivots stay"
    generate(path, out=tmp_path / "seeds", seeds="0").run()
    drawing = Drawing.of(path, trunc=1.0, label=())
    codes = Codes.read(tmp_path / "tuned" / "an-a" / "projected_w.npz", drawing)
    assert alike(to_hwc(codes.draw(drawing)[0]), read_picture(tmp_path / "tuned" / "an-a" / "proj.png"))


@pytest.mark.slow
def test_tuning_a_conditional_generator_without_w_keeps_each_faces_label(tmp_path: Path) -> None:
    model = generator_file(tmp_path, "plain", labels=("woman", "man"))
    both = options(label=("man",), tune=True, tune_steps=30, tune_lr=3e-3)
    plain = options(label=("man",))
    found = generated(model, out=tmp_path / "tuned", seeds="0,1", options=both).run()
    before = generated(model, out=tmp_path / "plain", seeds="0,1", options=plain).run()
    for one, other in zip(found, before, strict=True):
        assert one.codes.labels is not None
        assert one.codes.labels.tolist() == [[0.0, 1.0]]
        assert torch.equal(one.codes.values, other.codes.values), "the pivots stay"
        assert one.scores.error < other.scores.error
    tuned = Drawing.of(tmp_path / "tuned" / "tuned.safetensors", trunc=1.0, label=("man",))
    codes = Codes.read(tmp_path / "tuned" / "seed0001" / "projected_z.npz", tuned)
    assert alike(to_hwc(codes.draw(tuned)[0]), to_hwc(found[1].image))


@pytest.mark.slow
def test_it_goes_on_from_a_latent(models: dict[str, Path], tmp_path: Path) -> None:
    """From where a first projection ended, a second of few steps ends nearer than from the samples."""
    model = models["stylegan2"]
    generated(model, out=tmp_path / "a", seeds="0", options=options(steps=80)).run()
    start = tmp_path / "a" / "seed0000" / "projected_w.npz"
    (on,) = generated(model, out=tmp_path / "b", seeds="0", options=options(init=start, lr=0.02)).run()
    (off,) = generated(model, out=tmp_path / "c", seeds="0", options=options(lr=0.02)).run()
    assert on.scores.error < off.scores.error
    with pytest.raises(InputError, match="latents of shape"):
        generated(models["lite"], out=tmp_path / "d", seeds="0", options=options(init=_bare_w(start))).run()
    with pytest.raises(InputError, match="its latents are of stylegan2-"):
        generated(models["stylegan1"], out=tmp_path / "d", seeds="0", options=options(init=start)).run()


def _bare_w(path: Path) -> Path:
    bare = path.with_name("bare.npz")
    with np.load(path) as file:
        np.savez(bare, w=file["w"])
    return bare


def test_a_film(models: dict[str, Path], tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the extra video is not installed")
    generated(models["lite"], out=tmp_path, seeds="0", options=options(video=True)).run()
    with av.open(str(tmp_path / "seed0000" / "projection.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height) == (512, 256)
        assert len(list(film.decode(stream))) == 13


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"space": "w", "model": "plain"}, "--space w: a lite model has z alone; use --space z"),
        ({"method": "encoder"}, "--method encoder: name the --encoder"),
        ({"method": "both"}, "--method both: name the --encoder"),
        ({"optimise_label": True}, "--optimise-label: this model has none"),
        ({"label": ("man",)}, "--label: this model was trained without labels"),
        ({"restarts": 4, "candidates": 2}, "--candidates 2: fewer than the 4 --restarts"),
        ({"init": Path("no.npz")}, "no latents can be read from it"),
        ({"encoder": Path("none.safetensors")}, "there is no such file"),
    ],
)
def test_bad_options(models: dict[str, Path], tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    model = models[changes.pop("model", "lite")]
    with pytest.raises(InputError, match=says):
        generated(model, out=tmp_path, seeds="0", options=options(**changes)).run()
    assert not list(tmp_path.glob("*/proj.png"))


# --- By a cluster, whose workers are here; and where a search begins


@pytest.fixture
def shards(monkeypatch: pytest.MonkeyPatch) -> list[Shard]:
    """What was sent to a cluster, in the place of which this process works."""
    sent: list[Shard] = []

    class Here:
        def run(self, function: Any, parts: Any) -> Iterator[tuple[int, Any]]:
            for number, shard in enumerate(parts):
                sent.append(shard)
                yield number, function(*shard.arguments)

    @contextmanager
    def opened(address: str, *, needs: list[str]) -> Iterator[Here]:
        assert (address, needs) == ("tcp://there:1", [])
        yield Here()

    monkeypatch.setattr("mien.core.cluster.opened", opened)
    _opened.cache_clear()
    return sent


@pytest.mark.parametrize("many", [False, True])
def test_a_worker_finds_what_is_found_here(
    models: dict[str, Path], tmp_path: Path, shards: list[Shard], many: bool
) -> None:
    """From given latents, one or one for each; without an identity network identity does not count."""
    drawing = Drawing.of(models["stylegan2"], trunc=1.0, label=())
    begin = tmp_path / "begin.npz"
    Codes.of_seeds(drawing, range(6) if many else [9]).save(begin)
    heard: list[Event] = []
    changes = {"init": begin, "identity": 0.5, "steps": 4, "batch": 4, "face_weight": 3.0}
    finder = Finder(drawing, options(**changes), Events(heard.append))
    points = np.random.default_rng(0).uniform(0.3, 0.7, (468, 2))
    targets = [
        replace(target, points=points if number % 2 else None)
        for number, target in enumerate(targets_of_seeds(drawing, range(20, 26)))
    ]
    here = finder.find(targets, Saved(None, ""))
    there = finder.find(targets, Saved(None, ""), address="tcp://there:1")
    assert torch.equal(there.values, here.values)
    assert len(here.values) == 6
    assert not torch.equal(here.values[0], Codes.read(begin, drawing).values[0]), "it moved"
    assert [len(shard.arguments[2]) for shard in shards] == [4, 2]
    assert sum("identity does not count" in str(event) for event in heard) == 2
    setup, *rest = shards[0].arguments
    told = json.loads(setup)
    told[2] = "0" * 64
    with pytest.raises(MienError, match=r"\.safetensors: another file on a worker than here"):
        project_shard(json.dumps(told), *rest)


def test_latents_to_begin_with_fit_faces_and_space(models: dict[str, Path], tmp_path: Path) -> None:
    drawing = Drawing.of(models["stylegan2"], trunc=1.0, label=())
    begin = tmp_path / "begin.npz"
    Codes.of_seeds(drawing, range(3)).save(begin)
    for seeds, more, says in (
        ("0-1", {}, "3 latents, and there are 2 faces; give one or as many"),
        ("0-2", {"space": "z"}, "latents in w cannot begin a search in z"),
    ):
        with pytest.raises(InputError, match=says):
            generated(
                models["stylegan2"], out=tmp_path, seeds=seeds, options=options(init=begin, **more)
            ).run()


def test_without_candidates_a_search_begins_at_the_mean(models: dict[str, Path]) -> None:
    drawing = Drawing.of(models["stylegan2"], trunc=1.0, label=())
    network = drawing.loaded.network
    space = open_space("w", drawing.loaded, Labels(), None)
    images = drawing.faces([1, 2])
    first, labels = Starts(network, space, None, options(candidates=0), None, None).of(images, [0, 1])
    assert labels is None
    mean = sample_styles(network, None).mean(dim=0)
    assert torch.allclose(first, mean.expand(2, -1, -1), atol=1e-5)


@pytest.mark.skipif(artefact_path("lpips-alexnet") is None, reason="the lpips-alexnet artefact is not cached")
def test_a_search_begins_at_the_samples_that_look_most_alike(models: dict[str, Path]) -> None:
    """By LPIPS itself: first the nearest of each target, then the second nearest."""
    drawing = Drawing.of(models["stylegan2"], trunc=1.0, label=())
    network, lpips = drawing.loaded.network, Lpips.load("alexnet")
    space = open_space("w", drawing.loaded, Labels(), None)
    chosen = options(candidates=12, restarts=2)
    images = drawing.faces([1, 2, 3])
    first, _ = Starts(network, space, None, chosen, lpips, None).of(images, [0, 1, 2])
    samples = sample_styles(network, None, 12)
    theirs = viewed(to_float(draw_styles(network, samples)))
    for number, one in enumerate(viewed(to_float(images))):
        far = lpips(one[None].expand(12, -1, -1, -1), theirs)
        nearest, second = far.argsort()[:2].tolist()
        assert torch.equal(first[number], samples[nearest])
        assert torch.equal(first[3 + number], samples[second])


def test_large_pictures_are_shown_small_on_the_page() -> None:
    """By areas, with their shape; small ones in whole pixels, and no larger."""
    large = cv2.resize(heads(1)[0][0], (512, 512), interpolation=cv2.INTER_CUBIC)
    shown = decode(base64.b64decode(_shown(large, "a", None).uri.partition(",")[2])).pixels
    assert shown.shape == (256, 256, 3)
    areas = large.reshape(256, 2, 256, 2, 3).mean((1, 3))
    assert np.abs(shown - areas).mean() < 3, "as a WebP"
    wide = large[:120, :, :]
    bounded = _bounded(wide, 128)
    assert bounded.shape == (30, 128, 3)
    assert np.abs(bounded - wide.reshape(30, 4, 128, 4, 3).mean((1, 3))).max() <= 1
    assert _bounded(wide, 512) is wide


def test_a_folder_that_cannot_be_made_is_named(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"/proc/none.*: cannot write there"):
        generated(models["lite"], out=Path("/proc/none/out"), seeds="0", options=QUICK).run()


def test_a_damaged_state_is_named_and_left(models: dict[str, Path], tmp_path: Path) -> None:
    for folder in ("fresh", "damaged"):
        (tmp_path / folder).mkdir()
    (tmp_path / "damaged" / "state.pt").write_bytes(b"no state")
    heard: list[Event] = []
    for folder in ("fresh", "damaged"):
        generated(models["lite"], out=tmp_path / folder, seeds="0", options=QUICK).run(heard.append)
    (warning,) = [event.text for event in heard if isinstance(event, Notice) and "anew" in event.text]
    assert str(tmp_path / "damaged" / "state.pt") in warning
    assert content(tmp_path / "damaged") == content(tmp_path / "fresh")


def test_labels_in_words(tmp_path: Path) -> None:
    """A class with how sure it is; else each label with its value."""
    spec = Spec(16, 3, 3, ("child", "woman", "man"))
    header = NetworkHeader(family="lite", config={}, spec=spec, nimg=0, tool="t")
    assert label_in_words(torch.tensor([0.05, 0.9, 0.05]), header) == "woman (0.90)"
    assert label_in_words(torch.tensor([0.0, 1.0, 1.25]), header) == "child=0.00, woman=1.00, man=1.25"


def test_bad_photos(models: dict[str, Path], tmp_path: Path, photos: list[Path]) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(InputError, match=r"text\.png: it is no picture but text"):
        real(models["lite"], text, out=tmp_path / "out", options=QUICK).run()
    found: list[Projection] = real(models["lite"], text, photos[0], out=tmp_path / "out", options=QUICK).run()
    assert len(found) == 1
    with pytest.raises(InputError, match="no photo: no pictures in it"):
        real(models["lite"], out=tmp_path / "out", options=QUICK).run()
    shutil.rmtree(tmp_path / "out")

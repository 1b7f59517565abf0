"""The command line as a user meets it: help, errors in one line, exit codes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

import forked
from mien.cli import _complain, main
from mien.core.checkpoint import newest_state, read_header
from mien.core.errors import did_you_mean
from mien.core.provenance import verify
from mien.core.run import RunFolder, find_runs
from mien.models import lite

SMALL = [
    *("--set", "width_g=4", "--set", "width_d=4", "--set", "z_dim=8", "--set", "batch_size=250"),
    *("--precision", "fp32", "--snapshot-kimg", "1", "--device", "cpu"),
]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def pictures(folder: Path, count: int = 24, size: int = 16, seed: int | None = None) -> Path:
    rng = np.random.default_rng(size if seed is None else seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        coarse = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((size, size)).save(folder / f"{size}-{number:03d}.png")
    return folder


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return pictures(tmp_path / "faces")


@pytest.fixture
def trained(faces: Path) -> RunFolder:
    assert main(["train", str(faces), "--kimg", "1", *SMALL]) == 0
    return find_runs(Path("runs"))[0]


Fails = Callable[..., str]


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, mien.cli\n"
        "try: mien.cli.main(['--help'])\n"
        "finally: print([m for m in ('torch', 'numpy', 'cv2', 'scipy', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[]")
    for verb in ("demo", "prepare", "train", "generate", "evaluate", "report", "verify", "render"):
        assert verb in done.stdout


def test_photos_are_prepared_without_torch() -> None:
    code = (
        "import sys, mien.prepare.prepare, mien.core.discover as d\n"
        "[d.load('mien.datasets.layouts', name) for name in d.names('mien.datasets.layouts')]\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_empty_argument_is_no_folder_and_a_place_that_is_none_is_said(
    faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for tokens in (["data", "info", ""], ["prepare", str(faces), ""], ["curate", "", str(faces)]):
        assert main(tokens) == 2
        assert "is empty; leave it out, or write . for this folder" in capsys.readouterr().err
    assert main(["prepare", str(faces), "/proc/x.zip", "--finder", "none"]) == 1
    assert "/proc/x.work: cannot write there (No such file or directory)" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("warm_sandbox")
def test_a_name_from_outside_feigns_no_line_and_no_colour(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a\x1b[31m\nall is well.pt"
    (tmp_path / name).write_bytes(b"x")
    assert main(["generate", name, "--out", "o"]) == 2
    assert main(["import", name]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert said.count("a\\x1b[31m\\nall is well.pt: ") == 2
    heap = tmp_path / "heap"
    pictures(heap, count=2)
    (heap / "b\nwrote all.jpg").write_bytes(b"no picture")
    assert main(["data", "info", str(heap)]) == 0
    assert main(["prepare", str(heap), "o.zip", "--finder", "none", "--size", "16", "--workers", "1"]) == 0
    assert capsys.readouterr().out.count("  b\\nwrote all.jpg: it is no picture") == 2


def test_unknown_options_are_bad_usage() -> None:
    assert main(["train", "--bogus"]) == 2
    assert main(["no-such-verb"]) == 2


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(Exception, match="nowhere"):
        main(["train", "nowhere", "--debug"])


def test_bad_data(tmp_path: Path, faces: Path, fails: Fails) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "empty" in fails("train", empty)
    assert "nowhere" in fails("train", "nowhere")
    pictures(tmp_path / "mixed", 3, 16)
    pictures(tmp_path / "mixed", 3, 32)
    assert "prepare" in fails("train", tmp_path / "mixed")
    assert "power of two" in fails("train", pictures(tmp_path / "odd", size=48))
    corrupt = tmp_path / "corrupt.zip"
    corrupt.write_bytes(b"PK\x03\x04 and then nothing")
    assert "corrupt.zip" in fails("train", corrupt)
    assert not Path("runs").exists() or not find_runs(Path("runs"))


def test_labels_for_missing_images_are_named_and_stop_nothing(
    tmp_path: Path, faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "labels.zip"
    names = sorted(file.name for file in faces.iterdir())
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.write(faces / name, name)
        labels = [[name, 0] for name in [*names, "missing.png"]]
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    assert main(["train", str(path), "--cond", "--kimg", "1", *SMALL]) == 0
    assert "missing.png" in capsys.readouterr().out


def test_bad_options(faces: Path, fails: Fails) -> None:
    assert "dcgan, dense, detector, encoder, lite" in fails("train", faces, "--model", "nonsense")
    assert "quick" in fails("train", faces, "--preset", "nonsense")
    assert "gamma" in fails("train", faces, "--set", "nonsense=1")
    assert "lr" in fails("train", faces, "--set", "lr=-1")
    assert "labels" in fails("train", faces, "--cond")
    assert "DATA" in fails("train")
    assert "cuda:77" in fails("train", faces, "--device", "cuda:77")


@pytest.mark.slow
def test_the_same_command_goes_on_and_more_budget_extends(
    trained: RunFolder, faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["train", str(faces), "--kimg", "1", *SMALL]) == 0
    assert "budget is spent" in " ".join(capsys.readouterr().out.split())
    assert main(["train", str(faces), "--kimg", "2", *SMALL]) == 0
    assert "goes on at 1.0 kimg" in " ".join(capsys.readouterr().out.split())
    assert [run.path for run in find_runs(Path("runs"))] == [trained.path]
    assert trained.newest_generator().name == "generator-000002.safetensors"
    assert main(["train", "--resume", str(trained.path), "--kimg", "3", "--device", "cpu"]) == 0
    assert trained.newest_generator().name == "generator-000003.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_at_the_end_of_a_step_and_nothing_is_lost(faces: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "mien", "train", str(faces), "--kimg", "100000", *SMALL]
    with forked.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "kimg  " not in (line := process.stdout.readline()):
            assert line, process.communicate()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "stopped"
    run = find_runs(Path("runs"))[0]
    found = newest_state(run.path, report=pytest.fail)
    assert found is not None
    seen = found[1]["counters"]["nimg"]
    last_tick = [record["nimg"] for record in run.read_log() if "event" not in record][-1]
    assert seen >= last_tick
    assert read_header(run.newest_generator()).nimg == seen


@pytest.mark.slow
def test_other_settings_and_new_begin_another_run(trained: RunFolder, faces: Path) -> None:
    assert main(["train", str(faces), "--kimg", "1", "--seed", "1", *SMALL]) == 0
    assert main(["train", str(faces), "--kimg", "1", "--new", *SMALL]) == 0
    assert len(find_runs(Path("runs"))) == 3


def test_a_run_in_use_is_refused(trained: RunFolder, faces: Path, fails: Fails) -> None:
    with trained.lock():
        assert "in use" in fails("train", faces, "--kimg", "2", *SMALL)


def test_resume_with_other_data_is_refused(trained: RunFolder, tmp_path: Path, fails: Fails) -> None:
    other = pictures(tmp_path / "other", 10)
    error = fails("train", other, "--resume", trained.path)
    assert "learns from other data" in error
    assert "--from" in error
    assert "no config.json" in fails("train", "--resume", tmp_path)


def test_generate_marks_every_picture(trained: RunFolder) -> None:
    for kind in ("png", "jpg", "webp"):
        assert main(["generate", str(trained.path), "--seeds", "0,3-4", "--format", kind, "--out", kind]) == 0
        assert sorted(p.name for p in Path(kind).iterdir()) == [f"seed000{n}.{kind}" for n in (0, 3, 4)]
        mark = verify(Path(kind) / f"seed0003.{kind}")
        assert mark is not None
        assert (mark.seed, mark.source_type.value) == (3, "trainedAlgorithmicMedia")
        assert mark.model.startswith("lite-")


def test_generate_is_the_same_from_run_and_file(trained: RunFolder) -> None:
    assert main(["generate", str(trained.path), "--seeds", "5", "--out", "a"]) == 0
    shutil.copy(trained.newest_generator(), "alone.safetensors")
    assert main(["generate", "alone.safetensors", "--seeds", "4-5", "--out", "b"]) == 0
    assert Path("a/seed0005.png").read_bytes() == Path("b/seed0005.png").read_bytes()


def test_grid_and_truncation(trained: RunFolder) -> None:
    assert (
        main(["generate", str(trained.path), "--seeds", "0-3", "--grid", "--out", "g", "--trunc", "0"]) == 0
    )
    with Image.open("g/grid-0000-0003.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (32, 32, 3)
    assert np.array_equal(pixels[:16, :16], pixels[16:, 16:])  # psi 0 leaves one face


def test_bad_generate(trained: RunFolder, tmp_path: Path, fails: Fails) -> None:
    assert "4-x" in fails("generate", trained.path, "--seeds", "4-x", "--out", "o")
    assert "psi" in fails("generate", trained.path, "--trunc", "nan", "--out", "o")
    assert "without labels" in fails("generate", trained.path, "--label", "red", "--out", "o")
    file = trained.newest_generator()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:-50])
    assert "cut.safetensors" in fails("generate", cut, "--out", "o")
    assert "no such" in fails("generate", tmp_path / "absent.safetensors", "--out", "o")
    assert not Path("o").exists()


def test_conditional_training_and_labels(tmp_path: Path, fails: Fails) -> None:
    for name in ("dark", "light"):
        pictures(tmp_path / "classes" / name)
    assert main(["train", "classes", "--cond", "--kimg", "1", *SMALL]) == 0
    run = find_runs(Path("runs"))[0].path
    assert "dark, light" in fails("generate", run, "--out", "o")
    assert "choose from dark, light" in fails("generate", run, "--label", "blue", "--out", "o")
    assert main(["generate", str(run), "--label", "light", "--seeds", "0", "--out", "o"]) == 0
    assert main(["generate", str(run), "--label", "0", "--seeds", "0", "--out", "p"]) == 0
    assert Path("o/seed0000.png").read_bytes() != Path("p/seed0000.png").read_bytes()


def test_verify_tells(
    trained: RunFolder, faces: Path, capsys: pytest.CaptureFixture[str], fails: Fails
) -> None:
    main(["generate", str(trained.path), "--seeds", "7", "--out", "o"])
    capsys.readouterr()
    assert main(["verify", "o/seed0007.png"]) == 0
    said = capsys.readouterr().out
    assert "trainedAlgorithmicMedia" in said
    assert "seed 7" in said
    assert main(["verify", str(next(faces.iterdir()))]) == 0
    assert "no provenance mark" in capsys.readouterr().out
    Path("text.png").write_text("hello")
    assert "text.png" in fails("verify", "text.png")
    assert main(["verify", "o", "text.png", str(next(faces.iterdir()))]) == 0
    said = capsys.readouterr().out
    assert "1 of 2 carry a mark" in said
    assert "text.png: not a picture" in said


def test_models_lists_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "dcgan" in capsys.readouterr().out
    assert main(["models", "lite"]) == 0
    assert "penalty_interval" in capsys.readouterr().out


@pytest.mark.slow
def test_tensorboard_logs(faces: Path) -> None:
    pytest.importorskip("tensorboard")
    assert main(["train", str(faces), "--kimg", "2", "--tensorboard", *SMALL]) == 0
    written = list(Path("runs").glob("*/tensorboard/events*"))
    assert written
    assert written[0].stat().st_size > 200


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("train faces --kimg abc", "--kimg abc: should be a number"),
        ("train faces --seed -3", "--seed -3: should be greater than or equal to 0"),
        ("train faces --augment some", "--augment some: should be 'auto', 'none', 'fixed', 'ramp' or 'ada'"),
        ("train faces --set lr=abc", "--set lr=abc: should be a number"),
        ("prepare a b --size 1.5", "--size 1.5: should be a whole number (mien prepare --help"),
        ("prepare a b --faces most", "--faces most: should be largest or central or all"),
        ("prepare a b c d", "too many arguments: c d"),
        ("prepare a", "OUT is missing"),
        ("generate x --psi", "--out is missing"),
        ("generate --seeds", "--seeds needs a value"),
        ("train face", "there is no such zip or folder; did you mean faces"),
        ("train nothing-like-it", "other sources: "),
        ("generate fac --out x", "there is no such file or run; did you mean faces"),
        ("data unknown", 'Unknown command "unknown"'),
        ("train faces --unknown 3", "Unknown option: --unknown"),
        ("render out --seed 99999999999999", "--seed. Must be < 2147483648"),
        ("data info folder:faces?size=1.5", "option size=1.5: should be a whole number"),
        ("data info folder:", "write folder:. for this folder"),
        ("data info table:faces.zip", "is read from the unpacked folder: unpack it"),
        ("data info cut.zip", "cut off, or not a zip; get it again"),
        ("evaluate runs --data faces", "a folder of runs"),
        ("data info runs/00000-x", "a run folder, and pictures are wanted"),
        ("train runs/00000-x", "a run folder, and pictures are wanted"),
    ],
)
def test_wrong_options_are_told_in_one_plain_line(
    faces: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails, command: str, told: str
) -> None:
    monkeypatch.chdir(faces.parent)
    shutil.make_archive("faces", "zip", "faces")
    Path("cut.zip").write_bytes(Path("faces.zip").read_bytes()[:-40])
    run = RunFolder.create(Path("runs"), "x")
    run.write_config({})
    run.log.touch()
    error = fails(*command.split())
    assert told in error
    assert "pydantic" not in error


def test_names_of_any_bytes_are_trained_on_exported_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Linux takes any bytes for a name, and no file of ours may be lost for it."""
    monkeypatch.chdir(tmp_path)
    odd = os.fsdecode(b"odd\xff")
    for label in (odd, "plain"):
        pictures(Path(f"{odd}s", label), 3)
    assert main(["train", f"{odd}s", "--cond", "--kimg", "0.01", *SMALL]) == 0
    (run,) = find_runs(Path("runs"))
    assert main(["train", f"{odd}s", "--cond", "--kimg", "0.01", *SMALL]) == 0
    assert len(find_runs(Path("runs"))) == 1
    assert main(["generate", str(run.path), "--seeds", "0", "--label", "odd\\xff", "--out", "drawn"]) == 0
    for form in ("imagefolder", "parquet"):
        assert main(["data", "export", f"{odd}s", form, "--format", form]) == 0
    assert "odd" in Path("imagefolder/train/metadata.jsonl").read_text("utf-8")


def test_too_little_memory_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
    )
    for error in (RuntimeError(text), MemoryError()):
        assert _complain(error) == 1
        line = "mien: this machine's memory does not suffice; what is done is kept\n"
        assert capsys.readouterr().err == line


@pytest.mark.parametrize("command", ["data info NAME", "generate NAME --out o", "report NAME"])
def test_a_name_longer_than_the_system_takes_is_bad_input(fails: Fails, command: str) -> None:
    error = fails(*command.replace("NAME", "x" * 300).split())
    assert "File name too long" in error
    assert "write" not in error  # nothing was to be written


def test_an_error_of_the_system_that_nobody_explained_names_its_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(OSError, match="Not a directory") as caught:
        (Path("/dev/null") / "x").read_bytes()
    assert _complain(caught.value) == 1
    assert capsys.readouterr().err == "mien: /dev/null/x: cannot write there (Not a directory)\n"


def test_what_nobody_expected_is_one_line_with_its_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """A defect of ours, then: the line says how to see where it is."""
    with pytest.raises(ValidationError) as caught:
        lite.Config(batch_size="many")
    for error, words in (
        (ZeroDivisionError("division\n by \x1b[31mzero"), r"ZeroDivisionError: division by \x1b[31mzero"),
        (caught.value, "ValidationError: batch_size: many: should be "),
    ):
        assert _complain(error) == 1
        said = capsys.readouterr().err
        assert said.startswith("mien: " + words)
        assert said.endswith(" (--debug shows where)\n")
        assert said.count("\n") == 1


@pytest.mark.parametrize("command", [["--help"], ["models"]])
def test_a_reader_that_leaves_ends_a_command_without_a_word(command: list[str]) -> None:
    """As in `mien models | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mien", *command], stdout=writer, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_of_names_begun_alike_the_zip_is_meant(tmp_path: Path) -> None:
    for name in ("photos.work", "photos.zip", "photos128.zip"):
        (tmp_path / name).touch()
    assert did_you_mean(tmp_path / "photos") == f"; did you mean {tmp_path / 'photos.zip'}?"
    assert did_you_mean(tmp_path / "photos1") == f"; did you mean {tmp_path / 'photos128.zip'}?"


@pytest.mark.parametrize(
    "command",
    [
        *("generate --seeds 0-3", "edit --seeds 1 --set smile=1", "vary a.jpg", "project generated"),
        *("project real packaged a.jpg", "modes packaged", "audit packaged", "encoder packaged"),
        *("directions find", "directions measure", "units evaluate rendered:9", "demo"),
        "worth --real a.zip --synthetic b=b.zip --label gaze",
    ],
)
def test_many_files_go_into_a_folder(command: str, fails: Fails) -> None:
    """`--out x.png` would be a folder of that name, which opens nowhere."""
    assert "--out x.png: is a file's name, and a folder is wanted" in fails(
        *command.split(), "--out", "x.png"
    )
    assert not Path("x.png").exists()
    Path("x").write_text("dear")
    assert "--out x: is a file's name" in fails(*command.split(), "--out", "x")
    assert Path("x").read_text() == "dear"

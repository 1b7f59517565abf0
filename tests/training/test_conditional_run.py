"""Labels by name, from the command line to pictures."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.cli import main
from mien.core.checkpoint import load_generator, read_header, save_generator
from mien.core.manifest import append_records
from mien.core.packed import PackReader, PackWriter, encode_png
from mien.core.picture import read_picture
from mien.core.run import RunFolder, find_runs
from mien.evaluation.measure import measure
from mien.generation.generate import generate
from mien.training.command import TrainOptions
from mien.training.plan import make_plan

SMALL = [
    *("--set", "width_g=4", "--set", "width_d=4", "--set", "z_dim=8", "--set", "batch_size=250"),
    *("--precision", "fp32", "--snapshot-kimg", "1", "--device", "cpu", "--kimg", "1"),
]
COLUMNS = ("smile", "hair=black", "hair=red")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


def write_data() -> Path:
    """60 pictures of 16 px; whoever smiles has black hair; of every tenth the hair is not known."""
    rng = np.random.default_rng(0)
    with PackWriter(Path("data.zip")) as pack:
        for index in range(60):
            pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
            smiles = index % 3 == 0
            hair = {} if index % 10 == 9 else {"hair": "black" if smiles or index % 2 else "red"}
            pack.add_png(encode_png(pixels), None, {"labels": {"smile": smiles, **hair}})
    return Path("data.zip")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data and a run on it, in a folder that no test changes."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MIEN_CACHE", str(folder / "cache"))
        assert main(["train", str(write_data()), "--labels", "smile,hair", *SMALL]) == 0
    return folder


@pytest.fixture
def data() -> Path:
    return write_data()


@pytest.fixture
def trained(data: Path, made: Path) -> RunFolder:
    """The run, as if it had been trained here."""
    shutil.copytree(made / "runs", "runs")
    return find_runs(Path("runs"))[-1]


@pytest.mark.slow
def test_a_run_leaves_rows_of_its_own_labels(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(data), "--labels", "smile,hair", *SMALL]) == 0
    assert "6 left out" in " ".join(capsys.readouterr().out.split())
    (trained,) = find_runs(Path("runs"))
    header = read_header(trained.newest_generator())
    assert header.spec.class_names == COLUMNS
    assert header.dataset is not None
    assert header.dataset.num_images == len(header.label_rows) == 54
    assert set(header.label_rows) == {(1, 1, 0), (0, 1, 0), (0, 0, 1)}
    assert header.label_rows.count((1, 1, 0)) == 18  # as often as in the data


@pytest.mark.slow
def test_pictures_show_what_is_asked_and_the_seed_does_the_rest(trained: RunFolder) -> None:
    asked = ["--label", "SMILE=1", "--label", "hair=black", "--seeds", "3"]
    assert main(["generate", str(trained.path), *asked, "--out", "both"]) == 0
    # Nobody who smiles has red hair, so that asking for the smile alone is the same.
    assert main(["generate", str(trained.path), *asked[:2], "--seeds", "3", "--out", "one"]) == 0
    assert Path("one/seed0003.png").read_bytes() == Path("both/seed0003.png").read_bytes()
    (red,) = generate(trained.path, out=Path("red"), seeds="3", label="red").run()
    assert red.read_bytes() != Path("one/seed0003.png").read_bytes()
    (same,) = generate(trained.path, out=Path("again"), seeds="3", label=("hair=red", "smile=0")).run()
    assert same.read_bytes() == red.read_bytes()


def test_a_seed_shows_the_same_however_many_are_drawn(trained: RunFolder) -> None:
    """Some of those with black hair smile, which the seed decides; 70 are more than are drawn at once."""
    many = generate(trained.path, out=Path("many"), seeds="0-69", label="black").run()
    few = generate(trained.path, out=Path("few"), seeds="64-69", label="black").run()
    assert [path.read_bytes() for path in few] == [path.read_bytes() for path in many[64:]]


def test_bad_labels_are_one_line(trained: RunFolder, data: Path, fails: Callable[..., str]) -> None:
    run = trained.path
    assert "say which with --label: smile, hair=black|red" in fails("generate", run, "--out", "o")
    assert "choose from smile, hair=black|red" in fails("generate", run, "--label", "glasses", "--out", "o")
    contradictory = ("--label", "red", "--label", "hair=black")
    assert "contradict" in fails("generate", run, *contradictory, "--out", "o")
    assert "psi" in fails("generate", run, "--label", "red", "--trunc", "nan", "--out", "o")
    assert not Path("o").exists()
    assert "there are: hair, smile" in fails("train", data, "--labels", "glasses", *SMALL)
    assert "--labels takes labels of its manifest by name" in fails("train", data, "--cond", *SMALL)
    error = fails("train", data, "--labels", "smile", "--model", "attributes", "--kimg", "1")
    assert "--set labels=" in error
    assert len(find_runs(Path("runs"))) == 1


@pytest.mark.slow
def test_labels_are_part_of_the_identity(trained: RunFolder, data: Path) -> None:
    assert main(["train", str(data), "--labels", "smile,hair", "--cond", *SMALL]) == 0
    assert len(find_runs(Path("runs"))) == 1  # --labels means --cond already
    assert main(["train", str(data), "--labels", "smile", *SMALL]) == 0
    assert len(find_runs(Path("runs"))) == 2
    name = PackReader(data).names[9]
    append_records(data, [{"file": name, "labels": {"hair": "red"}}])
    assert main(["train", str(data), "--labels", "smile,hair", *SMALL]) == 0
    assert len(find_runs(Path("runs"))) == 3  # one picture more is known
    assert main(["train", "--resume", str(find_runs(Path("runs"))[2].path), "--kimg", "2"]) == 0
    assert find_runs(Path("runs"))[2].newest_generator().name == "generator-000002.safetensors"


@pytest.mark.slow
def test_scores_draw_labels_as_the_data_has_them(trained: RunFolder, data: Path, tmp_path: Path) -> None:
    """By name from the dataset, else from the file's own rows; without either it cannot be measured."""
    options = {"networks": ["vgg-random"], "metrics": ["kernel"], "floor": False, "fetch": False}
    (known,) = measure(trained.path, str(data), **options)
    with PackWriter(Path("bare.zip")) as pack:
        for index in range(20):
            pack.add_png(PackReader(data).read(index), None, {})
    (other,) = measure(trained.newest_generator(), "bare.zip", **options)
    assert known.value > 0
    assert other.value > 0
    tensors, header = load_generator(trained.newest_generator())
    save_generator(Path("old.safetensors"), tensors, header.model_copy(update={"label_rows": ()}))
    with pytest.raises(Exception, match="takes labels of width 3"):
        measure(Path("old.safetensors"), "bare.zip", **options)


def test_a_header_whose_rows_do_not_fit_is_refused(trained: RunFolder, fails: Callable[..., str]) -> None:
    tensors, header = load_generator(trained.newest_generator())
    broken = header.model_copy(update={"label_rows": ((1.0, 0.0),)})
    save_generator(Path("broken.safetensors"), tensors, broken)
    error = fails("generate", "broken.safetensors", "--label", "red", "--out", "o")
    assert "broken.safetensors" in error
    assert "a label row is not 3 wide" in error


def test_a_file_from_before_rows_were_kept_still_draws(trained: RunFolder) -> None:
    tensors, header = load_generator(trained.newest_generator())
    save_generator(Path("old.safetensors"), tensors, header.model_copy(update={"label_rows": ()}))
    (path,) = generate(Path("old.safetensors"), out=Path("o"), seeds="3", label="red").run()
    (new,) = generate(trained.path, out=Path("n"), seeds="3", label=["red", "smile=no"]).run()
    assert np.array_equal(read_picture(path), read_picture(new))  # nobody with red hair smiles here


def test_which_pictures_are_known_is_part_of_the_identity() -> None:
    """The same labels of other pictures are other lessons."""
    found = set()
    for unknown in (0, 1):
        with PackWriter(Path(f"{unknown}.zip")) as pack:
            for index in range(12):
                pixels = np.full((16, 16, 3), index * 20, np.uint8)
                labels = {} if index == unknown else {"smile": index % 2 == 0 and index > 1}
                pack.add_png(encode_png(pixels), None, {"labels": labels})
        plan = make_plan(f"{unknown}.zip", TrainOptions(labels="smile", device="cpu"))
        assert len(plan.training_data) == 11
        found.add(plan.identity())
    assert len(found) == 2

"""`mien train --model pix2pix`, `translate`, `evaluate` and `report`: from pairs to pictures and figures."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from layouts import head, paired_folders, save
from mien.cli import main
from mien.core.checkpoint import load_generator, load_state, newest_state, read_header
from mien.core.errors import InputError
from mien.core.events import Table
from mien.core.network import load_network
from mien.core.packed import PackReader
from mien.core.picture import read_picture
from mien.core.provenance import SourceType, verify
from mien.core.run import RunFolder, find_runs
from mien.metrics.features import open_network
from mien.render.render import render
from mien.training.paired_data import EvaluationData
from mien.translation.translator_kind import TranslatorExamination, examine
from pictures import ArrayDataset

QUICK = ["--model", "pix2pix", "--precision", "fp32", "--device", "cpu", "--snapshot-kimg", "1"]
for change in ("width=4", "width_d=4", "d_layers=2", "batch_size=8", "held_out=0.3", "lr=0.002"):
    QUICK += ["--set", change]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fronts and profiles of 16 rendered people, 16 px."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.zip"
    render(path, count=16, size=16, seed=0, pairs="front-profile").run()
    return path


@pytest.fixture(scope="module")
def trained(pairs: Path) -> RunFolder:
    out = pairs.parent / "runs"
    arguments = ["train", str(pairs), "--direction", "profile-front", "--kimg", "1.5", "--out", str(out)]
    assert main([*arguments, *QUICK]) == 0
    (run,) = find_runs(out)
    return run


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_a_run_shows_unseen_people_and_learns(trained: RunFolder) -> None:
    header = read_header(trained.newest_product("translator"))
    assert (header.kind, header.roles) == ("translator", ("profile", "front"))
    first, last = (read_picture(trained.all_fakes()[at]) for at in (0, -1))
    rows = first.shape[0] // 16
    assert first.shape == last.shape == (rows * 16, 3 * 16, 3)
    assert np.array_equal(first[:, :16], last[:, :16])  # the same inputs
    assert np.array_equal(first[:, 32:], last[:, 32:])  # and targets
    far = [np.abs(strip[:, 16:32].astype(int) - strip[:, 32:]).mean() for strip in (first, last)]
    assert far[1] < 0.8 * far[0]
    mark = verify(trained.all_fakes()[-1])
    assert mark is not None
    assert mark.source_type == SourceType.COMPOSITE
    assert trained.timelapse.is_file()


@pytest.mark.slow
def test_strips_show_people_who_are_not_learnt_from(trained: RunFolder, pairs: Path) -> None:
    strip = read_picture(trained.all_fakes()[-1])
    reader = PackReader(pairs)
    pictures = [read_picture(reader.read(index)) for index in range(len(reader))]
    fronts = [p for p, r in zip(pictures, reader.records, strict=True) if r["labels"]["role"] == "front"]
    targets = [strip[y : y + 16, 32:] for y in range(0, len(strip), 16)]
    reals = read_picture(trained.reals)
    learnt = [
        reals[y : y + 16, x : x + 16] for y in range(0, len(reals), 16) for x in range(0, reals.shape[1], 16)
    ]
    shown = {front.tobytes() for front in fronts} & {target.tobytes() for target in targets}
    assert len(shown) == len(targets)
    assert not shown & {picture.tobytes() for picture in learnt}


@pytest.mark.slow
def test_translated_pictures_are_what_the_network_makes(trained: RunFolder, tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "in" / f"{number}.png", head(number, size=16))
    assert main(["translate", str(trained.path), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    product = load_network(trained.path, "translator", torch.device("cpu"))
    for number in range(3):
        image = torch.from_numpy(head(number, size=16).transpose(2, 0, 1).copy())[None].float() / 127.5 - 1
        wanted = product.network(image)[0].permute(1, 2, 0).mul(127.5).add(127.5)
        found = read_picture(tmp_path / "out" / f"{number}.png")
        assert np.abs(found - wanted.numpy()).max() <= 1
        mark = verify(tmp_path / "out" / f"{number}.png")
        assert mark is not None
        assert (mark.model, mark.source_type) == (product.model, SourceType.TRAINED)


def test_a_dataset_stays_one_with_its_labels(trained: RunFolder, pairs: Path, tmp_path: Path) -> None:
    assert main(["translate", str(trained.path), str(pairs), "--out", str(tmp_path / "out.zip")]) == 0
    before, after = PackReader(pairs), PackReader(tmp_path / "out.zip")
    assert [r["labels"] for r in after.records] == [r["labels"] for r in before.records]


def test_another_size_is_refused_or_resized(
    trained: RunFolder, tmp_path: Path, fails: Callable[..., str]
) -> None:
    save(tmp_path / "in" / "a.png", head(0, size=16))
    save(tmp_path / "in" / "big.png", head(1, size=24))
    command = ("translate", trained.path, tmp_path / "in", "--out", tmp_path / "out")
    assert "big.png (24x24)" in fails(*command)
    assert not (tmp_path / "out").exists()
    assert main([*map(str, command), "--resize"]) == 0
    assert read_picture(tmp_path / "out" / "big.png").shape == (16, 16, 3)


@pytest.mark.slow
def test_it_is_examined_on_people_it_did_not_see(trained: RunFolder, pairs: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(trained.path), "--data", str(pairs), "--device", "cpu"]) == 0
    found = TranslatorExamination.newest(trained)
    assert found is not None
    assert (found.kept_out, found.roles, found.num_people) == (True, ("profile", "front"), found.num_pairs)
    assert 3 <= found.num_pairs <= 7  # of 16, about three in ten
    assert found.among == found.num_pairs
    by_way = {one.way: one for one in found.closeness}
    assert list(by_way) == ["translated", "input", "mean target"]
    assert by_way["translated"].l1.value < by_way["input"].l1.value * 1.5
    mean = next(one for one in found.likeness if one.way == "mean target")
    assert mean.rank1.value == pytest.approx(1 / found.among)
    render(tmp_path / "others.zip", count=6, size=16, seed=5, pairs="front-profile").run()
    assert main(["evaluate", str(trained.path), "--data", str(tmp_path / "others.zip")]) == 0
    other = TranslatorExamination.newest(trained)
    assert other is not None
    assert (other.kept_out, other.num_pairs) == (False, 6)
    assert main(["report", str(trained.path), "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "mean target" in page
    assert 'aria-label="Verdict"' not in page  # nothing to say is not said with an empty frame
    assert other.model_id in page


@pytest.mark.slow
def test_a_translator_that_copies_scores_as_copies_do(trained: RunFolder) -> None:
    """And one that gives the targets is perfect: figures mean what they say."""
    targets = ArrayDataset(12, resolution=16, seed=3)
    product = load_network(trained.path, "translator", torch.device("cpu"))
    product.network.forward = lambda images: images  # type: ignore[method-assign]
    network = open_network("vgg-random")
    copied = examine(product, EvaluationData(ArrayDataset(12, resolution=16), targets, True, ""), [network])
    made, copy, _ = copied.closeness
    assert (made.l1, made.psnr) == (copy.l1, copy.psnr)
    first, second, _ = copied.likeness
    assert (first.rank1, first.auc, first.frechet) == (second.rank1, second.auc, second.frechet)
    right = examine(product, EvaluationData(targets, targets, True, ""), [network])
    assert right.closeness[0].l1.value == 0
    assert right.closeness[0].ms_ssim == pytest.approx(1)
    assert (right.likeness[0].rank1.value, right.likeness[0].auc) == (1, 1)
    assert right.likeness[0].frechet == pytest.approx(0, abs=1e-3)
    few = ArrayDataset(3, resolution=16)
    with pytest.raises(InputError, match="3 pairs are too few to examine a model on"):
        examine(product, EvaluationData(few, few, True, ""), [network])
    shown = [event for event in right.tables() if isinstance(event, Table)]
    assert [table.rows[0][0] for table in shown] == ["translated", "translated"]
    assert shown[0].rows[0][1].startswith("0.0% ")


def _unpaired(root: Path) -> str:
    save(root / "front" / "x.png", head(0))
    save(root / "profile" / "y.png", head(0))
    return r"front/x\.png.*profile/y\.png"


def _another_size(root: Path) -> str:
    save(root / "profile" / "001.png", head(1, size=40))
    return r"front/001\.png: .*48x48, profile/001\.png is 40x40"


def _one_gray(root: Path) -> str:
    save(root / "front" / "002.png", head(2, gray=True))
    return r"front/002\.png: it is gray, profile/002\.png is in colour"


def _empty_side(root: Path) -> str:
    for path in (root / "profile").iterdir():
        path.unlink()
    return r"profile: there are no pictures in it"


@pytest.mark.parametrize("spoil", [_unpaired, _another_size, _one_gray, _empty_side])
def test_pairs_that_are_none_are_refused(
    spoil: Callable[[Path], str], tmp_path: Path, fails: Callable[..., str]
) -> None:
    """Everything concerned is named, on both sides, and no run is begun."""
    wanted = spoil(paired_folders(tmp_path / "pairs"))
    error = fails("train", tmp_path / "pairs", "--out", tmp_path / "runs", "--kimg", "1", *QUICK)
    assert re.search(wanted, error)
    assert not (tmp_path / "runs").exists()


def test_pictures_that_are_no_pairs_and_sizes_that_fit_nothing(
    trained: RunFolder, tmp_path: Path, fails: Callable[..., str]
) -> None:
    runs = ("--out", tmp_path / "runs", "--kimg", "1")
    assert "no pair and role" in fails("train", "rendered:8:16", *runs, *QUICK)
    paired_folders(tmp_path / "pairs")
    assert "48 px" in fails("train", f"pairs:{tmp_path / 'pairs'}?size=48", *runs, *QUICK)
    assert "--real" in fails("train", tmp_path / "pairs", "--real", "rendered:8:16", *runs, *QUICK)
    assert "resolution 32" in fails("evaluate", trained.path, "--data", f"pairs:{tmp_path / 'pairs'}?size=32")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_translator_begins_with_another_and_a_generator_does_not(
    trained: RunFolder, pairs: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    """What few pairs cannot teach, many others have taught before."""
    arguments = ["train", str(pairs), "--direction", "profile-front", "--seed", "1", "--kimg", "1"]
    begun = [*arguments, *QUICK, "--from", str(trained.path), "--out", str(tmp_path / "runs")]
    assert main(begun) == 0
    (run,) = find_runs(tmp_path / "runs")
    given = load_state(trained.state(1500))["networks"]["d"]
    averaged, _ = load_generator(trained.newest_product("translator"))
    (run.path / "state-000001.pt").unlink()
    found = newest_state(run.path, report=pytest.fail)
    assert found is not None
    assert found[1]["counters"]["nimg"] == 0
    assert all(torch.equal(found[1]["networks"]["d"][name], given[name]) for name in given)
    assert all(torch.equal(found[1]["networks"]["g"][name], averaged[name]) for name in averaged)
    error = fails("train", pairs, "--model", "lite", "--from", trained.path, "--out", tmp_path / "runs")
    assert "here a 'generator' is needed" in error

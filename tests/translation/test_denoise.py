"""Training, measuring and using a denoiser from the command line, and filters to hold it against."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.functional.image import structural_similarity_index_measure

from mien.cli import main
from mien.core.image import to_float
from mien.core.network import load_network
from mien.core.packed import PackReader, PackWriter, encode_png
from mien.core.picture import read_picture
from mien.core.provenance import SourceType, verify
from mien.core.run import RunFolder
from mien.core.types import Spec
from mien.models import noise2noise
from mien.models.noise2noise import Config
from mien.nn.denoise_unet import Denoiser
from mien.nn.noise import Noise, noise
from mien.translation import denoiser_kind
from mien.translation.commands import in_tiles
from mien.translation.denoiser_kind import add_noise, compare, filtered, trial_indexes, trial_noises
from mien.translation.outputs import apply_network, psnr

SIZE = 24
SMALL = ("--model", "noise2noise", "--precision", "fp32", "--kimg", "2")
NUMBERS = {"width": 8, "levels": 2, "batch_size": 8, "lr": 3e-3, "residual": True, "held_out": 0.2}


def faces(count: int, size: int = SIZE, channels: int = 3) -> np.ndarray:
    """uint8 [N, C, size, size]: two flat colours with a slanting edge between them, as faces have."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:size, :size] / size - 0.5
    angles, shift = rng.uniform(0, 2 * np.pi, (count, 1, 1)), rng.uniform(-0.3, 0.3, (count, 1, 1))
    side = (np.cos(angles) * x + np.sin(angles) * y > shift)[:, None]
    one, two = rng.integers(90, 166, (2, count, channels, 1, 1))
    return np.where(side, one, two).astype(np.uint8)


def pack(path: Path, pictures: np.ndarray) -> Path:
    with PackWriter(path, class_names=("bright",)) as writer:
        for index, image in enumerate(pictures):
            png = encode_png(np.ascontiguousarray(image.transpose(1, 2, 0)))
            writer.add_png(png, (float(image.mean()),), {"labels": {"person": f"p{index // 2}"}})
    return path


def write(path: Path, image: np.ndarray) -> Path:
    """image: uint8 [C, H, W]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)).squeeze()).save(path)
    return path


def train(data: Path | str, out: Path, **numbers: object) -> Path:
    told = [f"--set={name}={value}" for name, value in {**NUMBERS, **numbers}.items()]
    assert main(["train", str(data), *SMALL, *told, "--out", str(out)]) == 0
    return next(out.glob("0*"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("data") / "faces.zip", faces(60))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(data, tmp_path_factory.mktemp("runs"), strength="40")


def lines(run: Path) -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(line) for line in (run / "metric-denoiser.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_run_leaves_denoiser_strips_film_and_figures(run: Path) -> None:
    folder = RunFolder.open(run)
    assert folder.newest_product("denoiser").name == "denoiser-000002.safetensors"
    strips = folder.all_fakes()
    assert [path.name for path in strips] == ["fakes000000.png", "fakes000001.png", "fakes000002.png"]
    mark = verify(strips[-1])
    assert mark is not None
    assert mark.source_type == SourceType.ENHANCED
    assert folder.timelapse.exists()
    assert folder.reals.exists()
    assert all("Eval/psnr" in record for record in folder.read_log() if "event" not in record)
    (found,) = lines(run)
    assert found["kept_out"]
    assert found["num_pictures"] == 12
    assert found["how"] == "kept out of training by person"
    names = [figure["name"].partition(" (")[0] for figure in found["trials"][0]["figures"]]
    assert names == ["noisy", "this model", "non-local means", "median"]
    noisy, model = found["trials"][0]["figures"][:2]
    assert noisy["psnr"] == pytest.approx(20 * np.log10(255 / 40), abs=0.7)  # a little is clipped
    assert model["psnr"] > noisy["psnr"] + 4
    assert noisy["ahead"] == pytest.approx(model["psnr"] - noisy["psnr"])


@pytest.mark.slow
def test_a_strip_shows_noisy_cleaned_and_clean_of_people_kept_out(run: Path, data: Path) -> None:
    strip = read_picture(RunFolder.open(run).all_fakes()[-1])
    cells = strip.reshape(8, SIZE, 3, SIZE, 3).transpose(2, 0, 4, 1, 3)
    lesson = noise2noise.lesson(Config(held_out=0.2), _opened(data))
    assert lesson.held_out is not None
    at = trial_indexes(lesson.held_out, 64)
    clean = lesson.held_out.images(at)
    spoilt = add_noise(clean, Noise("gaussian", 40, 40))
    assert np.array_equal(cells[2], clean[:8])
    assert np.array_equal(cells[0], spoilt[:8])
    network = load_network(run, "denoiser", torch.device("cpu")).network
    assert np.array_equal(cells[1], apply_network(network, spoilt)[:8])
    people = {record["labels"]["person"] for record in lesson.held_out.records}
    assert people.isdisjoint(record["labels"]["person"] for record in lesson.train.records)


def _opened(data: Path):  # type: ignore[no-untyped-def]
    from mien.datasets.opening import open_dataset

    return open_dataset(str(data))


@pytest.mark.slow
def test_evaluate_takes_who_was_kept_out_or_says_that_it_does_not_know(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), "--data", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "gaussian 40" in shown
    assert "non-local means" in shown
    first, *_, again = lines(run)
    assert again == first
    other = pack(tmp_path / "others.zip", faces(10, 32))
    found = denoiser_kind.evaluate(
        RunFolder.open(run).newest_product("denoiser"), str(other), device=torch.device("cpu")
    )
    assert not found.kept_out
    assert found.num_pictures == 10
    assert lines(run)[-1] == again  # a file alone leaves no line
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "non-local means" in page


def test_evaluate_refuses_other_channels_and_options_of_generators(
    run: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    gray = pack(tmp_path / "gray.zip", faces(10, channels=1))
    assert "gray" in fails("evaluate", run, "--data", gray)
    assert "denoiser" in fails("evaluate", run, "--data", gray, "--metric", "swd")


def test_denoise_cleans_a_folder_and_marks_what_it_wrote(run: Path, tmp_path: Path) -> None:
    clean = faces(6)
    spoilt = add_noise(clean, Noise("gaussian", 40, 40), seed=5)
    for index, image in enumerate(spoilt):
        write(tmp_path / "in" / f"{index}.png", image)
    (tmp_path / "in" / "7.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    assert main(["denoise", str(run), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    paths = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in paths] == [f"{index}.png" for index in range(6)]
    cleaned = np.stack([read_picture(path).transpose(2, 0, 1) for path in paths])
    before, after = (float(psnr(*_tensors(side, clean)).mean()) for side in (spoilt, cleaned))
    assert after > before + 4
    mark = verify(paths[0])
    assert mark is not None
    assert mark.source_type == SourceType.ENHANCED
    assert mark.model.startswith("noise2noise-")


def test_denoise_keeps_every_label(run: Path, data: Path, tmp_path: Path) -> None:
    assert main(["denoise", str(run), str(data), "--out", str(tmp_path / "out.zip")]) == 0
    before, after = PackReader(data), PackReader(tmp_path / "out.zip")
    assert (after.labels, after.class_names) == (before.labels, before.class_names)
    assert [record["labels"] for record in after.records] == [record["labels"] for record in before.records]


def test_another_size_is_refused_unless_any_will_do(
    run: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    write(tmp_path / "in/large.png", faces(1, 40)[0][:, :31])
    line = fails("denoise", run, tmp_path / "in", "--out", tmp_path / "out")
    assert "large.png (40x31)" in line
    assert "--any-size" in line
    assert not (tmp_path / "out").exists()
    taken = ["denoise", str(run), str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--any-size"]
    assert main(taken) == 0
    assert read_picture(tmp_path / "out/large.png").shape == (31, 40, 3)


def test_denoise_refuses_what_is_no_denoiser(tmp_path: Path, fails: Callable[..., str]) -> None:
    picture = write(tmp_path / "a.png", faces(1)[0])
    assert "nowhere" in fails("denoise", tmp_path / "nowhere", picture, "--out", tmp_path / "out")
    (tmp_path / "not.safetensors").write_bytes(b"no")
    assert "not.safetensors" in fails("denoise", tmp_path / "not.safetensors", picture, "--out", "out")


def test_large_pictures_in_tiles_are_the_same_as_whole() -> None:
    torch.manual_seed(0)
    network = Denoiser(Spec(16), width=6, levels=2, residual=False)
    images = torch.rand(2, 3, 150, 101) * 2 - 1

    def tiled(margin: int) -> torch.Tensor:
        with torch.no_grad():
            return in_tiles(network, images, side=48, margin=margin, step=network.step)

    with torch.no_grad():
        whole = network(images)
    assert torch.allclose(tiled(network.reach), whole, atol=1e-5)
    assert not torch.allclose(tiled(0), whole, atol=1e-3)


@pytest.mark.slow
def test_filters_are_at_their_best() -> None:
    """No setting tried by hand beats the chosen one on the pictures that it was chosen on."""
    import cv2

    clean = faces(12, 32)
    spoilt = add_noise(clean, Noise("gaussian", 25, 25))
    means, _ = filtered(spoilt, clean).values()
    best = float(psnr(*_tensors(means, clean)).mean())
    for h in (10, 20, 25, 30):
        tried = np.stack([cv2.fastNlMeansDenoising(image.transpose(1, 2, 0), None, h) for image in spoilt])
        assert float(psnr(*_tensors(tried.transpose(0, 3, 1, 2), clean)).mean()) < best + 0.05
    assert best > float(psnr(*_tensors(spoilt, clean)).mean()) + 5
    hit = add_noise(clean, Noise("impulse", 0.3, 0.3))
    means, median = filtered(hit, clean).values()
    assert psnr(*_tensors(median, clean)).mean() > psnr(*_tensors(means, clean)).mean() + 3


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
def test_figures_equal_their_definitions(channels: int) -> None:
    clean = faces(5, 32, channels)
    spoilt = add_noise(clean, Noise("gaussian", 20, 20))
    error = ((spoilt.astype(float) - clean) ** 2).mean(axis=(1, 2, 3))
    assert psnr(*_tensors(spoilt, clean)).numpy() == pytest.approx(10 * np.log10(255**2 / error), rel=1e-5)
    assert psnr(*_tensors(clean, clean)).tolist() == pytest.approx([100.0] * 5)

    class Brighter(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.there = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images + 2 / 127.5

    noisy, model, *_ = compare(Brighter(), spoilt, clean)
    ahead = psnr(*_tensors(apply_network(Brighter(), spoilt), clean)) - psnr(*_tensors(spoilt, clean))
    assert noisy.ahead == pytest.approx(float(ahead.mean()))
    assert noisy.give_or_take == pytest.approx(1.96 * float(ahead.numpy().std()) / 5**0.5, rel=1e-4)
    assert (model.ahead, model.give_or_take) == (0.0, 0.0)
    _, official = structural_similarity_index_measure(
        *(side.double() for side in _tensors(spoilt, clean)), data_range=255.0, return_full_image=True
    )
    inside = official[..., 5:-5, 5:-5]  # without the border that it mirrors
    assert noisy.ssim == pytest.approx(float(inside.mean()), abs=1e-5)


def test_pictures_too_small_for_a_window_have_no_similarity() -> None:
    clean = faces(3, 8)
    figures = compare(Denoiser(Spec(8), width=6, levels=2, residual=True), clean[:, :, ::-1].copy(), clean)
    assert [figure.ssim for figure in figures] == [None] * 4


def test_a_blind_model_is_tried_at_several_strengths() -> None:
    told = [one.low for one in trial_noises(Config(strength="0-50"))]
    assert told == [12.5, 25, 50]
    assert [one.low for one in trial_noises(Config(strength="30"))] == [30]
    assert trial_noises(Config(noise="pairs")) == []
    same = add_noise(faces(2), noise("text", "0.2"), seed=3)
    assert np.array_equal(same, add_noise(faces(2), noise("text", "0.2"), seed=3))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """The same clean pictures, noisy twice over."""
    clean = faces(40)
    for seed, side in enumerate(("one", "two")):
        for index, image in enumerate(add_noise(clean, Noise("gaussian", 30, 30), seed=seed)):
            write(tmp_path / "pairs" / side / f"{index:03d}.png", image)
    return tmp_path / "pairs"


@pytest.mark.slow
def test_ones_own_noisy_pairs_are_learnt_from(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = f"pairs:{pairs}?size={SIZE}"  # another size would smooth the noise
    run = train(source, tmp_path / "runs", noise="pairs")
    assert "learns one to two from 32 pairs; 8 kept out" in " ".join(capsys.readouterr().out.split())
    (found,) = lines(run)
    assert found["kept_out"]
    assert found["num_pictures"] == 8
    noisy, model = found["trials"][0]["figures"][:2]
    # Compared with a noisy picture: from 2 sigma^2 down to nearly sigma^2 is all that there is to gain.
    assert noisy["psnr"] == pytest.approx(10 * np.log10(255**2 / (2 * 30**2)), abs=0.5)
    assert noisy["psnr"] + 1.5 < model["psnr"] < noisy["psnr"] + 3.01
    assert "a perfect answer would have about 18." in found["notes"][0]
    network = load_network(run, "denoiser", torch.device("cpu")).network
    clean, unseen = faces(40), add_noise(faces(40), Noise("gaussian", 30, 30), seed=9)
    cleaned = apply_network(network, unseen)
    assert psnr(*_tensors(cleaned, clean)).mean() > psnr(*_tensors(unseen, clean)).mean() + 4
    assert main(["evaluate", str(run), "--data", source]) == 0
    assert lines(run)[-1] == found


def _unpaired(pairs: Path) -> str:
    (pairs / "one/003.png").unlink()
    (pairs / "two/005.png").unlink()
    return "one/005.png"


def _other_size(pairs: Path) -> str:
    write(pairs / "two/004.png", faces(1, 30)[0])
    return "one/004.png"


def _gray(pairs: Path) -> str:
    write(pairs / "two/004.png", faces(1, channels=1)[0])
    return "one/004.png"


def _empty(pairs: Path) -> str:
    for path in (pairs / "two").iterdir():
        path.unlink()
    return "two"


@pytest.mark.parametrize("spoil_it", [_unpaired, _other_size, _gray, _empty])
def test_pairs_that_are_none_are_named(
    pairs: Path, tmp_path: Path, fails: Callable[..., str], spoil_it: Callable[[Path], str]
) -> None:
    named = spoil_it(pairs)
    line = fails("train", pairs, *SMALL, "--set", "noise=pairs", "--out", tmp_path / "runs")
    assert named in line
    assert not (tmp_path / "runs").exists()


def test_bad_numbers_are_named(data: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    out = ("--out", tmp_path / "runs")
    assert "strength" in fails("train", data, *SMALL, "--set", "strength=loud", *out)
    line = fails("train", data, *SMALL, "--set", "noise=text", "--set", "strength=25", *out)
    assert "from 0 to 0.9" in line
    assert "these are no pairs" in fails("train", data, *SMALL, "--set", "noise=pairs", *out)
    assert not (tmp_path / "runs").exists()


def _tensors(*sides: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(side)) for side in sides]


def test_what_files_hold_is_cut_and_rounded() -> None:
    white = np.full((4, 3, 32, 32), 255, np.uint8)
    spoilt = add_noise(white, Noise("gaussian", 20, 20))
    assert spoilt.dtype == np.uint8
    amiss = float(to_float(torch.from_numpy(spoilt)).mean()) - 1
    assert amiss * 127.5 == pytest.approx(-20 / (2 * np.pi) ** 0.5, abs=0.3)  # the mean of a halved normal

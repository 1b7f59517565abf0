"""What `mien train` makes of its options, and runs that stop while their model grows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.cli import main
from mien.core.checkpoint import read_header
from mien.core.errors import InputError
from mien.core.run import find_runs
from mien.core.types import Spec
from mien.datasets.stored import StoredDataset
from mien.models import stylegan2
from mien.training.command import TrainOptions
from mien.training.plan import Plan, doubts, make_plan
from mien.training.settings import resolve_config


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "faces").mkdir()
    for number in range(24):
        coarse = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((16, 16)).save(tmp_path / "faces" / f"{number:03d}.png")
    return tmp_path / "faces"


def plan(faces: Path, **options: object) -> Plan:
    return make_plan(str(faces), TrainOptions(device="cpu", **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "asked", "taken"),
    [
        *[
            ("lite", "auto", "ada"),
            ("lite", "none", "none"),
            ("stylegan1", "auto", "none"),
            ("r3gan", "auto", "ramp"),
        ],
        *[("dense", "auto", "ramp"), ("dense", "none", "none"), ("lite", "ada", "ada")],
    ],
)
def test_a_family_has_an_augmentation_of_its_own(faces: Path, model: str, asked: str, taken: str) -> None:
    assert plan(faces, model=model, augment=asked).options.augment == taken


def test_lite_disturbs_where_pictures_are_few(monkeypatch: pytest.MonkeyPatch, faces: Path) -> None:
    """With a rate of its own; where there are enough, and for others, all is as it was."""
    few = plan(faces, model="lite").options
    assert (few.augment, few.augment_kimg) == ("ada", 100.0)
    assert plan(faces, model="lite", augment_kimg=300.0).options.augment_kimg == 300.0
    assert plan(faces, model="stylegan2", augment="ada").options.augment_kimg == 500.0
    monkeypatch.setattr("mien.models.lite.AUGMENT_UNDER", 1)
    enough = plan(faces, model="lite").options
    assert (enough.augment, enough.augment_kimg) == ("none", 500.0)


def test_what_auto_stands_for_is_the_same_run(faces: Path) -> None:
    assert plan(faces, model="dense").identity() == plan(faces, model="dense", augment="ramp").identity()
    assert plan(faces, model="dense").identity() != plan(faces, model="dense", augment="none").identity()


def test_parts_of_a_batch_make_another_run_only_when_asked_for(faces: Path) -> None:
    """Rounding differs with the parts; runs from before there were any keep their identity."""
    assert plan(faces, micro_batch=4).identity() != plan(faces).identity()
    assert "micro_batch" not in plan(faces).options.model_dump(exclude_none=True)


def test_defaults_are_written_like_the_values_read_back() -> None:
    """An identity hashes JSON, where 500 and 500.0 differ: a resumed run would not know itself."""
    for name, field in TrainOptions.model_fields.items():
        if "float" in str(field.annotation) and field.default is not None:
            assert isinstance(field.default, float), name


@pytest.mark.slow
def test_a_growing_run_stops_goes_on_and_draws_what_it_has_become(faces: Path, tmp_path: Path) -> None:
    """At 1 kimg its pictures are 8 px, enlarged; at 2 kimg they have grown to 16."""
    small = {
        "batch_base": 400,
        "batch_min": 25,
        "stable_nimg": 1200,
        "fade_nimg": 500,
        "z_dim": 8,
        "w_dim": 8,
    }
    small |= {"mapping_layers": 2, "channel_base": 64, "channel_max": 8, "embed_layers": 2}
    settings = [part for name, value in small.items() for part in ("--set", f"{name}={value}")]
    command = ["train", str(faces), "--model", "stylegan1", *settings, "--precision", "fp32"]
    pictures = []
    for kimg in ("1", "2"):
        assert main([*command, "--kimg", kimg, "--snapshot-kimg", "1", "--device", "cpu"]) == 0
        (run,) = find_runs(Path("runs"))
        assert read_header(run.path / f"generator-00000{kimg}.safetensors").nimg >= int(kimg) * 1000
        assert main(["generate", str(run.path), "--seeds", "0", "--out", f"out{kimg}"]) == 0
        (path,) = Path(f"out{kimg}").glob("seed*.png")
        pictures.append(np.asarray(Image.open(path)))
    coarse = [np.array_equal(p[::2, ::2].repeat(2, axis=0).repeat(2, axis=1), p) for p in pictures]
    assert coarse == [True, False]


def test_none_is_a_value_where_a_number_may_be_left_out() -> None:
    """A run of stylegan2 could not be resumed: its config says gamma: none."""
    config = resolve_config(stylegan2, "stylegan2", "default", ("ema_ramp=none", "gamma=None"))
    assert (config.ema_ramp, config.gamma) == (None, None)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="batch_size=none"):
        resolve_config(stylegan2, "stylegan2", "default", ("batch_size=none",))


@pytest.mark.parametrize(
    ("images", "classes", "notes"),
    [
        (1, (), ["one picture is all there is"]),
        (5, (), []),
        (5, (0, 0, 1, 1, 1), []),
        (5, (0, 1, 1, 1, 3), ["classes of a single picture: a, d", "classes of no picture: c"]),
        (0, (), ["all the same", "one colour each"]),
    ],
)
def test_data_from_which_little_can_be_learnt_is_noted(
    images: int, classes: tuple[int, ...], notes: list[str]
) -> None:
    """images: how many that differ; 0: four gray ones."""
    pixels = np.random.default_rng(0).integers(0, 255, (images, 3, 8, 8), dtype=np.uint8)
    pixels = pixels if images else np.full((4, 3, 8, 8), 9, np.uint8)
    names = ("a", "b", "c", "d") if classes and max(classes) > 1 else ("a", "b") if classes else ()
    labels = np.eye(len(names), dtype=np.float32)[list(classes)] if classes else None
    spec = Spec(8, 3, len(names), names)
    told = doubts(StoredDataset("x", spec, "", labels, [{}] * len(pixels), pixels))
    assert len(told) == len(notes)
    assert all(note in line for note, line in zip(notes, told, strict=True))

"""Every family keeps the contract, and no family is left out."""

import numpy as np
import pytest

from contracts.family_contract import FamilyContract, TrainableContract
from mien.core import discover
from mien.core.family import GENERATOR, identity_of, kind_of
from mien.core.types import Spec
from mien.core.views import View
from mien.models import lite
from mien.nn.strided import Generator
from pictures import ArrayDataset


class TestDcgan(FamilyContract):
    family = "dcgan"
    small = {"batch_size": 8, "z_dim": 8, "width_g": 4, "width_d": 4, "ema_half_life_nimg": 50}  # noqa: RUF012


class TestLite(FamilyContract):
    family = "lite"
    small = {"batch_size": 8, "z_dim": 8, "width_g": 4, "width_d": 4, "penalty_interval": 2}  # noqa: RUF012


class TestLiteModulated(FamilyContract):
    family = "lite"
    small = {**TestLite.small, "mapping_layers": 2, "w_dim": 16}  # noqa: RUF012


class TestLiteAtFullResolution(FamilyContract):
    family = "lite"
    small = {**TestLiteModulated.small, "full_resolution": True}  # noqa: RUF012


class TestStyleGan2(FamilyContract):
    family = "stylegan2"
    small = {  # noqa: RUF012
        **{"batch_size": 8, "z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 8},
        **{"r1_interval": 2, "path_interval": 2, "embed_layers": 2},
    }


class TestStyleGan1(FamilyContract):
    """Of its steps at 16 px, two see pictures of 8 px, one a fading picture with a smaller batch."""

    family = "stylegan1"
    small = {  # noqa: RUF012
        **{"batch_base": 128, "batch_min": 4, "stable_nimg": 16, "fade_nimg": 24, "z_dim": 8, "w_dim": 8},
        **{"mapping_layers": 2, "channel_base": 64, "channel_max": 8, "embed_layers": 2},
    }


class TestR3gan(FamilyContract):
    family = "r3gan"
    small = {"batch_size": 8, "z_dim": 8, "channel_base": 128, "channel_max": 8, "blocks": 1}  # noqa: RUF012


class TestDense(FamilyContract):
    family = "dense"
    small = {"batch_size": 8, "z_dim": 8, "channel_base": 128, "channel_max": 8}  # noqa: RUF012


class TestAttributes(TrainableContract):
    family = "attributes"
    small = {"batch_size": 8, "width": 4, "ema_half_life_nimg": 50}  # noqa: RUF012
    least = Spec(8, 3, 1, ("red",))

    @pytest.fixture(params=[(16, 3), (8, 1)], ids=["rgb", "gray"])
    def dataset(self, request: pytest.FixtureRequest) -> View:
        """Labels of every kind, some of them not known."""
        resolution, channels = request.param
        base = ArrayDataset(resolution=resolution, channels=channels)
        rng = np.random.default_rng(0)
        hot = np.eye(2)[rng.integers(0, 2, len(base))]
        rows = np.column_stack([rng.integers(0, 2, len(base)), hot, rng.normal(size=len(base))])
        rows[::5, 0] = rows[1::7, 3] = np.nan
        rows[2::6, 1:3] = np.nan
        names = ("red", "hue=warm", "hue=cold", "age:number")
        return View(base, np.arange(len(base)), labels=rows.astype(np.float32), class_names=names)


class TestDetector(TrainableContract):
    family = "detector"
    small = {"batch_size": 8, "width": 4, "traces_width": 4, "ema_half_life_nimg": 50}  # noqa: RUF012
    least = Spec(8, 3, 1, ("synthetic",))

    @pytest.fixture(params=[(16, 3), (8, 1)], ids=["rgb", "gray"])
    def dataset(self, request: pytest.FixtureRequest) -> View:
        resolution, channels = request.param
        base = ArrayDataset(resolution=resolution, channels=channels)
        rows = (np.arange(len(base)) % 2).astype(np.float32)[:, None]
        return View(base, np.arange(len(base)), labels=rows, class_names=("synthetic",))


class _Sided(TrainableContract):
    """Pictures with others: their partners, or those of another domain."""

    @pytest.fixture(params=[(32, 3), (16, 1)], ids=["rgb", "gray"])
    def dataset(self, request: pytest.FixtureRequest) -> ArrayDataset:
        resolution, channels = request.param
        return ArrayDataset(resolution=resolution, channels=channels)

    def others(self, dataset: ArrayDataset) -> ArrayDataset:
        count = 48 if self.aligned else 31
        return ArrayDataset(count, resolution=dataset.spec.resolution, channels=dataset.spec.channels, seed=3)


class TestSimGan(_Sided):
    """Of ten steps, four are pretraining; the history is partly filled where the run is stopped."""

    family = "simgan"
    small = {  # noqa: RUF012
        **{"batch_size": 4, "width": 8, "blocks": 1, "width_d": 6, "pretrain_r": 1, "pretrain_d": 1},
        **{"history": 12, "style": 2, "stddev_group": 2, "ema_half_life_nimg": 50},
    }
    aligned = False


class TestNoise2Noise(TrainableContract):
    family = "noise2noise"
    small = {"batch_size": 8, "width": 6, "levels": 2, "ema_half_life_nimg": 50}  # noqa: RUF012


class TestNoise2NoiseOfText(TestNoise2Noise):
    """Its noise is drawn with numpy and OpenCV, from a seed of the batch's."""

    small = {**TestNoise2Noise.small, "noise": "text", "strength": "0.1-0.4"}  # noqa: RUF012


class TestNoise2NoiseOfPairs(_Sided):
    family = "noise2noise"
    small = {**TestNoise2Noise.small, "noise": "pairs", "crop": 16}  # noqa: RUF012


class TestPix2Pix(_Sided):
    family = "pix2pix"
    least = Spec(64)
    small = {"batch_size": 8, "width": 4, "width_d": 4, "d_layers": 2, "ema_half_life_nimg": 50}  # noqa: RUF012


class TestPix2PixOtherwise(_Sided):
    """Its other loss and norm, edges and the perceptual term."""

    family = "pix2pix"
    least = Spec(64)
    small = {  # noqa: RUF012
        **{"batch_size": 4, "width": 4, "width_d": 4, "d_layers": 1, "loss": "relativistic"},
        **{"norm": "instance", "edges": True, "perceptual": 1.0, "noise_at_test": True},
    }


def _covered() -> set[str]:
    bases = (TrainableContract, FamilyContract, *TrainableContract.__subclasses__())
    tests = [test for base in bases for test in base.__subclasses__()]
    return {test.family for test in tests if hasattr(test, "family")}  # the bases themselves have none


# A family without a test of its own is tried as its preset "tiny".
for _name in sorted(set(discover.names("mien.models")) - _covered()):
    _module = discover.load("mien.models", _name)
    assert "tiny" in _module.PRESETS, f"models/{_name}.py: PRESETS lacks 'tiny', which tests use"
    _contract = FamilyContract if kind_of(_module) == GENERATOR else TrainableContract
    _small = {"family": _name, "small": _module.PRESETS["tiny"].model_dump()}
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (_contract,), _small)


def test_no_family_without_contract() -> None:
    assert _covered() == set(discover.names("mien.models"))


def test_numbers_that_came_later_leave_old_runs_what_they_were() -> None:
    """A run of 0.1 is found by its identity, and its generator built, without fields that it never knew."""
    module = discover.load("mien.models", "lite")
    plain, new = module.PRESETS["plain"], module.PRESETS["default"]
    assert "mapping_layers" not in identity_of(plain)
    assert identity_of(new)["mapping_layers"] == 2
    stored = {name: value for name, value in plain.model_dump().items() if name in identity_of(plain)}
    assert isinstance(module.build_generator(module.Config(**stored), Spec(16)), Generator)


def test_presets_with_a_w_draw_from_features_at_the_pictures_size() -> None:
    half = lite.PRESETS["quick"].model_copy(update={"full_resolution": False})
    configs = {"quick": lite.PRESETS["quick"], "default": lite.PRESETS["default"], "half": half}
    networks = {name: lite.build_generator(config, Spec(64)) for name, config in configs.items()}
    shapes = {
        name: {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
        for name, network in networks.items()
    }
    assert shapes["quick"]["to_pixels.weight"] == (3, 16, 3, 3)
    assert shapes["quick"]["ups.3.weight"] == (16, 32, 3, 3)
    assert shapes["default"]["to_pixels.weight"] == (3, 24, 3, 3)
    assert shapes["default"]["ups.3.weight"] == (24, 48, 3, 3)
    assert shapes["half"]["to_image.weight"] == (3, 32, 3, 3)
    assert "ups.3.weight" not in shapes["half"]

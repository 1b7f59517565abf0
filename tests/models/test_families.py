"""Every family keeps the contract, and no family is left out."""

from contracts.family_contract import FamilyContract
from mien.core import discover


class TestDcgan(FamilyContract):
    family = "dcgan"
    small = {"batch_size": 8, "z_dim": 8, "width_g": 4, "width_d": 4, "ema_half_life_nimg": 50}  # noqa: RUF012


class TestLite(FamilyContract):
    family = "lite"
    small = {"batch_size": 8, "z_dim": 8, "width_g": 4, "width_d": 4, "penalty_interval": 2}  # noqa: RUF012


class TestStyleGan2(FamilyContract):
    family = "stylegan2"
    small = {  # noqa: RUF012
        **{"batch_size": 8, "z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 8},
        **{"r1_interval": 2, "path_interval": 2, "embed_layers": 2},
    }


def test_no_family_without_contract() -> None:
    covered = {test.family for test in FamilyContract.__subclasses__()}
    assert covered == set(discover.names("mien.models"))

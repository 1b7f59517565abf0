"""State dicts of lite's networks, as other code saves them: all sizes come from the tensors alone."""

import pickle

import pytest
import torch

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop.import_ import read_pair
from mien.models import lite

pytestmark = pytest.mark.usefixtures("warm_sandbox")

LABELS = ("a", "b", "c")
CONFIGS = {
    "mapped": lite.Config(mapping_layers=2, w_dim=24, z_dim=20, width_g=8, width_d=6, max_width=16),
    "full": lite.Config(mapping_layers=1, w_dim=9, z_dim=20, width_g=8, full_resolution=True, width_d=6),
    "plain": lite.Config(mapping_layers=0, z_dim=12, width_g=4, width_d=4, stddev_group=1),
}
SPECS = {"labels": Spec(16, 3, 3, LABELS), "gray": Spec(32, 1, 0, ())}


def networks(config, spec):
    torch.manual_seed(0)
    return lite.build(CONFIGS[config], SPECS[spec]).networks


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("config", CONFIGS)
def test_both_networks_come_with_their_sizes(tmp_path, config, spec):
    own = networks(config, spec)
    wrapped = {f"module.{name}": tensor for name, tensor in own["g"].state_dict().items()}
    torch.save({"netG": wrapped, "netD": own["d"].state_dict(), "epoch": 3}, tmp_path / "both.pth")
    pair = read_pair(tmp_path / "both.pth")
    assert (pair.family, pair.spec.resolution, pair.spec.channels) == ("lite", *_drawn(SPECS[spec]))
    assert pair.spec.label_dim == SPECS[spec].label_dim
    read = lite.Config(**pair.header.config)
    assert all(getattr(read, name) == getattr(CONFIGS[config], name) for name in pair.numbers)
    assert {"z_dim", "width_g", "width_d", "mapping_layers"} <= pair.numbers.keys()
    for name, weights in (("g", pair.g), ("d", pair.d)):
        again = lite.build(read, pair.spec).networks[name]
        again.load_state_dict(weights)
        assert all(torch.equal(weights[key], tensor) for key, tensor in own[name].state_dict().items())


def _drawn(spec):
    return spec.resolution, spec.channels


@pytest.mark.slow
@pytest.mark.parametrize("form", ["bare.pt", "wrapped.pt", "arrays.pkl"])
def test_a_generator_alone_is_read_however_it_was_saved(tmp_path, form):
    weights = networks("mapped", "gray")["g"].state_dict()
    path = tmp_path / form
    if form == "arrays.pkl":
        path.write_bytes(pickle.dumps({name: tensor.numpy() for name, tensor in weights.items()}))
    else:
        torch.save(weights if form == "bare.pt" else {"state_dict": weights, "loss": 0.5}, path)
    pair = read_pair(path)
    assert pair.d is None
    assert pair.header.config["w_dim"] == 24
    assert torch.equal(pair.g["ups.0.weight"], weights["ups.0.weight"])


@pytest.mark.slow
def test_a_missing_embedding_of_labels_is_named(tmp_path):
    """Without it the generator reads as one of twice as many numbers, and who made it must hear so."""
    nets = lite.build(lite.Config(mapping_layers=0, width_g=4, width_d=4), SPECS["labels"]).networks
    whole = {name: dict(net.state_dict()) for name, net in nets.items()}
    for name, weights in whole.items():
        cut = {key: tensor for key, tensor in weights.items() if not key.startswith("embed.")}
        torch.save({**whole, name: cut}, tmp_path / f"without-{name}.pt")
    notes = read_pair(tmp_path / "without-g.pt").notes
    assert (
        "its embed.weight is missing, if it was made with labels (--cond, c_dim): read as z_dim=200" in notes
    )
    assert "its discriminator cannot be used (it takes 3 labels and its generator 0)" in notes
    (note,) = read_pair(tmp_path / "without-d.pt").notes
    assert "its embed.weight is missing, and it was made with labels (--cond)" in note
    torch.save(whole, tmp_path / "both.pt")
    assert read_pair(tmp_path / "both.pt").notes == ()


def test_a_discriminator_alone_is_refused_in_words(tmp_path):
    weights = networks("plain", "gray")["d"].state_dict()
    for name, content in (("bare.pt", weights), ("wrapped.pt", {"D": weights})):
        torch.save(content, tmp_path / name)
        with pytest.raises(InputError, match=f"{name}: it holds a discriminator alone, .*--network D"):
            read_pair(tmp_path / name)


@pytest.mark.slow
def test_what_is_missing_is_named(tmp_path):
    weights = dict(networks("mapped", "gray")["g"].state_dict())
    del weights["styles.1.bias"]
    torch.save(weights, tmp_path / "cut.pt")
    expected = (
        r"cut\.pt: it is no lite network that mien knows: 1 of its [0-9]+ tensors are missing; it was cut"
    )
    with pytest.raises(InputError, match=expected):
        read_pair(tmp_path / "cut.pt")

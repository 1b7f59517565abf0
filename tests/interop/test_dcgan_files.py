"""The DCGAN of PyTorch's tutorial, as its checkpoints come: the same pictures, the same scores."""

import pytest
import torch
from torch import nn

from mien.core.errors import InputError
from mien.core.types import Spec
from mien.interop.import_ import read_pair
from mien.models import dcgan

pytestmark = pytest.mark.usefixtures("warm_sandbox")


class Layers(nn.Module):
    """The tutorial's module: everything in one sequence."""

    def __init__(self, *layers):
        super().__init__()
        self.main = nn.Sequential(*layers)
        for layer in layers:
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.running_mean)
                nn.init.uniform_(layer.running_var, 0.5, 2)


def tutorial(width=6, colours=3, z=10):
    torch.manual_seed(0)
    up = [nn.ConvTranspose2d(z, 2 * width, 4, 1, 0, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(True)]
    up += [nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)]
    up += [nn.ConvTranspose2d(width, colours, 4, 2, 1, bias=False), nn.Tanh()]
    down = [nn.Conv2d(colours, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    down += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
    down += [nn.Conv2d(2 * width, 1, 4, 1, 0, bias=False)]
    return Layers(*up).eval(), Layers(*down).eval()


@pytest.mark.parametrize(("names", "colours"), [(("netG_state_dict", "netD_state_dict"), 3), (("G", "D"), 1)])
def test_both_networks_give_what_theirs_give(tmp_path, names, colours):
    g, d = tutorial(colours=colours)
    states = {name: net.state_dict() for name, net in zip(names, (g, d), strict=True)}
    torch.save({**states, "epoch": 3}, tmp_path / "weights.tar")
    pair = read_pair(tmp_path / "weights.tar")
    assert (pair.family, pair.spec, pair.notes) == ("dcgan", Spec(16, colours), ())
    config = dcgan.Config(**pair.header.config)
    ours = dcgan.build(config, pair.spec).networks
    for name, weights in (("g", pair.g), ("d", pair.d)):
        ours[name].load_state_dict(weights)
        ours[name].eval()
    z = torch.randn(4, 10)
    with torch.no_grad():
        pictures = g.main(z[:, :, None, None])
        assert torch.allclose(ours["g"](z), pictures, atol=1e-6)
        assert torch.allclose(ours["d"](pictures), d.main(pictures).flatten(), atol=1e-5)


def test_one_alone_is_told_from_the_other(tmp_path):
    for name, network in zip(("g", "d"), tutorial(), strict=True):
        wrapped = {f"module.{key}": tensor for key, tensor in network.state_dict().items()}
        torch.save(wrapped, tmp_path / f"{name}.pth")
    assert read_pair(tmp_path / "g.pth").header.config["width_g"] == 6
    with pytest.raises(InputError, match="it holds a discriminator alone"):
        read_pair(tmp_path / "d.pth")


def test_other_layers_under_these_names_are_refused(tmp_path):
    g, _ = tutorial()
    state = dict(g.state_dict())
    del state["main.4.running_var"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(InputError, match=r"cut.pth: it is no dcgan network that mien knows: 1 of its"):
        read_pair(tmp_path / "cut.pth")
    torch.save({f"main.{place}.weight": torch.zeros(3, 4) for place in range(3)}, tmp_path / "flat.pth")
    with pytest.raises(InputError, match=r"flat.pth: it is no"):
        read_pair(tmp_path / "flat.pth")

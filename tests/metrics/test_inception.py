"""Our InceptionV3: its size, its keys, its pools; weights only from a state dict that fits."""

import pytest
import safetensors.torch
import torch

from contracts.metric_contract import smooth_pictures
from mien.core import artefacts
from mien.core.errors import InputError, MienError
from mien.metrics.features import inception
from mien.metrics.features.inception import InceptionFeatures, InceptionV3, read_state


@pytest.fixture(scope="module")
def state():
    """Weights of a plausible scale under the well-known keys, `fc` included, as the file has them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        full = InceptionV3().state_dict()
    kept = {key: value for key, value in full.items() if not key.endswith("num_batches_tracked")}
    return {**kept, "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


def test_it_has_the_published_number_of_parameters_and_layers():
    net = InceptionV3()
    # 23,834,568 of the original without its auxiliary head, less the classifier's 2048 x 1000 + 1000.
    assert sum(parameter.numel() for parameter in net.parameters()) == 23_834_568 - 2_049_000
    assert sum(isinstance(module, torch.nn.Conv2d) for module in net.modules()) == 94


def test_keys_are_the_well_known_ones(state):
    for key, shape in {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5d.branch_pool.conv.weight": (64, 288, 1, 1),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6c.branch7x7_2.conv.weight": (160, 160, 1, 7),
        "Mixed_6c.branch7x7dbl_2.conv.weight": (160, 160, 7, 1),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch_pool.bn.weight": (192,),
    }.items():
        assert tuple(state[key].shape) == shape, key
    assert len(state) == 94 * 5 + 2


@pytest.mark.slow
def test_features_are_2048_and_do_not_depend_on_batches(state):
    network = InceptionFeatures(state)
    pictures = smooth_pictures(3, seed=0)
    whole = network.features(pictures)
    assert whole.shape == (3, 2048)
    single = network.features(pictures[1:2])
    assert abs(whole[1] - single[0]).max() < 1e-4 * abs(whole).max() + 1e-6
    assert abs(whole[0] - whole[1]).max() > 0
    assert len(network.hash) == 64


@pytest.mark.slow
def test_the_file_that_the_user_added_is_used(state, tmp_path, monkeypatch):
    """And none is asked of the network: without one it says how to add it."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MienError, match="mien artefacts add inception FILE"):
        inception.build()
    file = tmp_path / "inception.safetensors"
    safetensors.torch.save_file(state, file)
    artefacts.add("inception", file)
    pictures = smooth_pictures(2, seed=0)
    built, given = inception.build(), InceptionFeatures(state)
    assert built.hash == given.hash
    assert (built.features(pictures) == given.features(pictures)).all()


def test_average_pools_leave_padding_out_and_the_last_block_takes_the_maximum():
    ones = torch.ones(1, 1, 4, 4)
    assert torch.equal(inception._average(ones), ones)
    net = InceptionV3()
    assert (net.Mixed_7b._pool, net.Mixed_7c._pool) == ("average", "maximum")


def test_spatial_sizes_are_the_papers():
    net = InceptionV3().eval()
    sizes = {}
    for name in ("Conv2d_2b_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"):
        module = getattr(net, name)
        module.register_forward_hook(lambda _, __, out, name=name: sizes.update({name: tuple(out.shape[1:])}))
    with torch.inference_mode():
        net(torch.zeros(1, 3, 299, 299))
    assert sizes == {
        "Conv2d_2b_3x3": (64, 147, 147),
        "Mixed_5d": (288, 35, 35),
        "Mixed_6e": (768, 17, 17),
        "Mixed_7c": (2048, 8, 8),
    }


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda s: s.pop("Mixed_6a.branch3x3.conv.weight"), "lacks Mixed_6a.branch3x3.conv.weight"),
        (lambda s: s.update({"AuxLogits.fc.weight": torch.zeros(1)}), "holds unknown AuxLogits.fc.weight"),
        (lambda s: s.update({"Conv2d_1a_3x3.bn.bias": torch.zeros(3)}), r"has shape \[3\], not \[32\]"),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(state, change, complaint):
    other = dict(state)
    change(other)
    with pytest.raises(InputError, match=complaint) as caught:
        InceptionFeatures(other)
    assert "mien artefacts add inception FILE" in str(caught.value)


def test_weights_are_read_without_executing_anything(state, tmp_path):
    small = {"Conv2d_1a_3x3.conv.weight": state["Conv2d_1a_3x3.conv.weight"]}
    torch.save(small, tmp_path / "state.pt")
    safetensors.torch.save_file(small, tmp_path / "state.safetensors")
    for name in ("state.pt", "state.safetensors"):
        read = read_state(tmp_path / name)
        assert all(torch.equal(read[key], value) for key, value in small.items())
    torch.save(InceptionV3, tmp_path / "code.pt")
    (tmp_path / "noise.pt").write_bytes(b"not weights")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("code.pt", "noise.pt", "list.pt"):
        with pytest.raises(InputError, match=name):
            read_state(tmp_path / name)


def test_without_the_artefact_the_error_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    with pytest.raises(MienError, match="mien artefacts add inception FILE"):
        InceptionFeatures.from_artefact()

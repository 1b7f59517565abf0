"""EfficientNet-Lite0 against its layers one by one, with batch norms not folded."""

import numpy as np
import pytest
import torch
from plain import convolve, depthwise, doubles

from mien.nn.efficientnet_lite import DIMS, EfficientNetLite0

# kernel, stride, channels within, channels out: the published network block by block
BLOCKS = [
    *((3, 1, 32, 16), (3, 2, 96, 24), (3, 1, 144, 24), (5, 2, 144, 40), (5, 1, 240, 40), (3, 2, 240, 80)),
    *((3, 1, 480, 80), (3, 1, 480, 80), (5, 1, 480, 112), (5, 1, 672, 112), (5, 1, 672, 112)),
    *((5, 2, 672, 192), (5, 1, 1152, 192), (5, 1, 1152, 192), (5, 1, 1152, 192), (3, 1, 1152, 320)),
]


def random_weights():
    generator = torch.Generator().manual_seed(0)
    tensors = {}

    def layer(convolution, norm, *shape):
        fan = shape[1] * shape[2] * shape[3]
        tensors[f"{convolution}.weight"] = torch.randn(shape, generator=generator) * (2 / fan) ** 0.5
        for part, low, high in (("weight", 0.5, 1.5), ("bias", 0, 1), ("running_mean", -0.3, 0.3)):
            tensors[f"{norm}.{part}"] = low + (high - low) * torch.rand(shape[0], generator=generator)
        tensors[f"{norm}.running_var"] = 0.4 + torch.rand(shape[0], generator=generator)

    layer("_conv_stem", "_bn0", 32, 3, 3, 3)
    channels = 32
    for index, (kernel, _, inner, outer) in enumerate(BLOCKS):
        at = f"_blocks.{index}."
        if index:
            layer(f"{at}_expand_conv", f"{at}_bn0", inner, channels, 1, 1)
        layer(f"{at}_depthwise_conv", f"{at}_bn1", inner, 1, kernel, kernel)
        layer(f"{at}_project_conv", f"{at}_bn2", outer, inner, 1, 1)
        channels = outer
    layer("_conv_head", "_bn1", DIMS, 320, 1, 1)
    return tensors


def plain_features(x, w):
    def norm(x, name):
        scale = w[f"{name}.weight"] / np.sqrt(w[f"{name}.running_var"] + 0.001)
        return (x - w[f"{name}.running_mean"][:, None, None]) * scale[:, None, None] + w[f"{name}.bias"][
            :, None, None
        ]

    def same(side, kernel, stride):
        if stride == 1:
            return (kernel // 2, kernel // 2)
        total = max((-(-side // 2) - 1) * 2 + kernel - side, 0)
        return (total // 2, total - total // 2)

    six = lambda x: np.clip(x, 0, 6)  # noqa: E731
    weight = w["_conv_stem.weight"]
    x = six(norm(convolve(x, weight, stride=2, padding=same(x.shape[1], 3, 2)), "_bn0"))
    for index, (kernel, stride, _, _) in enumerate(BLOCKS):
        at = f"_blocks.{index}."
        y = six(norm(convolve(x, w[f"{at}_expand_conv.weight"]), f"{at}_bn0")) if index else x
        how = {"stride": stride, "padding": same(x.shape[1], kernel, stride)}
        y = six(norm(depthwise(y, w[f"{at}_depthwise_conv.weight"], **how), f"{at}_bn1"))
        y = norm(convolve(y, w[f"{at}_project_conv.weight"]), f"{at}_bn2")
        x = x + y if y.shape == x.shape else y
    return six(norm(convolve(x, w["_conv_head.weight"]), "_bn1")).mean((1, 2))


@pytest.mark.parametrize("side", [64, 45])
@pytest.mark.parametrize("weights", ["random", "published"])
def test_it_computes_what_its_layers_do_one_by_one(weights, side, published, noise):
    tensors = random_weights() if weights == "random" else published("efficientnet-lite0")
    net = EfficientNetLite0()
    net.load_published(tensors)
    x = noise(2, side)
    found = net(x)
    expected = np.stack([plain_features(one.double().numpy(), doubles(tensors)) for one in x])
    assert found.shape == (2, 1280)
    assert expected.std(0).max() > 1e-3, "two pictures must differ"
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4 * expected.max())
    np.testing.assert_allclose(net(x[1:]).numpy(), expected[1:], rtol=1e-3, atol=1e-4 * expected.max())


def test_gradients_reach_the_picture_and_no_weight(noise):
    net = EfficientNetLite0()
    net.load_published(random_weights())
    x = noise(1, 64).requires_grad_()
    net(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(not parameter.requires_grad for parameter in net.parameters())


def test_portraits_of_politicians_wear_suits_and_ties(published, shared_data):
    from PIL import Image

    tensors = published("efficientnet-lite0")
    net = EfficientNetLite0()
    net.load_published(tensors)
    pictures = []
    for file in sorted((shared_data / "official").glob("*.jpg"))[:8]:
        with Image.open(file, formats=["JPEG"]) as image:
            side = min(image.size)
            square = (
                image.convert("RGB").crop((0, 0, side, side)).resize((224, 224), Image.Resampling.BICUBIC)
            )
        pictures.append(np.asarray(square))
    x = (torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) - 127.0) / 128
    logits = net(x) @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    suit, windsor_tie = 834, 906  # of ImageNet's thousand classes
    assert set(logits.softmax(1).mean(0).topk(2).indices.tolist()) == {suit, windsor_tie}

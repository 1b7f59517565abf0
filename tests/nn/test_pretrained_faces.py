"""The identity and the expression network against their layers one by one."""

import numpy as np
import torch
from plain import convolve, depthwise, pool, relu

from mien.nn.expression_net import MEAN, ExpressionNet
from mien.nn.face_resnet import FaceResNet

# channels and whether the block halves the picture: dlib's anet_type from the input on
BLOCKS = [
    *[(32, False)] * 3,
    *[(64, True), *[(64, False)] * 3],
    *[(128, True), *[(128, False)] * 2],
    *[(256, True), *[(256, False)] * 2],
    (256, True),
]


def identity_weights(rng):
    w = {}
    shapes = [(32, 3, 7)]
    inner = 32
    for width, _ in BLOCKS:
        shapes += [(width, inner, 3), (width, width, 3)]
        inner = width
    for index, (wide, within, side) in enumerate(shapes):
        fan = within * side**2
        w[f"units.{index}.weight"] = rng.normal(size=(wide, within, side, side)) / fan**0.5
        w[f"units.{index}.bias"] = rng.normal(size=wide) * 0.1
        w[f"units.{index}.gain"] = rng.uniform(0.5, 1.2, wide)
        w[f"units.{index}.shift"] = rng.normal(size=wide) * 0.1
    w["embedding"] = rng.normal(size=(256, 128)) / 16
    return {name: array.astype(np.float32) for name, array in w.items()}


def plain_identity(x, w):
    def unit(x, i, **how):
        x = convolve(x, w[f"units.{i}.weight"], w[f"units.{i}.bias"], **how)
        return x * w[f"units.{i}.gain"][:, None, None] + w[f"units.{i}.shift"][:, None, None]

    x = (x - np.array([122.782, 117.001, 104.298])[:, None, None]) / 256
    x = pool(relu(unit(x, 0, stride=2)), 3, 2, np.max)
    sides = [x.shape[1]]
    for block, (width, halves) in enumerate(BLOCKS):
        how = {"stride": 2} if halves else {"padding": (1, 1)}
        branch = unit(relu(unit(x, 2 * block + 1, **how)), 2 * block + 2, padding=(1, 1))
        shortcut = pool(x, 2, 2, np.mean) if halves else x
        side = max(branch.shape[1], shortcut.shape[1])
        total = np.zeros((width, side, side))
        for part in (branch, shortcut):
            total[: part.shape[0], : part.shape[1], : part.shape[2]] += part
        x = relu(total)
        sides.append(side)
    assert sides == [35] * 4 + [17] * 4 + [8] * 3 + [4] * 3 + [2]
    return x.mean((1, 2)) @ w["embedding"]


def test_the_identity_network_computes_what_its_layers_do_one_by_one():
    rng = np.random.default_rng(0)
    weights = identity_weights(rng)
    net = FaceResNet()
    net.load_published({name: torch.from_numpy(array) for name, array in weights.items()})
    chips = rng.integers(0, 256, (2, 3, 150, 150)).astype(np.float32)
    x = torch.from_numpy(chips).requires_grad_()
    found = net(x)
    expected = np.stack([plain_identity(chip.astype(np.float64), weights) for chip in chips])
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=2e-4 * np.abs(expected).max())
    found.square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(not parameter.requires_grad for parameter in net.parameters())


def test_the_expression_network_computes_what_its_layers_do_one_by_one():
    rng = np.random.default_rng(1)
    w, inner = {}, 3
    for block, width in enumerate((32, 64, 128, 256)):
        for number in range(4):
            at, fan = f"dense{block}.conv{number}.", inner if number == 0 else width
            if block == number == 0:
                w[f"{at}filters"] = rng.normal(size=(width, 3, 3, 3)) / 3
            else:
                w[f"{at}depthwise_filter"] = rng.normal(size=(fan, 1, 3, 3)) / 3
                w[f"{at}pointwise_filter"] = rng.normal(size=(width, fan, 1, 1)) / fan**0.5
            w[f"{at}bias"] = rng.normal(size=width) * 0.1
        inner = width
    w["fc.weights"], w["fc.bias"] = rng.normal(size=(7, 256)), rng.normal(size=7)
    w = {name: array.astype(np.float32) for name, array in w.items()}

    def plain(x):
        x = (x - np.array(MEAN)[:, None, None]) / 255
        for block in range(4):

            def layer(x, number, block=block):
                at = f"dense{block}.conv{number}."
                how = {"stride": 2, "padding": (0, 1)} if number == 0 else {"padding": (1, 1)}
                if f"{at}filters" in w:
                    return convolve(x, w[f"{at}filters"], w[f"{at}bias"], **how)
                return convolve(
                    depthwise(x, w[f"{at}depthwise_filter"], **how),
                    w[f"{at}pointwise_filter"],
                    w[f"{at}bias"],
                )

            first = relu(layer(x, 0))
            second = layer(first, 1)
            third = layer(relu(first + second), 2)
            fourth = layer(relu(first + second + third), 3)
            x = relu(first + second + third + fourth)
        assert x.shape == (256, 7, 7)
        return w["fc.weights"] @ x.mean((1, 2)) + w["fc.bias"]

    net = ExpressionNet()
    net.load_published({name: torch.from_numpy(array) for name, array in w.items()})
    faces = rng.integers(0, 256, (2, 3, 112, 112)).astype(np.float32)
    expected = np.stack([plain(face.astype(np.float64)) for face in faces])
    np.testing.assert_allclose(
        net(torch.from_numpy(faces)).numpy(), expected, atol=2e-4 * np.abs(expected).max()
    )

"""InceptionV3 as the Frechet inception distance uses it: the network of 2015-12-05, 2048 features.

Written from Szegedy et al. 2016 and from what is known of the FID variant: average pools that do not count
their padding, and a maximum pool in the last block. Names of modules follow the well-known state dict, so
that its keys match one to one.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from mien.core.artefacts import artefact_path
from mien.core.errors import InputError, MienError
from mien.metrics.features._images import hash_tensors, vectors

NAME = "inception"
ARTEFACTS = ("inception",)
_SIDE = 299


def build(device: str | torch.device = "cpu") -> "InceptionFeatures":
    """The network with the weights that the user added. Raises MienError when there are none."""
    return InceptionFeatures.from_artefact(device=device)


class InceptionFeatures:
    """FID's network with weights given by the user; 2048 features after the global average pool."""

    name = NAME
    dims = 2048
    resize = f"bicubic antialiased to {_SIDE}"

    def __init__(
        self, state: dict[str, Tensor], *, device: str | torch.device = "cpu", batch_size: int = 16
    ) -> None:
        """`state`: keys of pt_inception-2015-12-05 (`fc.*` may be missing). Raises InputError otherwise."""
        self._device = torch.device(device)
        self._batch_size = batch_size
        net = InceptionV3()
        trunk = _checked(state, net)
        net.load_state_dict(trunk)
        self.hash = hash_tensors(trunk, about=f"{self.name} {self.resize}")
        self._net = net.eval().requires_grad_(False).to(self._device)

    @classmethod
    def from_artefact(cls, *, device: str | torch.device = "cpu") -> "InceptionFeatures":
        """Use the file that the user added. Raises MienError when there is none."""
        path = artefact_path("inception")
        if path is None:
            raise MienError("Inception's weights are not here: run `mien artefacts add inception FILE`")
        return cls(read_state(path), device=device)

    def features(self, images: Tensor) -> np.ndarray:
        """uint8 [N, 1 or 3, H, W] to float32 [N, 2048]."""
        return vectors(
            self._net, images, size=_SIDE, dims=self.dims, batch=self._batch_size, device=self._device
        )


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors or a torch file, executing nothing. Raises InputError."""
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds, all meaning the same to the user
        raise InputError(f"{path}: not a file of weights that can be read safely") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: holds something else than a state dict of tensors")
    return state


def _checked(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """The entries `net` needs, every one present and of the right shape, and no unknown ones."""
    expected = net.state_dict()
    counters = {key for key in expected if key.endswith("num_batches_tracked")}  # newer torch only; unused
    missing = sorted(expected.keys() - counters - state.keys())
    unknown = sorted(state.keys() - expected.keys() - {"fc.weight", "fc.bias"})
    for problem, keys in (("lacks", missing), ("holds unknown", unknown)):
        if keys:
            raise InputError(
                f"this is not FID's Inception (pt_inception-2015-12-05): it {problem} {keys[0]} "
                f"and {len(keys) - 1} more; add the right file with `mien artefacts add inception FILE`"
            )
    for key in expected.keys() - counters:
        if state[key].shape != expected[key].shape:
            shapes = f"{list(state[key].shape)}, not {list(expected[key].shape)}"
            raise InputError(f"Inception's {key} has shape {shapes}; `mien artefacts add inception FILE`")
    trunk = {key: state[key].float() for key in expected.keys() - counters}
    return {**trunk, **{key: expected[key] for key in counters}}


class InceptionV3(nn.Module):
    """float32 [N, 3, 299, 299] in [-1, 1] to [N, 2048]."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3)
        self.Mixed_5b = _BlockA(192, 32)
        self.Mixed_5c = _BlockA(256, 64)
        self.Mixed_5d = _BlockA(288, 64)
        self.Mixed_6a = _BlockB(288)
        self.Mixed_6b = _BlockC(768, 128)
        self.Mixed_6c = _BlockC(768, 160)
        self.Mixed_6d = _BlockC(768, 160)
        self.Mixed_6e = _BlockC(768, 192)
        self.Mixed_7a = _BlockD(768)
        self.Mixed_7b = _BlockE(1280, pool="average")
        self.Mixed_7c = _BlockE(2048, pool="maximum")

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, stride=2)))
        x = functional.max_pool2d(x, 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean(dim=(2, 3))


class _Conv(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


def _average(x: Tensor) -> Tensor:
    """TensorFlow's average pool: at the border it divides by the pixels that exist."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _BlockA(nn.Module):
    def __init__(self, inputs: int, pool_outputs: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(inputs, 64, 1)
        self.branch5x5_1 = _Conv(inputs, 48, 1)
        self.branch5x5_2 = _Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _Conv(inputs, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, padding=1)
        self.branch_pool = _Conv(inputs, pool_outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(_average(x))], 1)


class _BlockB(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = _Conv(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1 = _Conv(inputs, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, functional.max_pool2d(x, 3, stride=2)], 1)


class _BlockC(nn.Module):
    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()

        def across(outputs: int) -> _Conv:
            return _Conv(width, outputs, (1, 7), padding=(0, 3))

        def down(outputs: int) -> _Conv:
            return _Conv(width, outputs, (7, 1), padding=(3, 0))

        self.branch1x1 = _Conv(inputs, 192, 1)
        self.branch7x7_1 = _Conv(inputs, width, 1)
        self.branch7x7_2 = across(width)
        self.branch7x7_3 = down(192)
        self.branch7x7dbl_1 = _Conv(inputs, width, 1)
        self.branch7x7dbl_2 = down(width)
        self.branch7x7dbl_3 = across(width)
        self.branch7x7dbl_4 = down(width)
        self.branch7x7dbl_5 = across(192)
        self.branch_pool = _Conv(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_average(x))], 1)


class _BlockD(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1 = _Conv(inputs, 192, 1)
        self.branch3x3_2 = _Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Conv(inputs, 192, 1)
        self.branch7x7x3_2 = _Conv(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = _Conv(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = _Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat(
            [self.branch3x3_2(self.branch3x3_1(x)), seven, functional.max_pool2d(x, 3, stride=2)], 1
        )


class _BlockE(nn.Module):
    def __init__(self, inputs: int, *, pool: str) -> None:
        super().__init__()
        self._pool = pool
        self.branch1x1 = _Conv(inputs, 320, 1)
        self.branch3x3_1 = _Conv(inputs, 384, 1)
        self.branch3x3_2a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = _Conv(inputs, 448, 1)
        self.branch3x3dbl_2 = _Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = _Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = _Conv(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = _average(x) if self._pool == "average" else functional.max_pool2d(x, 3, stride=1, padding=1)
        branches = [self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three)]
        branches += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(pooled)]
        return torch.cat(branches, 1)

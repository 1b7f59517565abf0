"""lite's generator: DCGAN's strided topology with batch norms that a mapped latent modulates.

Self-modulation (Chen et al. 2018, arXiv:1810.01365): gain and bias of each batch norm follow from the
latent; here from w, the output of a mapping network (Karras et al. 2019, arXiv:1812.04948, section 2).
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.core import ranks
from mien.core.types import Spec
from mien.nn.batch_norm import BatchNorm2d
from mien.nn.precision import wide
from mien.nn.strided import initialise, stages

_W_AVG_DECAY = 0.995  # a forward pass, in training


class ModulatedGenerator(nn.Module):
    """Latents to w, w to images: 1x1 -> 4x4 -> ... -> resolution by transposed 4x4 convolutions, tanh.

    The last doubling is bilinear upsampling and a 3x3 convolution, computed as one: a transposed 4x4
    convolution leaves a dotted texture, since its four phases have weights of their own. It leads to the
    image, or with `full_resolution` to features at the image's size, half as many, of which a 3x3 convolution
    makes it: an image without those is smooth from pixel to pixel. `mapping` and
    `synthesis` are those of a generator with styles. ws [N, num_ws, w_dim]: the first row is the normalised
    latent itself, which makes the 4x4 image (the rest of the row is 0); each of the others modulates a batch
    norm, coarse to fine. Truncation pulls w towards `w_avg`, its running mean, and turns the latent towards
    one direction, of its usual length: shrunk, it would leave the range that the first batch norm knows, and
    faces turn dark and flat.
    """

    w_avg: Tensor

    def __init__(
        self,
        spec: Spec,
        *,
        z_dim: int,
        w_dim: int,
        mapping_layers: int,
        width: int,
        max_width: int,
        full_resolution: bool = False,
    ) -> None:
        super().__init__()
        self.spec, self.z_dim = spec, z_dim
        doublings = stages(spec.resolution)
        inputs = 2 * z_dim if spec.label_dim else z_dim
        widths = [min(width * 2**i, max_width) for i in reversed(range(doublings))]
        widths += [max(widths[-1] // 2, 1)] * full_resolution
        self.num_ws, self.w_dim = len(widths) + 1, max(w_dim, inputs)
        self.embed = nn.Linear(spec.label_dim, z_dim, bias=False) if spec.label_dim else None
        sizes = [inputs, *[w_dim] * mapping_layers]
        self.fc = nn.ModuleList(nn.Linear(before, after) for before, after in itertools.pairwise(sizes))
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.start = nn.ConvTranspose2d(inputs, widths[0], 4, bias=False)
        self.norms = nn.ModuleList(BatchNorm2d(channels, affine=False) for channels in widths)
        self.styles = nn.ModuleList(nn.Linear(w_dim, 2 * channels) for channels in widths)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
            for before, after in itertools.pairwise(widths[:doublings])
        )
        self.full_resolution = full_resolution
        if full_resolution:
            self.ups.append(SmoothDoubling(*widths[-2:]))
            self.to_pixels = nn.Conv2d(widths[-1], spec.channels, 3, padding=1)
        else:
            self.to_image = SmoothDoubling(widths[-1], spec.channels, bias=True)
        self._initialise()

    def _initialise(self) -> None:
        self.apply(initialise)
        if self.embed is not None:
            # Several labels at once must not drown the latent: all who share them would look the same.
            nn.init.normal_(self.embed.weight, std=self.spec.label_dim**-0.5)
        for layer in self.fc:
            nn.init.kaiming_normal_(layer.weight, a=0.2)  # type: ignore[arg-type]
        for style in self.styles:
            nn.init.normal_(style.weight, 0.0, 0.02)  # type: ignore[arg-type]

    @property
    def tied_rows(self) -> tuple[tuple[int, ...], ...]:
        """See `core.styles.tied_rows`: the latent stands by itself, all other rows are one w."""
        return (0,), tuple(range(1, self.num_ws))

    def constrain(self, ws: Tensor) -> Tensor:
        """ws [N, num_ws, w_dim] with the parts of their first row (latent, label) normalised again."""
        parts = ws[:, 0, : self.start.in_channels].reshape(-1, self.z_dim)
        first = _padded(_unit(parts).reshape(len(ws), -1), self.w_dim)
        return torch.cat([first[:, None], ws[:, 1:]], dim=1)

    def forward(self, z: Tensor, labels: Tensor | None = None, *, psi: float = 1.0) -> Tensor:
        """z: [N, z_dim], labels: [N, label_dim] -> float32 [N, C, H, W] in [-1, 1]. psi: truncation of w."""
        return self.synthesis(self.mapping(z, labels, psi=psi))

    def mapping(self, z: Tensor, labels: Tensor | None, *, psi: float = 1.0) -> Tensor:
        """z: [N, z_dim], labels: [N, label_dim] -> ws float32 [N, num_ws, w_dim], truncated by psi."""
        z, label = _unit(wide(z)), self._label(labels)
        w = self._mapped(torch.cat([z, *label], dim=1))
        if self.training:
            with torch.no_grad():
                self.w_avg.lerp_(ranks.mean(w), 1 - _W_AVG_DECAY)
        w = torch.lerp(self.w_avg, w, psi)  # exact at 1; no branch, for psi is a tensor in an exported graph
        turned = _unit(torch.lerp(torch.ones_like(z), z, psi))
        rows = [torch.cat([turned, *label], dim=1), *[w] * (self.num_ws - 1)]
        return torch.stack([_padded(row, self.w_dim) for row in rows], dim=1)

    def _mapped(self, inputs: Tensor) -> Tensor:
        """Normalised latents (and labels) [N, inputs] to w [N, w_dim]."""
        w = inputs
        for layer in self.fc:
            w = F.leaky_relu(layer(w), 0.2)
        return wide(w)

    def lead(self, ws: Tensor) -> Tensor:
        """See `core.styles.led`: the first row of `ws`, and the w that follows from it in all others."""
        w = _padded(self._mapped(ws[:, 0, : self.start.in_channels]), self.w_dim)
        return torch.stack([ws[:, 0], *[w] * (self.num_ws - 1)], dim=1)

    def _label(self, labels: Tensor | None) -> list[Tensor]:
        """The normalised embedding of the labels, if the generator takes any."""
        if self.embed is None:
            return []
        if labels is None:
            raise ValueError("this generator is conditional: labels are needed")
        return [_unit(wide(self.embed(labels)))]

    def synthesis(self, ws: Tensor, *, noise: str = "const") -> Tensor:
        """ws: [N, num_ws, w_dim] -> float32 [N, C, H, W] in [-1, 1]. noise: there is none."""
        x = self.start(ws[:, 0, : self.start.in_channels, None, None])
        for index, (norm, style) in enumerate(zip(self.norms, self.styles, strict=True)):
            if index:
                x = self.ups[index - 1](x)
            gain, bias = style(ws[:, index + 1, : len(self.w_avg)])[:, :, None, None].chunk(2, dim=1)
            x = norm(x)
            x = torch.addcmul(bias.to(x.dtype), x, (gain + 1).to(x.dtype)).relu()
        image: Tensor = self.to_pixels(x) if self.full_resolution else self.to_image(x)
        return torch.tanh(image.float())


class SmoothDoubling(nn.Conv2d):
    """Bilinear upsampling by two and a 3x3 convolution, folded into one."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, 2 H, 2 W].

        As a transposed convolution it would have a 6x6 kernel; each of its four phases sees 3x3 pixels, so it
        is a convolution to four images that are interleaved, for which oneDNN takes a third of the time.
        """
        weight = self.weight.flip(2, 3).transpose(0, 1)  # of a transposed convolution
        # Bilinear interpolation as the filter of a twofold upsampling: .25, .75, .75, .25.
        tent = 1 - (torch.arange(4, dtype=weight.dtype, device=weight.device) - 1.5).abs() / 2
        filters = (tent[:, None] * tent[None])[None, None]
        folded = F.conv2d(weight.flatten(0, 1)[:, None], filters, padding=3)
        inputs, channels = weight.shape[:2]
        taps = folded.reshape(inputs, channels, 3, 2, 3, 2).flip(2, 4)  # (tap, phase) of rows, of columns
        phases = taps.permute(1, 3, 5, 0, 2, 4).reshape(4 * channels, inputs, 3, 3)
        bias = None if self.bias is None else self.bias.repeat_interleave(4)
        return F.pixel_shuffle(F.conv2d(x, phases, bias, padding=1), 2)


def _unit(x: Tensor) -> Tensor:
    """Each row of [N, D] over its root mean square."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def _padded(rows: Tensor, width: int) -> Tensor:
    return F.pad(rows, (0, width - rows.shape[1]))

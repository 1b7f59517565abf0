"""pix2pix: sizes of the paper, pairs that stay pairs, losses written out, noise that can be repeated."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mien.core.errors import InputError
from mien.core.types import Batch, Progress, Spec
from mien.models import pix2pix
from mien.models.pix2pix import jittered
from mien.nn.lpips import Perceptual
from mien.nn.patch_gan import Norm, PatchGan, receptive_field
from mien.nn.unet import Translator, UNet, edges_of
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream
from mien.training.transfer import first_layers
from pictures import ArrayDataset

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"batch_size": 8, "width": 4, "width_d": 4, "d_layers": 2}


class Negative:
    """A dataset in negative: the target of every picture can be told from the picture."""

    def __init__(self, base: ArrayDataset) -> None:
        self.base = base
        self.name, self.content_hash, self.spec = base.name, "negative", base.spec
        self.labels, self.records = None, base.records

    def __len__(self) -> int:
        return len(self.base)

    def images(self, indexes: np.ndarray) -> np.ndarray:
        return 255 - self.base.images(indexes)


def made(spec: Spec | None = None, **changes: Any) -> pix2pix.Pix2Pix:
    torch.manual_seed(0)
    return pix2pix.build(pix2pix.Config(**(SMALL | changes)), spec or Spec(16))


def batch(seed: int = 0, *, size: int = 16, count: int = 8) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, size, size, generator=rng) * 2 - 1
    return Batch(images, None, rng, None, -images)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_generator_is_as_large_as_the_papers() -> None:
    """54,413,955 at 256 px: kernels down and up, the scales and shifts of norms, one bias."""
    widths = [64, 128, 256, 512, 512, 512, 512, 512]
    down = sum(16 * a * b for a, b in itertools.pairwise([3, *widths]))
    up = 16 * 512 * 512 + sum(16 * 2 * a * b for a, b in itertools.pairwise([*widths[-2::-1], 3]))
    norms = 2 * sum(widths[1:-1]) + 2 * sum(widths[:-1])
    assert down + up + norms + 3 == 54_413_955
    with torch.device("meta"):
        net = UNet(Spec(256), width=64, norm="batch", dropout=0.5)
    assert count(net) == 54_413_955
    assert count(net.down) == down + 2 * sum(widths[1:-1])


def test_the_discriminator_is_as_large_as_the_papers() -> None:
    """2,768,705 for two coloured pictures: a bias where no norm follows."""
    kernels = 16 * (6 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert kernels + 2 * (128 + 256 + 512) + 64 + 1 == 2_768_705
    for norm in ("batch", "instance"):
        net = PatchGan(Spec(256), width=64, layers=3, norm=norm, bias=True)  # type: ignore[arg-type]
        assert count(net) == 2_768_705


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_score_sees_a_patch(layers: int, field: int) -> None:
    """The paper's sizes; and measured: where a picture moves the score in the middle."""
    assert receptive_field(layers) == field
    net = PatchGan(Spec(128, 1), width=2, layers=layers, norm="batch", bias=True).eval().double()
    pictures = torch.randn(1, 1, 128, 128, dtype=torch.double, requires_grad=True)
    scores = net(torch.randn(1, 1, 128, 128, dtype=torch.double), pictures)
    assert scores.shape[2] == 128 // 2**layers - 2  # 30 x 30 scores at 256 px and three layers
    middle = scores.shape[2] // 2
    (gradient,) = torch.autograd.grad(scores[0, 0, middle, middle], pictures)
    seen = gradient[0, 0] != 0
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (field, field)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_what_can_be_held_are_its_layers_from_the_picture_on(norm: Norm) -> None:
    """Each convolution with its norm; all but the last, whose scores must move."""
    net = PatchGan(Spec(64), width=4, layers=2, norm=norm, bias=True)
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert len(net.freezable) == len(convolutions) - 1 == 3
    held = [{id(parameter) for parameter in layer.parameters()} for layer in net.freezable]
    assert [len(own) for own in held] == [2, 3, 3]  # weight and bias; weight, and the norm's scale and shift
    for own, convolution in zip(held, convolutions, strict=False):
        assert id(convolution.weight) in own
    free = {id(parameter) for parameter in net.parameters()} - set().union(*held)
    assert free == {id(parameter) for parameter in convolutions[-1].parameters()}
    frozen = first_layers(net, 2)
    assert {id(parameter) for parameter in frozen} == held[0] | held[1]
    with pytest.raises(InputError, match="--freeze-d 4: this discriminator has 3 layers"):
        first_layers(net, 4)


@pytest.mark.parametrize("size", [16, 64, 256])
def test_every_layer_moves_the_output(size: int) -> None:
    """Defect 4: bottleneck layers that were built but never connected."""
    torch.manual_seed(0)
    net = UNet(Spec(size), width=2, norm="batch", dropout=0.5).eval().double()
    images = torch.randn(1, 3, size, size, dtype=torch.double)
    before = net(images)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 2 * (size.bit_length() - 1)
    assert net.down[-1](torch.ones(1, 16 if size > 16 else 8, 2, 2, dtype=torch.double)).shape[2:] == (1, 1)
    for layer in layers:
        kept = layer.weight.detach().clone()
        with torch.no_grad():
            layer.weight *= 2
            assert not torch.equal(net(images), before)
            layer.weight.copy_(kept)
    assert torch.equal(net(images), before)


def test_both_sides_of_a_pair_are_flipped_and_jittered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect 9: only the input of a pair was flipped."""
    dataset = ArrayDataset(resolution=16)
    stream = Stream(
        dataset, seed=0, mirror=True, labels=False, device=CPU, others=Negative(dataset), aligned=True
    )
    seen: list[tuple[Tensor, Tensor]] = []
    model = made(jitter=0.5)
    monkeypatch.setattr(model, "_generate", lambda inputs, targets, _: seen.append((inputs, targets)))
    (_, phase) = model.phases(Progress(0, 0, 0.0))
    for nimg in range(0, 48, 8):
        drawn = stream.batch(nimg, 8)
        model.loss(phase, Batch(drawn.images, None, torch.Generator().manual_seed(nimg), None, drawn.others))
    for inputs, targets in seen:
        assert torch.allclose(inputs, -targets, atol=1e-5)
    plain = torch.cat([stream.batch(nimg, 8).images for nimg in range(0, 48, 8)])
    moved = (torch.cat([inputs for inputs, _ in seen]) - plain).abs().mean(dim=(1, 2, 3))
    assert (moved > 0.01).float().mean() > 0.9


def test_jitter_enlarges_and_cuts() -> None:
    """Of a picture whose values rise evenly, an enlarged part rises as evenly, but less steeply."""
    ramp = torch.linspace(-0.9, 0.9, 64).expand(2, 1, 64, 64)
    (one, two) = jittered((ramp, ramp.transpose(2, 3)), 30 / 256, torch.Generator().manual_seed(0))
    slope, given = one[:, 0, 32, 40] - one[:, 0, 32, 20], ramp[0, 0, 0, 40] - ramp[0, 0, 0, 20]
    assert slope.tolist() == pytest.approx([float(given) * 64 / 72] * 2, rel=0.01)
    assert torch.allclose(one[:, :, :1].expand_as(one), one, atol=1e-5)
    assert torch.allclose(two[..., :1].expand_as(two), two, atol=1e-5)
    corners = {round(float(one[0, 0, 0, 0]), 3) for one, _ in (_jittered(ramp, seed) for seed in range(300))}
    assert len(corners) == 9  # 72 - 64 places and one more


def _jittered(ramp: Tensor, seed: int) -> tuple[Tensor, ...]:
    return jittered((ramp, ramp), 30 / 256, torch.Generator().manual_seed(seed))


def test_training_leaves_the_pictures_as_they_are() -> None:
    """Defect 10: jitter and normalisation applied again and again to the same array."""
    dataset = ArrayDataset(resolution=16)
    before = dataset.images(np.arange(len(dataset))).copy()
    training = Training(made(jitter=0.5), 0, CPU)
    stream = Stream(
        dataset, seed=0, mirror=True, labels=False, device=CPU, others=Negative(dataset), aligned=True
    )
    first = stream.batch(0, 8)
    list(itertools.islice(train(training, stream, Budget(nimg=1000)), 12))  # twice through all
    assert np.array_equal(dataset.images(np.arange(len(dataset))), before)
    again = stream.batch(0, 8)
    assert again.others is not None
    assert first.others is not None
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.others, again.others)
    one = batch()
    images = one.images.clone()
    for phase in training.trainable.phases(Progress(0, 0, 0.0)):
        training.trainable.loss(phase, one)
    assert torch.equal(one.images, images)


def _sigmoid_loss(x: np.ndarray) -> float:
    """Minus the log of the chance that scores stand for, written out."""
    return float(np.mean(-np.log(1 / (1 + np.exp(-x)))))


@pytest.mark.parametrize("loss", ["vanilla", "relativistic"])
def test_losses_are_those_of_the_paper(loss: str) -> None:
    """Equations 1 to 4, and the pairing loss patch by patch."""
    model = made(loss=loss, jitter=0.0, dropout=0.0, l1=7.0)
    one = batch()
    assert one.others is not None
    with torch.no_grad():
        fakes = model.networks["g"](one.images, one.rng)
        real, fake = (model.networks["d"](one.images, side).double().numpy() for side in (one.others, fakes))
    if loss == "vanilla":
        wanted_d, wanted_g = _sigmoid_loss(real) + _sigmoid_loss(-fake), _sigmoid_loss(fake)
    else:
        wanted_d, wanted_g = _sigmoid_loss(real - fake), _sigmoid_loss(fake - real)
    wanted_g += 7 * float((fakes - one.others).abs().double().mean())
    d, g = model.phases(Progress(0, 0, 0.0))
    assert (d.name, d.gain, g.name, g.gain) == ("d", 0.5, "g", 1.0)
    assert float(model.loss(d, one)[0].detach()) == pytest.approx(wanted_d, rel=1e-5)
    assert float(model.loss(g, one)[0].detach()) == pytest.approx(wanted_g, rel=1e-5)


def test_the_discriminator_sees_input_and_output_beside_each_other() -> None:
    model = made()
    one = batch()
    with torch.no_grad():
        scores = model.networks["d"](one.images, one.others)
        assert not torch.allclose(scores, model.networks["d"](one.images.flip(0), one.others))


def test_the_rate_stays_and_then_falls_to_nothing() -> None:
    model = made(lr=1e-3)
    rates = []
    for fraction in (0.0, 0.5, 0.75, 1.0):
        model.begin_step(Progress(0, 0, fraction))
        rates += [optimizer.param_groups[0]["lr"] for optimizer in model.optimizers.values()]
    assert rates == pytest.approx([1e-3] * 4 + [5e-4] * 2 + [0.0] * 2)


def test_noise_is_of_training_and_after_it_always_the_same() -> None:
    images = batch().images
    for noise in (False, True):
        net = made(noise_at_test=noise).networks["g"].eval()
        seeds = [net(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
        assert torch.equal(seeds[0], seeds[1])
        assert not torch.equal(seeds[0], seeds[2])
        alone = torch.cat([net(image[None]) for image in images])
        assert torch.allclose(net(images), alone, atol=1e-6)  # whatever else is in the batch
        assert torch.equal(net(images), net(images))
    quiet, noisy = (made(noise_at_test=noise).networks["g"].eval()(images) for noise in (False, True))
    assert not torch.equal(quiet, noisy)


def test_instance_norm_is_batch_norm_of_one() -> None:
    """What the paper's batches of one do, also after training."""
    images = batch().images
    batch_norm, instance = (made(norm=norm).networks["g"] for norm in ("batch", "instance"))
    instance.load_state_dict(batch_norm.state_dict(), strict=False)
    one_by_one = torch.cat([batch_norm.train()(image[None]) for image in images])
    assert torch.allclose(instance.eval()(images), one_by_one, atol=1e-6)


def test_edges_are_where_values_change() -> None:
    step = torch.full((1, 2, 8, 8), -1.0)
    step[:, 0, :, 4:] = 0.0
    found = edges_of(step)
    assert torch.all(found[0, 1] == -1)
    assert found[0, 0].tolist() == [[-1, -1, -1, 1, 1, -1, -1, -1]] * 8
    assert edges_of(step * 0.25 - 0.75)[0, 0, 0, 3] == pytest.approx(-0.5)


def test_with_edges_brightness_counts_for_nothing() -> None:
    model = made(edges=True, jitter=0.0)
    net = model.networks["g"].eval()
    images = batch().images * 0.4
    assert torch.allclose(net(images), net(images + 0.5), atol=1e-5)
    assert isinstance(net, Translator)
    one = batch()
    d, _ = model.phases(Progress(0, 0, 0.0))
    shifted = Batch(one.images * 0.5 + 0.5, None, torch.Generator().manual_seed(1), None, one.others)
    same = Batch(one.images * 0.5, None, torch.Generator().manual_seed(1), None, one.others)
    assert float(model.loss(d, shifted)[0].detach()) == pytest.approx(
        float(model.loss(d, same)[0].detach()), rel=1e-4
    )


def test_the_perceptual_term_grows_with_blur_and_has_a_gradient() -> None:
    distance = Perceptual()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert float(distance(images, images)) == 0
    blurred = nn.functional.avg_pool2d(images, 3, 1, 1).requires_grad_(True)
    more = nn.functional.avg_pool2d(images, 5, 1, 2)
    value = distance(blurred, images)
    assert 0 < float(value.detach()) < float(distance(more, images))
    (gradient,) = torch.autograd.grad(value, blurred)
    assert float(gradient.abs().min()) >= 0 < float(gradient.abs().max())
    model = made(perceptual=3.0, l1=0.0, jitter=0.0)
    _, g = model.phases(Progress(0, 0, 0.0))
    loss, told = model.loss(g, batch())
    assert float(loss.detach()) == pytest.approx(
        float(told["Loss/G/realism"] + 3 * told["Loss/G/perceptual"]), rel=1e-5
    )


@pytest.mark.parametrize("size", [8, 48, 1024])
def test_sizes_that_do_not_halve_to_one_pixel_are_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"{size} px"):
        made(Spec(size))


def test_patches_larger_than_pictures_are_refused() -> None:
    with pytest.raises(InputError, match="d_layers=3"):
        made(Spec(16), d_layers=3)


def test_it_says_that_it_needs_targets() -> None:
    model = made()
    for phase in model.phases(Progress(0, 0, 0.0)):
        with pytest.raises(ValueError, match="targets"):
            model.loss(phase, Batch(batch().images, None, torch.Generator()))

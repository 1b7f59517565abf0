"""`mien encoder`: train the network that finds latents at once; images to latents by it, in a few passes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
from cyclopts import Parameter
from torch import Tensor, nn

from mien.core.checkpoint import NetworkHeader, read_header
from mien.core.errors import InputError, want_folder
from mien.core.events import Events, Stopped, TrainingTick, job
from mien.core.image import to_float
from mien.core.network import LoadedNetwork, load_network
from mien.core.packaged import encoder_of, name_of
from mien.core.run import RunFolder
from mien.core.sampling import device_of, on_its_device
from mien.core.seeds import Seed
from mien.core.stop import Stop
from mien.core.types import Dataset, Drawn
from mien.datasets.opening import open_dataset
from mien.latent.projection.objective import open_lpips, viewed
from mien.latent.projection.spaces import sensitive_directions
from mien.models.encoder import (
    KIND,
    PRESETS,
    PRODUCT,
    Config,
    Distance,
    EncoderTraining,
    draw_latents,
    from_coordinates,
)
from mien.nn.latent_encoder import LatentEncoder
from mien.training.loop import Batches, Budget, Training, train
from mien.training.order import Stream
from mien.training.outputs import save_product
from mien.training.settings import NAMES, choose, pick_device, probe
from mien.training.states import States

_BATCH = 32
_SAVE_NIMG = 8000
_TICK_NIMG = 1000


@job
def encoder(
    events: Events,
    source: Path | None = None,
    /,
    *,
    out: Path,
    data: str | None = None,
    start: Annotated[Path | None, Parameter(name="--from")] = None,
    minutes: float = 30.0,
    kimg: float | None = None,
    preset: str = "default",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    seed: Seed = 0,
    device: str = "auto",
) -> Path:
    """Train an encoder for a generator: a network that finds the latents of images at once.

    Returns its file, which `mien project --encoder` takes. The same command again goes on where it stopped.
    Raises InputError.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    out
        Folder for it.
    data
        Aligned faces to learn from beside the generator's own: a zip from `mien prepare`, a folder of square
        pictures, or "rendered:2000".
    start
        Begin with the weights of this encoder, a folder or file, for this generator or one of like shapes.
    minutes
        Stop after that many minutes of training.
    kimg
        Stop after that many thousand images instead.
    preset
        Named configuration: default, or tiny for a try.
    precision
        Arithmetic; auto measures which one is faster here.
    seed
        Seed of initial weights, order and latents.
    device
        cpu, cuda, mps or auto.
    """
    want_folder(out)
    if preset not in PRESETS:
        raise InputError(f"--preset {preset}: choose from {', '.join(PRESETS)}")
    if minutes <= 0 or (kimg is not None and kimg <= 0):
        raise InputError("--minutes and --kimg: more than 0")
    place = pick_device(device)
    loaded = load_network(source)
    dataset = None if data is None else _dataset(data, loaded, events)
    config = PRESETS[preset].model_copy(update={"model": loaded.model})
    if dataset is None:
        config = config.model_copy(update={"image_interval": 0})
    first = None if start is None else load_network(start, kind=KIND)
    out.mkdir(parents=True, exist_ok=True)
    run = RunFolder(out)
    with run.lock():
        budget = Budget(seconds=minutes * 60) if kimg is None else Budget(nimg=round(kimg * 1000))
        return _Run(run, loaded, config, dataset, first, seed, place, events).train(precision, budget)


def _dataset(data: str, loaded: LoadedNetwork[Any], events: Events) -> Dataset:
    dataset = open_dataset(data, progress=events.progress("opening pictures"))
    ours, theirs = loaded.header.spec, dataset.spec
    if (ours.resolution, ours.channels) != (theirs.resolution, theirs.channels):
        raise InputError(
            f"{data}: pictures of {theirs.resolution} px with {theirs.channels} channels, and the generator's"
            f" have {ours.resolution} px and {ours.channels}"
        )
    return dataset


class _Pictures:
    """Batches of real images, or blank where there are none, with labels as the generator learnt them."""

    def __init__(
        self, dataset: Dataset | None, header: NetworkHeader, seed: int, device: torch.device
    ) -> None:
        self._spec, self._device = header.spec, device
        rows = torch.tensor(header.label_rows, dtype=torch.float32)
        self._rows = rows if len(rows) else torch.eye(max(self._spec.label_dim, 1))
        self._stream = None
        if dataset is not None:
            self._stream = Stream(dataset, seed=seed, mirror=True, labels=False, device=device)

    def batch(self, nimg: int, count: int) -> Drawn:
        """The images after `nimg`, and labels in turn."""
        if self._stream is None:
            side = self._spec.resolution
            images = torch.zeros(count, self._spec.channels, side, side, device=self._device)
        else:
            images = self._stream.batch(nimg, count).images
        labels = self._rows[(nimg + torch.arange(count)) % len(self._rows)].to(self._device)
        return Drawn(images, labels if self._spec.label_dim else None)


@dataclass
class _Run:
    """The training of one encoder in its folder."""

    run: RunFolder
    loaded: LoadedNetwork[Any]
    config: Config
    dataset: Dataset | None
    first: LoadedNetwork[Any] | None
    seed: int
    device: torch.device
    events: Events

    def __post_init__(self) -> None:
        self._batches: Batches = _Pictures(self.dataset, self.loaded.header, self.seed, self.device)
        self._distance = _distance(self.config, self.device, self.events)
        self._found: Tensor | None = None

    def train(self, precision: str, budget: Budget) -> Path:
        """Train until the budget is spent; stopped, all is kept."""
        run, events, settings = self.run, self.events, self._settings(precision)
        training = Training(self._built(), self.seed, self.device, NAMES[settings["precision"]])
        states = States(run, training, family=f"encoder of {self.loaded.model}")
        goes_on = states.resume(events.warn)
        where = f"goes on at {training.nimg / 1000:.1f} kimg" if goes_on else "begins"
        events.note(
            f"{run.path} {where}: an encoder for {self.loaded.model}, {settings['precision']}", "strong"
        )

        def save() -> Path:
            path = save_product(run, training, self.dataset, family="encoder", kind=KIND, network=PRODUCT)
            for older in run.products(KIND):
                if older != path:
                    older.unlink()
            states.save()
            return path

        batch = self.config.batch_size
        with Stop() as stop:
            for step in train(training, self._batches, budget):
                try:
                    if _crossed(step.nimg, batch, _TICK_NIMG):
                        events.send(TrainingTick(step.nimg, training.seconds, step.fraction, step.values))
                        run.append_log(
                            {"nimg": step.nimg, "Timing/total_sec": training.seconds, **step.values}
                        )
                    if stop.asked:
                        raise KeyboardInterrupt
                except (KeyboardInterrupt, Stopped):
                    save()
                    raise
                if _crossed(step.nimg, batch, _SAVE_NIMG):
                    save()
        path = save()
        events.wrote(
            path, f"an encoder after {training.nimg / 1000:.1f} kimg, {training.seconds / 60:.1f} min"
        )
        return path

    def _built(self) -> EncoderTraining:
        self.loaded.network.cpu()  # where a copy that was timed took it, measures are not made
        torch.manual_seed(self.seed)  # nothing but the initial weights is drawn from the global source
        built = EncoderTraining(self.config, self.loaded.header.spec, self.loaded.network, self._distance)
        network = cast(LatentEncoder, built.networks["encoder"])
        if len(network.basis):
            network.basis.copy_(self._axes(len(network.basis)))
        if self.first is not None:
            _begin_with(network, self.first)
        return built

    def _axes(self, count: int) -> Tensor:
        """Found once, though several copies are built to time them."""
        if self._found is None:
            rows, width = self.loaded.header.label_rows, self.loaded.header.spec.label_dim
            labels = torch.tensor(rows, dtype=torch.float32) if rows else None
            labels = torch.eye(width) if labels is None and width else labels
            self._found = sensitive_directions(self.loaded, labels, count)
        return self._found

    def _settings(self, precision: str) -> dict[str, Any]:
        """Write down what is trained, once; InputError where another training is in the folder."""
        data, first = self.dataset and self.dataset.content_hash, self.first and self.first.model
        settings = {"family": "encoder", **self.config.model_dump(mode="json"), "data": data, "from": first}
        settings |= {"perceptual": self._distance is not None, "seed": self.seed}
        if (self.run.path / "config.json").exists():
            before = self.run.read_config()
            apart = sorted(key for key in settings if before.get(key) != settings[key])
            if precision not in ("auto", before.get("precision", "fp32")):
                apart.append("precision")
            if apart:
                names = ", ".join(apart)
                raise InputError(
                    f"{self.run.path}: another encoder was trained there ({names} differ); change --out"
                )
            return before
        if precision == "auto":
            speeds = probe(self._built, self._batches, self.device, rounds=6)  # two kinds of steps in turn
            precision = choose(speeds)
        settings["precision"] = precision
        self.run.write_config(settings)
        return settings


_KEPT = ("mean", "scale", "basis")  # of the generator, not learnt


def _begin_with(encoder: nn.Module, first: LoadedNetwork[Any]) -> None:
    """Copy another encoder's weights, but for where latents lie. Raises InputError where shapes differ."""
    own, weights = encoder.state_dict(), first.network.state_dict()
    if {name: value.shape for name, value in own.items()} != {n: v.shape for n, v in weights.items()}:
        raise InputError(f"--from {first.path}: an encoder of another shape, or for another size of latents")
    encoder.load_state_dict({name: own[name] if name in _KEPT else weights[name] for name in own})


def _distance(config: Config, device: torch.device, events: Events) -> Distance | None:
    """LPIPS of images and targets, None where it cannot be had or does not count."""
    lpips = open_lpips("alexnet", events, instead="it learns by pixels") if config.perceptual_weight else None
    if lpips is None:
        return None
    lpips.to(device)
    return lambda images, targets: lpips(viewed(images), viewed(targets))


def _crossed(nimg: int, batch: int, interval: int) -> bool:
    return nimg // interval > (nimg - batch) // interval


class Encoding:
    """An encoder and the generator that it was trained for. model: the encoder's id. basis: see `WSpace`."""

    def __init__(self, encoder: LatentEncoder, generator: Any, passes: int, model: str) -> None:
        self._encoder, self._generator, self._passes = encoder, generator, passes
        self.model = model
        self.basis = encoder.basis.cpu() if len(encoder.basis) else None

    @torch.no_grad()
    def latents(self, images: Tensor, labels: Tensor | None = None, *, passes: int | None = None) -> Tensor:
        """uint8 [N, C, S, S] to ws [N, num_ws, w_dim], or to z [N, z_dim] of a generator without w.

        labels: [N, label_dim] for z of a conditional generator.
        """
        pieces = torch.split(images, _BATCH)
        rows = [None] * len(pieces) if labels is None else torch.split(labels, _BATCH)
        passes = passes or self._passes
        return torch.cat(
            [self._one(to_float(one), row, passes) for one, row in zip(pieces, rows, strict=True)]
        )

    def _one(self, images: Tensor, labels: Tensor | None, passes: int) -> Tensor:
        """The latents of the pass that came nearest in pixels."""
        mean = self._encoder.mean.to(images.device)
        coordinates = mean.expand(len(images), *[-1] * mean.ndim)
        drawn = draw_latents(self._generator, from_coordinates(self._generator, coordinates), labels)
        best, least = coordinates, torch.full((len(images),), torch.inf)
        for _ in range(passes):
            coordinates = coordinates + on_its_device(self._encoder, self._encoder, images, drawn)
            drawn = draw_latents(self._generator, from_coordinates(self._generator, coordinates), labels)
            error = (drawn - images).square().mean(dim=(1, 2, 3))
            nearer = (error < least).view(-1, *[1] * mean.ndim)
            best, least = torch.where(nearer, coordinates, best), torch.minimum(error, least)
        return from_coordinates(self._generator, best)


def packaged_encoder(loaded: LoadedNetwork[Any]) -> Path | None:
    """The encoder that comes with a packaged generator; None for other generators and versions."""
    name = name_of(loaded.path)
    path = None if name is None else encoder_of(name)
    if path is None or not path.is_file():
        return None
    return path if read_header(path).config.get("model") == loaded.model else None


def open_encoder(path: Path, loaded: LoadedNetwork[Any]) -> Encoding:
    """The encoder of a file or folder of `mien encoder`. Raises InputError where it is another model's."""
    encoder_network = load_network(path, KIND, device_of(loaded.network))
    config = Config(**encoder_network.header.config)
    model = config.model
    if model != loaded.model and not loaded.header.origin.startswith(f"{model} tuned"):
        raise InputError(f"{path}: an encoder for {model}, and the generator here is {loaded.model}")
    return Encoding(encoder_network.network, loaded.network, config.passes_at_use, encoder_network.model)

"""`mien encoder`: train the network that finds latents at once; images to latents by it, in a few passes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien import TOOL
from mien.core.checkpoint import DatasetInfo, NetworkHeader, save_generator
from mien.core.errors import InputError
from mien.core.events import Events, Stopped, TrainingTick, job
from mien.core.image import to_float
from mien.core.network import LoadedNetwork, load_network
from mien.core.run import RunFolder
from mien.core.stop import Stop
from mien.core.types import Dataset, Drawn
from mien.datasets.opening import open_dataset
from mien.models.encoder import KIND, PRESETS, PRODUCT, Config, EncoderTraining, draw_latents
from mien.nn.latent_encoder import LatentEncoder
from mien.training.loop import Budget, Training, train
from mien.training.order import Stream
from mien.training.settings import pick_device
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
    minutes: float = 30.0,
    kimg: float | None = None,
    preset: str = "default",
    seed: int = 0,
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
    minutes
        Stop after that many minutes of training.
    kimg
        Stop after that many thousand images instead.
    preset
        Named configuration: default, or tiny for a try.
    seed
        Seed of initial weights, order and latents.
    device
        cpu, cuda, mps or auto.
    """
    if preset not in PRESETS:
        raise InputError(f"--preset {preset}: choose from {', '.join(PRESETS)}")
    if minutes <= 0 or (kimg is not None and kimg <= 0):
        raise InputError("--minutes and --kimg: more than 0")
    place = pick_device(device)
    loaded = load_network(source, device=place)
    dataset = None if data is None else _dataset(data, loaded, events)
    config = PRESETS[preset].model_copy(update={"model": loaded.model})
    if dataset is None:
        config = config.model_copy(update={"image_interval": 0})
    out.mkdir(parents=True, exist_ok=True)
    run = RunFolder(out)
    with run.lock():
        return _trained(run, loaded, config, dataset, _budget(minutes, kimg), seed, place, events)


def _budget(minutes: float, kimg: float | None) -> Budget:
    return Budget(seconds=minutes * 60) if kimg is None else Budget(nimg=round(kimg * 1000))


def _dataset(data: str, loaded: LoadedNetwork[Any], events: Events) -> Dataset:
    dataset = open_dataset(data, progress=events.progress("opening pictures"))
    ours, theirs = loaded.header.spec, dataset.spec
    if (ours.resolution, ours.channels) != (theirs.resolution, theirs.channels):
        raise InputError(
            f"{data}: pictures of {theirs.resolution} px with {theirs.channels} channels, and the generator's"
            f" have {ours.resolution} px and {ours.channels}"
        )
    return dataset


class _Samples:
    """Batches for a training without real images: labels as they occur, the images left blank."""

    def __init__(self, loaded: LoadedNetwork[Any], device: torch.device) -> None:
        self._spec, self._device = loaded.header.spec, device
        rows = torch.tensor(loaded.header.label_rows, dtype=torch.float32)
        self._rows = rows if len(rows) else torch.eye(max(self._spec.label_dim, 1))

    def batch(self, nimg: int, count: int) -> Drawn:
        """Pictures that nothing looks at, and labels in turn."""
        side = self._spec.resolution
        images = torch.zeros(count, self._spec.channels, side, side, device=self._device)
        labels = self._rows[(nimg + torch.arange(count)) % len(self._rows)].to(self._device)
        return Drawn(images, labels if self._spec.label_dim else None)


class _Real:
    """Batches of real images, with labels as they occur in the generator's own data."""

    def __init__(self, dataset: Dataset, labels: _Samples, seed: int, device: torch.device) -> None:
        self._stream = Stream(dataset, seed=seed, mirror=True, labels=False, device=device)
        self._labels = labels

    def batch(self, nimg: int, count: int) -> Drawn:
        """The images after `nimg`."""
        return Drawn(self._stream.batch(nimg, count).images, self._labels.batch(nimg, count).labels)


def _trained(
    run: RunFolder,
    loaded: LoadedNetwork[Any],
    config: Config,
    dataset: Dataset | None,
    budget: Budget,
    seed: int,
    device: torch.device,
    events: Events,
) -> Path:
    told = {"family": "encoder", **config.model_dump(mode="json"), "data": dataset and dataset.content_hash}
    _check_same(run, told | {"seed": seed})
    torch.manual_seed(seed)  # nothing but the initial weights is drawn from the global source
    training = Training(EncoderTraining(config, loaded.header.spec, loaded.network), seed, device)
    states = States(run, training, family=f"encoder of {loaded.model}")
    goes_on = states.resume(events.warn)
    samples = _Samples(loaded, device)
    batches = samples if dataset is None else _Real(dataset, samples, seed, device)
    where = f"goes on at {training.nimg / 1000:.1f} kimg" if goes_on else "begins"
    events.note(f"{run.path} {where}: an encoder for {loaded.model}", "strong")

    def save() -> Path:
        path = _save_product(run, training, loaded, dataset)
        states.save()
        return path

    path = None
    with Stop() as stop:
        for step in train(training, batches, budget):
            try:
                if _crossed(step.nimg, config.batch_size, _TICK_NIMG):
                    events.send(TrainingTick(step.nimg, training.seconds, step.fraction, step.values))
                    run.append_log({"nimg": step.nimg, "Timing/total_sec": training.seconds, **step.values})
                if stop.asked:
                    raise KeyboardInterrupt
            except (KeyboardInterrupt, Stopped):
                save()
                raise
            if _crossed(step.nimg, config.batch_size, _SAVE_NIMG):
                path = save()
    path = save()
    events.wrote(path, f"an encoder after {training.nimg / 1000:.1f} kimg, {training.seconds / 60:.1f} min")
    return path


def _check_same(run: RunFolder, told: dict[str, Any]) -> None:
    """Write down what is trained; InputError where another training is in the folder."""
    if (run.path / "config.json").exists() and (before := run.read_config()) != told:
        other = ", ".join(sorted(key for key in before | told if before.get(key) != told.get(key)))
        raise InputError(f"{run.path}: another encoder was trained there ({other} differ); change --out")
    run.write_config(told)


def _crossed(nimg: int, batch: int, interval: int) -> bool:
    return nimg // interval > (nimg - batch) // interval


def _save_product(
    run: RunFolder, training: Training, loaded: LoadedNetwork[Any], dataset: Dataset | None
) -> Path:
    info = None
    if dataset is not None:
        info = DatasetInfo(name=dataset.name, content_hash=dataset.content_hash, num_images=len(dataset))
    header = NetworkHeader(
        kind=KIND,
        family="encoder",
        config=training.trainable.config.model_dump(),
        spec=loaded.header.spec,
        nimg=training.nimg,
        tool=TOOL,
        dataset=info,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    path = run.product(KIND, training.nimg)
    save_generator(path, training.averages.networks[PRODUCT].state_dict(), header)
    for older in run.products(KIND):
        if older != path:
            older.unlink()
    return path


class Encoding:
    """An encoder and the generator that it was trained for. model: the encoder's id."""

    def __init__(self, encoder: LatentEncoder, generator: Any, passes: int, model: str) -> None:
        self._encoder, self._generator, self._passes = encoder, generator, passes
        self.model = model

    @torch.no_grad()
    def latents(self, images: Tensor, labels: Tensor | None = None, *, passes: int | None = None) -> Tensor:
        """uint8 [N, C, S, S] to ws [N, num_ws, w_dim], or to z [N, z_dim] of a generator without w.

        labels: [N, label_dim] for z of a conditional generator.
        """
        pieces = []
        for start in range(0, len(images), _BATCH):
            piece = slice(start, start + _BATCH)
            rows = None if labels is None else labels[piece]
            pieces.append(self._one(to_float(images[piece]), rows, passes or self._passes))
        return torch.cat(pieces)

    def _one(self, images: Tensor, labels: Tensor | None, passes: int) -> Tensor:
        mean = self._encoder.mean
        latents = mean.expand(len(images), *[-1] * mean.ndim)
        for _ in range(passes):
            drawn = draw_latents(self._generator, latents, labels)
            latents = latents + self._encoder(images, drawn)
        return latents


def open_encoder(path: Path, loaded: LoadedNetwork[Any]) -> Encoding:
    """The encoder of a file or folder of `mien encoder`. Raises InputError where it is another model's."""
    found = load_network(path, kind=KIND)
    config = Config(**found.header.config)
    model = config.model
    if model != loaded.model and not loaded.header.origin.startswith(f"{model} tuned"):
        raise InputError(f"{path}: an encoder for {model}, and the generator here is {loaded.model}")
    return Encoding(found.network, loaded.network, config.passes_at_use, found.model)

"""Images inlined in pages as data: URIs of bounded size; generated ones keep their provenance mark."""

import base64
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from mien import TOOL
from mien.core.checkpoint import NetworkHeader
from mien.core.image import grid, to_hwc
from mien.core.network import LoadedNetwork
from mien.core.picture import BadPicture, Pixels, read_picture
from mien.core.provenance import Provenance, SourceType, encode_picture, save_animation
from mien.core.run import RunFolder
from mien.core.sampling import draw, latents
from mien.core.types import Dataset
from mien.labels.conditions import rows_for

_MOST_SAMPLE_SIDE = 256
_MOST_GRID_SIDE = 768
_MOST_ANIMATION_BYTES = 3_000_000
_MOST_FRAMES = 400
_MANY_FRAMES = 60
_LEAST_FRAME_SIDE = 96
_MOST_FRAME_PIXELS = 1 << 22


@dataclass(frozen=True)
class Shown:
    """An image inlined in a page. uri: data:...; alt: text for those who do not see it."""

    uri: str
    width: int
    height: int
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Samples:
    """Samples of a model. images: uint8 [N, C, H, W] on the CPU; seeds and class names of each."""

    images: Tensor
    seeds: tuple[int, ...]
    classes: tuple[str, ...]
    model: str


def draw_samples(loaded: LoadedNetwork[Any], dataset: Dataset | None, count: int) -> Samples:
    """Draw seeds 0 to count - 1; a conditional generator gets the dataset's labels, or each class in turn."""
    seeds = list(range(count))
    network, spec = loaded.network, loaded.header.spec
    device = next(network.parameters()).device
    labels = _labels(loaded.header, dataset, count)
    z = latents(seeds, network.z_dim).to(device)
    images = draw(network, z, None if labels is None else labels.to(device))
    names = spec.class_names or tuple(f"class {index}" for index in range(spec.label_dim))
    classes = ("",) * count if labels is None else tuple(_named(row, names) for row in labels)
    return Samples(images, tuple(seeds), classes, loaded.model)


def show_sample(samples: Samples, index: int) -> Shown:
    """One sample, with the provenance mark of its model and seed."""
    seed, about = samples.seeds[index], samples.classes[index]
    image = _bounded(to_hwc(samples.images[index]), _MOST_SAMPLE_SIDE)
    alt = f"generated face, seed {seed}" + (f", {about}" if about else "")
    return _inlined(image, Provenance(samples.model, seed, TOOL), alt, f"seed {seed}")


def show_real(dataset: Dataset, index: int, caption: str) -> Shown:
    """One training image."""
    pixels = torch.from_numpy(np.ascontiguousarray(dataset.images(np.array([index]))[0]))
    image = _bounded(to_hwc(pixels), _MOST_SAMPLE_SIDE)
    source = str(dataset.records[index].get("source", "")) if index < len(dataset.records) else ""
    alt = f"training picture {index}" + (f", {source}" if source else "")
    return _inlined(image, None, alt, caption)


def show_strip(images: np.ndarray, alt: str, *, made: SourceType | None) -> Shown:
    """Images uint8 [N, C, H, W] side by side. made: how, where they are not photos."""
    return show_image(grid(torch.from_numpy(images), len(images)), alt, made=made)


def show_image(image: Pixels, alt: str, *, made: SourceType | None) -> Shown:
    """One image uint8 [H, W, 3]. made: as for `show_strip`."""
    return _inlined(image, None if made is None else Provenance("", None, TOOL, made), alt)


def _inlined(image: Pixels, mark: Provenance | None, alt: str, caption: str = "") -> Shown:
    """An image with its mark; without, it is no generated one."""
    if mark is not None:
        data = encode_picture(image, ".webp", mark)
    else:
        buffer = io.BytesIO()
        _pillow(image).save(buffer, format="WEBP", quality=88, method=4)
        data = buffer.getvalue()
    return Shown(_uri(data), image.shape[1], image.shape[0], alt, caption)


def show_grid(path: Path, alt: str, *, generated: bool) -> Shown:
    """A grid image of the run. Raises BadPicture."""
    image = _bounded(read_picture(path), _MOST_GRID_SIDE)
    return show_image(image, alt, made=SourceType.TRAINED if generated else None)


def show_timelapse(run: RunFolder) -> tuple[Shown, Shown]:
    """The timelapse, thinned until it is small enough, and its last frame. Raises BadPicture."""
    path = run.timelapse
    frames, milliseconds = _frames(path)
    data = path.read_bytes()
    length = milliseconds * len(frames)
    while len(data) > _MOST_ANIMATION_BYTES and len(frames) > 2:
        side = max(round(max(frames[0].shape[:2]) * 0.75), _LEAST_FRAME_SIDE)
        if len(frames) > _MANY_FRAMES or side == _LEAST_FRAME_SIDE:
            frames = frames[::-2][::-1]  # from the end: the last one always stays
        frames = [_bounded(frame, side) for frame in frames]
        with tempfile.TemporaryDirectory() as folder:
            thin, milliseconds = Path(folder) / "timelapse.webp", length // len(frames)
            save_animation(thin, frames, Provenance("", None, TOOL), milliseconds=milliseconds)
            data = thin.read_bytes()
    height, width = frames[0].shape[:2]
    alt = f"the same seeds drawn again and again while training, {len(frames)} frames"
    still = _inlined(frames[-1], Provenance("", None, TOOL), "the last frame of the timelapse")
    return Shown(_uri(data), width, height, alt), still


def _frames(path: Path) -> tuple[list[Pixels], int]:
    try:
        with Image.open(path, formats=["WEBP"]) as picture:
            if (
                picture.width * picture.height > _MOST_FRAME_PIXELS
                or getattr(picture, "n_frames", 1) > _MOST_FRAMES
            ):
                raise BadPicture(str(path), "too-many-pixels", "it is larger than the report takes")
            frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
            return frames, int(picture.info.get("duration") or 120)
    except BadPicture:
        raise
    except Exception as error:  # decoders fail in a dozen ways on broken files
        raise BadPicture(str(path), "unreadable", "the animation is damaged") from error


def _labels(header: NetworkHeader, dataset: Dataset | None, count: int) -> Tensor | None:
    width = header.spec.label_dim
    if not width:
        return None
    rows = None if dataset is None else rows_for(header.spec, dataset)
    if rows is None and header.label_rows:
        rows = np.array(header.label_rows, np.float32)
    if rows is not None:
        return torch.from_numpy(rows[np.random.RandomState(0).randint(0, len(rows), count)])
    return torch.eye(width)[torch.arange(count) % width]


def _named(label: Tensor, names: tuple[str, ...]) -> str:
    present = [name for name, value in zip(names, label.tolist(), strict=True) if value > 0.5]
    return ", ".join(present[:3]) + (" ..." if len(present) > 3 else "")


def _bounded(image: Pixels, side: int) -> Pixels:
    """`image` [H, W, 1 or 3] shrunk, antialiased, until no side is longer than `side`."""
    if max(image.shape[:2]) <= side:
        return image
    picture = _pillow(image)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    shrunk = np.asarray(picture)
    return shrunk[..., np.newaxis] if shrunk.ndim == 2 else shrunk


def _pillow(image: Pixels) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def _uri(data: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(data).decode()

"""The latents of images: by an encoder, by optimisation, or by one after the other."""

import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.core import cluster
from mien.core.atomic import file_sha256
from mien.core.checkpoint import NetworkHeader
from mien.core.cluster import Shard
from mien.core.errors import InputError, MienError
from mien.core.events import Events
from mien.core.network import load_network
from mien.core.sampling import device_of
from mien.core.storage import on_worker, shared
from mien.core.styles import Styled
from mien.faces.identity import ARTEFACT as IDENTITY
from mien.generation.drawing import Drawing
from mien.labels.vectors import label_vectors
from mien.latent.codes import Codes
from mien.latent.projection.encoder import open_encoder, packaged_encoder
from mien.latent.projection.objective import open_identity, open_lpips
from mien.latent.projection.options import ProjectOptions
from mien.latent.projection.projector import Projected, Projector, Saved, Starts, Watch, all_of, batches_of
from mien.latent.projection.quasi_newton import scale_of
from mien.latent.projection.spaces import Labels, Space, open_space
from mien.latent.projection.targets import Target
from mien.nn.lpips import ARTEFACT, Lpips

_LABEL_ROWS = 64  # labels of the samples that a conditional space is measured with


class Finder:
    """Finds latents of images for one generator. space: where it searches. lpips: AlexNet's, or None.

    options: as given, with the encoder that comes with the generator where one may help and none is named.
    """

    def __init__(
        self, drawing: Drawing, options: ProjectOptions, events: Events, *, lpips: bool = True
    ) -> None:
        if options.encoder is None and options.may_guess:
            options = options.model_copy(update={"encoder": packaged_encoder(drawing.loaded)})
        self._drawing, self.options, self._events = drawing, options, events
        self._labels = known_labels(drawing, options)
        path = options.encoder
        self._encoding = None if path is None else open_encoder(path, drawing.loaded)
        basis = None if self._encoding is None else self._encoding.basis
        self.space: Space = open_space(options.space, drawing.loaded, self._labels, basis)
        self.lpips: Lpips | None = None
        if lpips:
            place = device_of(drawing.loaded.network)
            self.lpips = open_lpips("alexnet", events, instead="pixels alone are compared", device=place)
        if options.chosen_method != "optimise" and self._encoding is None:
            raise InputError(f"--method {options.chosen_method}: name the --encoder; mien encoder makes one")
        if options.optimiser == "lbfgs" and (options.moves_more or options.lr is not None):
            raise InputError(
                "--optimiser lbfgs: it finds latents alone and its own steps; leave out --noise,"
                " --initial-noise, --optimise-label and --lr"
            )
        in_z = self.space.name == "z" and isinstance(drawing.loaded.network, Styled)
        if self._encoding is not None and in_z:
            raise InputError("--encoder: it finds latents in w, and --space z is searched")

    @property
    def encoder_model(self) -> str:
        """The id of the encoder, "" where there is none."""
        return "" if self._encoding is None else self._encoding.model

    def find(
        self,
        targets: Sequence[Target],
        saved: Saved,
        *,
        watch: Watch | None = None,
        address: str | None = None,
    ) -> Projected:
        """Latents of all targets. Stopped, it leaves its state in `saved` and raises.

        address: of a cluster that optimises, a batch a shard; see `core.cluster.opened`.
        """
        if self.options.chosen_method == "encoder":
            return self._encoded(targets)
        given = self._given(targets)
        if address is None:
            return self.projector(given, watch=watch).run(targets, saved, self._events)
        return self._spread(address, targets, given, saved)

    def projector(self, given: Tensor | None, *, watch: Watch | None = None, first: int = 0) -> Projector:
        """What optimises. given: where it begins. first: the number of its first target among all."""
        network, options, lpips, identity = self._drawing.loaded.network, self.options, self.lpips, None
        if options.identity:
            place = device_of(lpips)
            identity = open_identity(self._events, instead="identity does not count", device=place)
        starts = Starts(network, self.space, self._labels.rows, options, lpips, given)
        scale = self._scale if options.chosen_optimiser == "lbfgs" else None
        return Projector(network, self.space, starts, options, lpips, identity, scale, watch, first)

    @cached_property
    def _scale(self) -> Tensor:
        """What L-BFGS multiplies coordinates by."""
        network, labels = self._drawing.loaded.network, self._labels.rows
        return scale_of(self.space, network, labels, self.options.pixel, self.lpips)

    def _encoded(self, targets: Sequence[Target]) -> Projected:
        guess, labels = self._guess(targets)
        parameters = self.space.parameters(guess, labels)
        with torch.no_grad():
            return Projected(self.space.values(parameters), self.space.labels(parameters), {})

    def first(self, targets: Sequence[Target]) -> Codes | None:
        """The encoder's guess; None where there is no encoder."""
        return None if self._encoding is None else self.codes(self._encoded(targets))

    def _guess(self, targets: Sequence[Target]) -> tuple[Tensor, Tensor | None]:
        """The encoder's latents and the labels that they go with."""
        assert self._encoding is not None
        images, rows = torch.stack([target.image for target in targets]), self._labels.rows
        labels = None if rows is None else rows[:1].expand(len(images), -1)
        return self._encoding.latents(images, labels), labels

    def _spread(
        self, address: str, targets: Sequence[Target], given: Tensor | None, saved: Saved
    ) -> Projected:
        """Each batch by a worker; those that are done are in `saved`."""
        options, path = self.options, self._drawing.loaded.path
        needs = [] if self.lpips is None else [ARTEFACT["alexnet"]]
        changes: dict[str, Any] = {"steps": options.num_steps, "method": "optimise"}
        changes |= {"encoder": None, "init": None}  # of which `given` is all that counts
        changes["optimiser"] = options.chosen_optimiser
        if options.identity and open_identity(self._events, instead="identity does not count") is None:
            changes["identity"] = 0.0
        needs += [IDENTITY] * bool(changes.get("identity", options.identity))
        chosen = options.model_copy(update=changes).model_dump(mode="json")
        place = [*shared(path), file_sha256(path), list(self._drawing.label)]
        setup = json.dumps([*place, chosen, self.lpips is not None])
        parts = batches_of(targets, options)
        todo = [n for n in range(len(parts)) if not saved.is_done(n)]
        shards = [_shard(setup, parts[n], targets, given) for n in todo]
        done = len(targets) - sum(len(parts[n]) for n in todo)
        tick = self._events.progress("projecting", unit="faces")
        with cluster.opened(address, needs=needs) as pool:
            for at, projected in pool.run(project_shard, shards):
                saved.parts[f"batch{todo[at]}"] = projected
                saved.write()
                done += len(parts[todo[at]])
                tick(done, len(targets))
        return all_of(saved, len(parts))

    def _given(self, targets: Sequence[Target]) -> Tensor | None:
        """Latents to begin with: of a file, one or one for each target, or the encoder's."""
        path, count = self.options.init, len(targets)
        if path is None:
            return self._guess(targets)[0] if self.options.chosen_method == "both" else None
        given = Codes.read(path, self._drawing).values
        if len(given) not in (1, count):
            raise InputError(
                f"{path}: {len(given)} latents, and there are {count} faces; give one or as many"
            )
        if self.space.name == "z" and given.ndim == 3:
            raise InputError(f"--init {path}: latents in w cannot begin a search in z")
        return given

    def codes(self, projected: Projected) -> Codes:
        """What was found as latents of the generator."""
        space = "w" if projected.values.ndim == 3 else "z"
        labels = projected.labels if space == "z" else None
        return Codes(projected.values, space, self._drawing.loaded.model, labels)  # type: ignore[arg-type]


def _shard(setup: str, part: range, targets: Sequence[Target], given: Tensor | None) -> Shard:
    faces = [
        (_plain(target.image), None if target.points is None else target.points.tolist())
        for target in (targets[index] for index in part)
    ]
    begin = None if given is None else _plain(given[list(part)] if len(given) > 1 else given)
    return Shard((setup, part.start, faces, begin))


def project_shard(
    setup: str, first: int, faces: list[tuple[Any, list[list[float]] | None]], given: Any
) -> dict[str, Any]:
    """One batch of targets. Raises MienError where a worker has another generator, or none."""
    targets = [
        Target(f"{first + at}", _tensor(*image), "", points=None if points is None else np.array(points))
        for at, (image, points) in enumerate(faces)
    ]
    begin = None if given is None else _tensor(*given)
    projector = _opened(setup).projector(begin, first=first)
    return vars(projector.run(targets, Saved(None, ""), Events()))


@lru_cache(maxsize=1)
def _opened(setup: str) -> Finder:
    place, version, sha256, label, options, lpips = json.loads(setup)
    path = on_worker(place, version)
    if file_sha256(path) != sha256:
        raise MienError(f"{place}: another file on a worker than here")
    drawing = Drawing(load_network(path), 1.0, tuple(label))
    return Finder(drawing, ProjectOptions(**options), Events(), lpips=lpips)


def _plain(x: Tensor) -> tuple[str, list[int], bytes]:
    values = x.contiguous().numpy()
    return values.dtype.str, list(values.shape), values.tobytes()


def _tensor(dtype: str, shape: list[int], data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, dtype).reshape(shape).copy())


def known_labels(drawing: Drawing, options: ProjectOptions) -> Labels:
    """Labels as asked for, else such as occur together in what the generator learnt from."""
    header = drawing.loaded.header
    if not header.spec.label_dim:
        return Labels()
    if drawing.label:
        rows = label_vectors(header, drawing.label, range(_LABEL_ROWS))
        assert rows is not None
    else:
        rows = torch.tensor(header.label_rows, dtype=torch.float32)
        rows = rows if len(rows) else torch.eye(header.spec.label_dim)
    choice = bool((rows.sum(dim=1) == 1).all()) and bool(((rows == 0) | (rows == 1)).all())
    return Labels(rows, moves=options.optimise_label, choice=choice)


def label_in_words(labels: Tensor, header: NetworkHeader) -> str:
    """The label of one row [label_dim] in words: a class, or each name with its value."""
    names: Sequence[Any] = header.spec.class_names or range(header.spec.label_dim)
    if abs(float(labels.sum()) - 1) < 1e-3:
        return f"{names[int(labels.argmax())]} ({float(labels.max()):.2f})"
    return ", ".join(f"{name}={float(value):.2f}" for name, value in zip(names, labels, strict=True))

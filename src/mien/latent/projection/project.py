"""`mien project`: the latents whose images come nearest to given faces."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import Parameter
from torch import Tensor

from mien.core import cluster as clusters
from mien.core import storage
from mien.core.atomic import explain
from mien.core.errors import InputError, want_folder
from mien.core.events import Column, Events, Table, job
from mien.core.image import to_float, to_uint8
from mien.core.network import load_network
from mien.core.picture import photo_paths
from mien.core.run import RunFolder
from mien.core.sampling import device_of
from mien.core.seeds import parse_seeds
from mien.core.stop import Stop
from mien.core.styles import Styled
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.film import check_film
from mien.latent.projection.find import Finder, label_in_words
from mien.latent.projection.objective import open_identity, open_lpips
from mien.latent.projection.options import ProjectOptions
from mien.latent.projection.pivotal_tuning import Tuning, save_tuned
from mien.latent.projection.projector import Projected, Saved, identity_of
from mien.latent.projection.results import Projection, Writer, measured, summary, write_projection
from mien.latent.projection.spaces import synthesised
from mien.latent.projection.targets import (
    Target,
    collect_faces,
    targets_of_photos,
    targets_of_seeds,
    with_meshes,
)
from mien.training.settings import pick_device

_DEFAULTS = ProjectOptions()
_Options = Annotated[ProjectOptions, Parameter(name="*")]


@job
def generated(
    events: Events,
    source: Path | None = None,
    /,
    *,
    out: Path,
    seeds: str = "0-3",
    cluster: str | None = None,
    options: _Options = _DEFAULTS,
) -> list[Projection]:
    """Find the latents of faces that the generator drew itself, to see how well that works.

    Raises InputError; stopped, the same command goes on.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; the model that comes with mien by default.
    out
        Folder for what is found: a folder for each face, report.html and projection.json.
    seeds
        Like 0,1,5: the faces.
    cluster
        Let a Dask cluster optimise, --batch faces at a time: tcp://HOST:PORT, or local for processes of this
        machine. Its workers need the generator's file at the same place.
    """
    want_folder(out)
    chosen = parse_seeds(seeds)
    drawing = _drawing(source, options, always_labelled=True)
    targets = targets_of_seeds(drawing, chosen)
    return _project(events, drawing, targets, options, out, cluster=cluster)


@job
def real(
    events: Events,
    source: Path,
    /,
    *photos: Path,
    out: Path,
    face: str = "largest",
    all_faces: Annotated[bool, Parameter(negative="")] = False,
    paste: Annotated[bool, Parameter(negative="")] = False,
    cluster: str | None = None,
    options: _Options = _DEFAULTS,
) -> list[Projection]:
    """Find the latents nearest to the faces of photos, which are cut out as `mien prepare` does.

    A photo that cannot be used is named, and the others go on. Raises InputError; stopped, the same command
    goes on.

    Parameters
    ----------
    source
        A run folder (its newest generator) or a .safetensors file; packaged for the model that comes with
        mien.
    photos
        Pictures or folders of them.
    out
        Folder for what is found: a folder for each face, report.html and projection.json.
    face
        Which face of a photo that shows several: largest, all, or a number (2: the second largest).
    all_faces
        The same as --face all.
    paste
        Put each projected face back into its photo, as pasted.png.
    cluster
        Let a Dask cluster optimise, --batch faces at a time: tcp://HOST:PORT, or local for processes of this
        machine. Its workers need the generator's file at the same place.
    """
    want_folder(out)
    drawing = _drawing(source, options, always_labelled=False)
    spec = drawing.loaded.header.spec
    paths = photo_paths(photos)
    faces = collect_faces(paths, spec.resolution, events, "all" if all_faces else face)
    targets = targets_of_photos(faces, spec.channels)
    return _project(events, drawing, targets, options, out, paste=paste, cluster=cluster)


def _drawing(source: Path | None, options: ProjectOptions, *, always_labelled: bool) -> Drawing:
    """The generator; labels are needed to draw, and to search in z unless they are found too."""
    place = pick_device(options.device)
    loaded = load_network(source, device=place)
    styled = isinstance(loaded.network, Styled)
    in_z = not styled or options.space == "z"
    if options.optimise_label and not (in_z and loaded.header.spec.label_dim):
        why = "w holds the label already" if loaded.header.spec.label_dim else "this model has none"
        raise InputError(f"--optimise-label: {why}; it is for --space z of a model trained with labels")
    if always_labelled or options.label or (in_z and not options.optimise_label):
        return Drawing.of(source, trunc=1.0, label=options.label, device=place)
    return Drawing(loaded, 1.0, ())


def _project(
    events: Events,
    drawing: Drawing,
    targets: Sequence[Target],
    options: ProjectOptions,
    out: Path,
    *,
    cluster: str | None,
    paste: bool = False,
) -> list[Projection]:
    if options.video:
        check_film(256, 256)
    clusters.check(cluster)
    with storage.sent(out, events) as (made, events):
        try:
            made.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, made) from error
        with RunFolder(made).lock():
            return _Run(events, drawing, targets, options, made).project(paste=paste, cluster=cluster)


class _Run:
    """One projection of targets into a folder."""

    def __init__(
        self, events: Events, drawing: Drawing, targets: Sequence[Target], options: ProjectOptions, out: Path
    ) -> None:
        self._events, self._drawing, self._out = events, drawing, out
        self._finder = Finder(drawing, options, events)
        self._options = options = self._finder.options
        if options.face_weight != 1:
            targets = with_meshes(targets, events)
        self._targets = targets
        start = () if options.init is None else (Codes.read(options.init, drawing).values.numpy().tobytes(),)
        identity = identity_of(drawing.loaded.model, targets, options, self._finder.encoder_model, *start)
        self._saved = Saved(out, identity)
        self._saved.read(events)

    def project(self, *, paste: bool, cluster: str | None) -> list[Projection]:
        self._describe()
        projected = self._finder.find(self._targets, self._saved, address=cluster)
        drawing, codes = self._drawing, self._finder.codes(projected)
        if self._options.tune:
            drawing = self._tuned(codes)
            codes = replace(codes, model=drawing.loaded.model)
        projections = self._projections(projected, codes, drawing)
        writer = Writer(self._out, drawing, self._events)
        for index, projection in enumerate(projections):
            writer.write(projection, projected, index, every=self._options.every, video=self._options.video)
            if paste:
                projections[index] = writer.paste(projection)
        writer.write_all(codes, self._targets)
        page = write_projection(self._out, projections, self._options, self._about())
        self._saved.remove()
        rows = tuple((name, f"{value:.3f}") for name, value in summary(projections).items())
        self._events.send(Table((Column("measure"), Column("median", numbers=True)), rows))
        self._events.wrote(page, "each face before and after, with its distances")
        return projections

    def _describe(self) -> None:
        space, network = self._finder.space.name, self._drawing.loaded.network
        if not isinstance(network, Styled) and self._options.space is None:
            self._events.note(f"{self._drawing.loaded.model} has no w: searching in z")
        if self._saved.parts:
            self._events.note("goes on where it was stopped")
        steps = self._options.num_steps
        how = "by the encoder alone" if not steps else f"{steps} steps"
        faces = "1 face" if len(self._targets) == 1 else f"{len(self._targets)} faces"
        self._events.note(f"{faces} into {space} of {self._drawing.loaded.model}, {how}")

    def _tuned(self, codes: Codes) -> Drawing:
        """The generator bent to the faces, written and loaded again."""
        options, loaded = self._options, self._drawing.loaded
        images = to_float(torch.stack([target.image for target in self._targets]))
        tuning = Tuning(
            loaded.network, codes, images, lpips=self._finder.lpips, lr=options.tune_lr, seed=options.seed
        )
        if "tuning" in self._saved.parts:
            tuning.load_state_dict(self._saved.parts["tuning"])
        tick = self._events.progress("tuning", unit="steps")
        with Stop() as stop:
            for step in tuning.run(options.tune_steps):
                try:
                    tick(step, options.tune_steps)
                    if stop.asked:
                        raise KeyboardInterrupt
                except BaseException:
                    self._saved.parts["tuning"] = tuning.state_dict()
                    self._saved.write()
                    raise
        path = self._out / "tuned.safetensors"
        save_tuned(path, tuning.network, loaded, len(self._targets))
        self._events.wrote(path, "the generator tuned to these faces")
        return replace(self._drawing, loaded=load_network(path, device=device_of(loaded.network)))

    def _projections(self, projected: Projected, codes: Codes, drawing: Drawing) -> list[Projection]:
        with_noise = projected.noise and not self._options.tune
        images = self._with_noise(projected) if with_noise else codes.draw(drawing)
        lpips = open_lpips("vgg", self._events, instead="the report has no LPIPS")
        identity = open_identity(self._events, instead="the report has no identity distance")
        network, labels = drawing.loaded.network, projected.labels if self._options.optimise_label else None
        scores = measured(self._targets, images, codes.values, network, lpips=lpips, identity=identity)
        projections = []
        for index, (target, image, score) in enumerate(zip(self._targets, images, scores, strict=True)):
            words = "" if labels is None else label_in_words(labels[index], drawing.loaded.header)
            projections.append(Projection(target, codes[index : index + 1], image, score, words))
        return projections

    @torch.no_grad()
    def _with_noise(self, projected: Projected) -> Tensor:
        network = self._drawing.loaded.network
        drawn = []
        for row in range(len(projected.values)):
            maps = {name: value[row : row + 1] for name, value in projected.noise.items()}
            drawn.append(synthesised(network, projected.values[row : row + 1], maps))
        return to_uint8(torch.cat(drawn))

    def _about(self) -> dict[str, str]:
        options = self._options
        return {
            "title": "Projection" if len(self._targets) > 1 else f"Projection of {self._targets[0].source}",
            "model": self._drawing.loaded.model,
            "space": self._finder.space.name,
            "method": options.chosen_method,
            "steps": str(options.num_steps),
        }

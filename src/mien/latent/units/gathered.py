"""Pictures with action units, and what these are read from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.core.errors import InputError
from mien.core.events import Events
from mien.core.network import load_network
from mien.core.types import Dataset
from mien.datasets.opening import open_dataset
from mien.latent.codes import write_arrays
from mien.latent.units.action_units import UnitLabels, unit_labels
from mien.latent.units.encoded import latents_of
from mien.latent.units.features import (
    KINDS,
    latent_features,
    model_of_latents,
    picture_features,
    rows_of_latents,
)
from mien.latent.units.neutral import Neutral, Rows, against, chosen_rows

Floats = np.ndarray


@dataclass(frozen=True)
class Place:
    """Where latents are: in a file, or to be found by a generator's encoder and a few steps."""

    latents: Path | None = None
    source: Path | None = None
    encoder: Path | None = None
    steps: int = 0
    device: str = "auto"

    @property
    def is_known(self) -> bool:
        """Whether latents were spoken of at all."""
        return any(path is not None for path in (self.latents, self.source, self.encoder))

    def model(self) -> str:
        """The id of the generator whose latents these are, "" where it is not known. Raises InputError."""
        if self.latents is not None:
            return model_of_latents(self.latents)
        return load_network(self.source).model if self.is_known else ""


@dataclass(frozen=True)
class Faces:
    """The pictures. rows: of each the neutral ones that it is read against; None: it is read as it is."""

    dataset: Dataset
    place: Place
    rows: Rows | None
    events: Events

    @classmethod
    def open(cls, data: str, place: Place, neutral: Neutral, events: Events) -> "Faces":
        """Raises InputError."""
        dataset = open_dataset(data, progress=events.progress("opening images"))
        rows = chosen_rows(dataset, neutral)
        if rows is not None:
            without = sum(not others for others in rows) - len({o for others in rows for o in others})
            events.note("faces are read against each person's neutral one; --neutral ignore reads them alone")
            if without:
                events.note(f"{without:,} pictures of people without a neutral one are left out")
        return cls(dataset, place, rows, events)

    def labels(self, data: str) -> UnitLabels:
        """Raises InputError where there are none, or of one person alone."""
        labels = unit_labels(self.dataset)
        if len(set(labels.people)) < 2:
            raise InputError(f"{data}: pictures of one person; others are needed to test on")
        return labels

    @property
    def names(self) -> list[str]:
        """Of the pictures, as files of latents name them."""
        return [
            str(record.get("file") or record.get("source") or index)
            for index, record in enumerate(self.dataset.records)
        ]

    def features(self, kind: str, keep: Path | None = None) -> Floats:
        """float64 [N, F]; NaN rows where there is nothing to read from, or no neutral face.

        keep: where latents that are found are written. Raises InputError.
        """
        if kind not in KINDS:
            raise InputError(f"--features {kind}: choose from {', '.join(KINDS)}")
        if kind == "latents":
            values = self._latents(keep)
        else:
            values = picture_features(kind, self.dataset, self.events.progress(f"looking at {kind}"))
        blind = int((~np.isfinite(values).all(axis=1)).sum())
        if blind:
            self.events.note(f"{kind}: nothing to read from in {blind:,} of {len(values):,} pictures")
        if self.rows is not None:
            values = against(values, self.rows)
        if not np.isfinite(values).all(axis=1).any():
            raise InputError(
                f"{self.dataset.name}: there is nothing to read units from ({kind}) in any picture"
            )
        return values

    def _latents(self, keep: Path | None) -> Floats:
        place = self.place
        if place.latents is not None:
            return latent_features(place.latents, self.names)
        if not place.is_known:
            raise InputError(
                "--features latents: --latents FILE.npz says which, or --source RUN and --encoder FOLDER"
            )
        codes = latents_of(
            self.dataset,
            place.source,
            place.encoder,
            steps=place.steps,
            device=place.device,
            events=self.events,
        )
        if keep is not None:
            write_arrays(keep, codes.arrays() | {"names": np.array(self.names)})
            self.events.wrote(keep, "the latents that were found; --latents takes them")
        return rows_of_latents(codes.values.double().cpu().numpy())

"""The file of a model that reads action units."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import safetensors
import safetensors.numpy
from pydantic import BaseModel, ValidationError
from scipy.special import expit

from mien import TOOL
from mien.core.atomic import write_bytes
from mien.core.errors import InputError
from mien.latent.units.action_units import UnitLabels, UnitModel, UnitScores, cross_validate, fit_units

_KEY = "mien"

Floats = np.ndarray


class _Header(BaseModel):
    format: Literal[1] = 1
    features: str
    units: tuple[str, ...]
    graded: tuple[bool, ...]
    scores: UnitScores | None = None
    neutral: bool = False
    model: str = ""
    tool: str = TOOL


@dataclass(frozen=True)
class UnitReader:
    """A trained model of several units from one kind of features.

    scores: how it did when cross-validated. neutral: it reads differences to each person's neutral face.
    model: the id of the generator whose latents it reads; "" where it reads pictures, or that is not known.
    """

    features: str
    names: tuple[str, ...]
    models: tuple[UnitModel, ...]
    scores: UnitScores | None = None
    neutral: bool = False
    model: str = ""

    def check(self, model: str, where: str) -> None:
        """Raise InputError where latents of the generator `model` are another's. "": not known."""
        if self.model and model and model != self.model:
            raise InputError(
                f"{where}: latents of {model}, and these units were learnt from those of {self.model}"
            )

    def read(self, features: Floats) -> tuple[Floats, Floats, Floats]:
        """features [N, F] to presence (1, 0), probability, intensity (NaN: not graded), each [N, units]."""
        width = len(self.models[0].weights)
        if features.shape[1] != width:
            raise InputError(
                f"{features.shape[1]} numbers a face, and these units are read from {width} ({self.features})"
            )
        scores = np.stack([features @ model.weights + model.bias for model in self.models], 1)
        thresholds = np.array([model.threshold for model in self.models])
        nothing = np.full(len(features), np.nan)
        grades = [
            nothing if m.grade_weights is None else np.clip(features @ m.grade_weights + m.grade_bias, 0, 5)
            for m in self.models
        ]
        present = np.where(np.isfinite(scores), scores >= thresholds, np.nan)
        return present, expit(scores), np.stack(grades, 1)

    def save(self, path: Path) -> None:
        """Write one safetensors file, whole or not at all."""
        graded = tuple(model.grade_weights is not None for model in self.models)
        header = _Header(
            features=self.features,
            units=self.names,
            graded=graded,
            scores=self.scores,
            neutral=self.neutral,
            model=self.model,
        )
        none = np.zeros_like(self.models[0].weights)
        tensors = {
            "weights": np.stack([m.weights for m in self.models]),
            "bias": np.array([(m.bias, m.threshold, m.grade_bias) for m in self.models]),
            "grade_weights": np.stack(
                [none if m.grade_weights is None else m.grade_weights for m in self.models]
            ),
        }
        envelope = {"units": header.model_dump(mode="json"), "sha256": _digest(tensors)}
        write_bytes(path, safetensors.numpy.save(tensors, {_KEY: json.dumps(envelope, sort_keys=True)}))

    @classmethod
    def load(cls, path: Path) -> "UnitReader":
        """Read a file of ours. Raises InputError where it is none or damaged."""
        try:
            data = path.read_bytes()
            text = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"][_KEY]
            envelope = json.loads(text)
            header = _Header.model_validate(envelope["units"])
            tensors = safetensors.numpy.load(data)
            if _digest(tensors) != envelope["sha256"]:
                raise ValueError("another sum")
            rows = zip(
                tensors["weights"], tensors["bias"], tensors["grade_weights"], header.graded, strict=True
            )
            models = tuple(UnitModel(w, b[0], b[1], g if graded else None, b[2]) for w, b, g, graded in rows)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        except (
            safetensors.SafetensorError,
            ValidationError,
            ValueError,
            KeyError,
            TypeError,
            RecursionError,
        ) as error:
            raise InputError(
                f"{path}: no model of action units, or damaged; mien units train writes one"
            ) from error
        return cls(header.features, header.units, models, header.scores, header.neutral, header.model)


def train_units(
    features: Floats, labels: UnitLabels, kind: str, *, neutral: bool = False, model: str = ""
) -> UnitReader:
    """Cross-validate, then learn from everybody. features: [N, F], finite. model: see `UnitReader`."""
    scores = cross_validate(features, labels, kind, neutral=neutral)
    fitted = zip(labels.names, fit_units(features, labels), strict=True)
    kept = [(name, model) for name, model in fitted if model is not None]
    names, models = tuple(name for name, _ in kept), tuple(model for _, model in kept)
    return UnitReader(kind, names, models, scores, neutral, model)


def _digest(tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()

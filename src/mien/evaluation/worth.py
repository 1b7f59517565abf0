"""`mien worth`: whether synthetic training images help a small model on real ones.

The same small model (the family `attributes`) is trained on real pictures, on synthetic ones, on both, and on
real ones with classical augmentation; several times each, with as many updates each, and every one is tested
on the same real people, of whom none was learnt from.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import BaseModel, Field

from mien.core.atomic import sweep_temporaries, write_text
from mien.core.errors import InputError, want_folder
from mien.core.events import Events, job
from mien.core.run import RunFolder
from mien.core.stop import Stop
from mien.evaluation import worth_sets
from mien.evaluation.worth_models import Arm, Plan, Result, arms_of, result_of
from mien.evaluation.worth_page import result_events, verdict, write_page
from mien.evaluation.worth_scores import (
    ArmScore,
    Worth,
    backwards,
    gain,
    guess,
    mean_score,
    scale_of,
    score,
)
from mien.evaluation.worth_sets import BESIDE, REAL
from mien.models import attributes
from mien.training.settings import pick_device, resolve_config

_RESULTS = "models"


class WorthOptions(BaseModel, frozen=True, extra="forbid"):
    """Options of `mien worth` beside the real pictures and the label."""

    synthetic: tuple[str, ...] = Field(
        (),
        description="NAME=DATASET; may be repeated; each is also compared with those before it. DATASET may"
        " be a run that trained a generator with --labels.",
    )
    seeds: int = Field(5, ge=2, le=100, description="How many models of each kind.")
    kimg: float = Field(
        20.0,
        gt=0,
        description="Thousand pictures that each model sees, repeated as needed: as many updates for all.",
    )
    real_count: int | None = Field(
        None, ge=2, description="Only that many real pictures to learn from, drawn anew by each seed."
    )
    held_out: float = Field(
        0.2, gt=0, lt=1, description="Share of the real pictures to test on, whole people."
    )
    drawn: int = Field(
        2000, ge=2, description="How many pictures to draw where a synthetic set is a generator."
    )
    preset: str = Field("quick", description="Named configuration of the model family `attributes`.")
    set: tuple[str, ...] = Field((), description="Change one number of the model: --set lr=0.001.")
    device: str = Field("auto", description="cpu, cuda, cuda:1, mps or auto.")


_DEFAULTS = WorthOptions()


@job
def worth(
    events: Events,
    /,
    *,
    real: str,
    label: str,
    options: Annotated[WorthOptions, Parameter(name="*")] = _DEFAULTS,
    out: Path = Path("worth"),
) -> Worth:
    """Say whether synthetic pictures help a small model that is to read a label off real ones.

    The same model learns from real pictures, from real ones with classical augmentation, from each synthetic
    set, and from real ones and each; every one is tested on the same real people, of whom none learnt. The
    same command again goes on where it was stopped. Returns what is in worth.json. Raises InputError.

    Parameters
    ----------
    real
        Real pictures with the label: a zip, a folder, or NAME:WHERE.
    label
        What to read: a label of the manifest or a label column, "class" for sub-folders, "gaze" for the line
        of sight (gaze_yaw and gaze_pitch).
    out
        Folder for worth.json, worth.html and each model's predictions.
    """
    want_folder(out)
    config = _config(options)
    sets = worth_sets.open_sets(
        real,
        options.synthetic,
        label,
        held_out=options.held_out,
        drawn=options.drawn,
        progress=events.progress("opening pictures"),
    )
    nimg = max(1, round(options.kimg * 1000))
    plan = Plan(sets, config, nimg, options.real_count, pick_device(options.device))
    for note in sets.notes:
        events.note(note)
    folder = out / _RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    with RunFolder(out).lock():
        sweep_temporaries(folder)
        results = _results(plan, options.seeds, folder, events)
        result = summarise(plan, results, label)
        write_text(out / "worth.json", result.model_dump_json(indent=2) + "\n")
        write_page(result, sets, out / "worth.html")
    for event in result_events(result):
        events.send(event)
    events.wrote(out / "worth.html")
    return result


def _config(options: WorthOptions) -> attributes.Config:
    for change in options.set:
        if change.partition("=")[0].strip().replace("-", "_") in ("labels", "held_out"):
            raise InputError(f"--set {change}: say that with --label and --held-out")
    config = resolve_config(attributes, "attributes", options.preset, options.set)
    assert isinstance(config, attributes.Config)
    return config


def _results(plan: Plan, seeds: int, folder: Path, events: Events) -> dict[str, list[Result]]:
    """Results by arm, one for each seed. Seeds are the outer loop, so that a stop leaves all arms even."""
    arms = arms_of(plan.sets)
    results: dict[str, list[Result]] = {arm.name: [] for arm in arms}
    total = len(arms) * seeds * plan.nimg
    progress = events.progress(f"training {len(arms) * seeds} models")
    with Stop() as stop:
        for seed in range(seeds):
            for place, arm in enumerate(arms):
                before = (seed * len(arms) + place) * plan.nimg

                def tick(nimg: int, before: int = before) -> None:
                    if stop.asked:
                        raise KeyboardInterrupt
                    progress(before + min(nimg, plan.nimg), total)

                result = result_of(plan, arm, seed, folder, tick=tick, report=events.note)
                results[arm.name].append(result)
    return results


def summarise(plan: Plan, results: Mapping[str, Sequence[Result]], label: str) -> Worth:
    """All scores, gains and verdicts from the models' predictions."""
    sets = plan.sets
    truth = sets.test.labels
    assert truth is not None
    scale, num_people = scale_of(sets.targets), len(set(sets.people))
    scored = {
        name: [score(sets.targets, truth, result.predictions, sets.people) for result in of_arm]
        for name, of_arm in results.items()
    }
    arms, verdicts = [], []
    for arm in arms_of(sets):
        gains = tuple(
            gain(scored[arm.name], scored[over], over, num_people, higher=scale.higher)
            for over in _compared_with(arm, list(sets.synthetic))
        )
        mine, model = scored[arm.name], results[arm.name][0]
        figures = {
            name: mean_score(mine, which, num_people, higher=scale.higher)
            for which, name in enumerate(scale.names)
        }
        arms.append(
            ArmScore(
                name=arm.name,
                num_real=model.num_real,
                num_synthetic=model.num_synthetic,
                figures=figures,
                each=tuple(float(one.points[0]) for one in mine),
                gains=gains,
            )
        )
        verdicts += [verdict(arm.name, each, scale) for each in gains]
    constant = guess(sets.targets, truth)
    return Worth(
        label=label,
        figures=scale.names,
        higher=scale.higher,
        unit=scale.unit,
        guess=dict(zip(scale.names, map(float, constant), strict=True)),
        seeds=len(results[REAL]),
        updates=plan.updates,
        real=sets.test.name,
        real_hash=sets.test.content_hash,
        real_count=plan.real_count,
        num_test=len(sets.test),
        num_people=num_people,
        how=sets.how,
        config=plan.config.model_dump(),
        arms=tuple(arms),
        verdicts=tuple(verdicts),
        notes=sets.notes,
        warnings=tuple(
            f"{name}: its models read {sets.targets[0].name} backwards; does it mean the same in both sets?"
            for name in sets.synthetic
            if all(backwards(sets.targets, truth, one.predictions) for one in results[name])
        ),
    )


def _compared_with(arm: Arm, synthetic: Sequence[str]) -> list[str]:
    """The arms it is compared with: real, and the same with each synthetic set that was named before."""
    if not arm.synthetic:
        return [] if arm.name == REAL else [REAL]
    earlier = synthetic[: synthetic.index(arm.synthetic)]
    return [REAL, *((BESIDE if arm.real else "") + name for name in earlier)]

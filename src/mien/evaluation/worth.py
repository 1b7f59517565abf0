"""`mien worth`: does synthetic data help a small model that is to work on real pictures?

The same small model (the family `attributes`) is trained on real pictures, on synthetic ones, on both, and on
real ones with classical augmentation; several times each, with as many updates each, and every one is tested
on the same real people, of whom none was learnt from.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from mien.bars import bar
from mien.core.atomic import sweep_temporaries, write_text
from mien.core.errors import InputError
from mien.core.run import RunFolder
from mien.core.stop import Stop
from mien.evaluation import worth_sets
from mien.evaluation.worth_models import Arm, Plan, Result, arms_of, result_of
from mien.evaluation.worth_options import WorthOptions
from mien.evaluation.worth_page import write_page
from mien.evaluation.worth_scores import (
    ArmScore,
    Gain,
    Scale,
    Scored,
    Worth,
    backwards,
    figure,
    gain,
    guess,
    scale_of,
    score,
)
from mien.evaluation.worth_sets import BESIDE, REAL, Sets
from mien.evaluation.worth_words import verdict
from mien.models import attributes
from mien.training.settings import pick_device, resolve_config

_RESULTS = "models"


def worth(real: str, label: str, out: Path, options: WorthOptions, *, console: Console) -> Worth:
    """Train and test everything that is not there yet, write `worth.json` and `worth.html` into `out`.

    Stopped at any moment, the same command goes on with the next model. Raises InputError.
    """
    config = _config(options)
    with bar(console, "opening pictures") as progress:
        sets = worth_sets.open_sets(
            real,
            options.synthetic,
            label,
            held_out=options.held_out,
            drawn=options.drawn,
            progress=progress,
        )
    nimg = max(1, round(options.kimg * 1000))
    plan = Plan(sets, config, nimg, options.real_count, pick_device(options.device))
    for note in sets.notes:
        console.print(note, markup=False)
    folder = out / _RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    with RunFolder(out).lock():
        sweep_temporaries(folder)
        results = _results(plan, options.seeds, folder, console)
        found = summarise(plan, results, label)
        write_text(out / "worth.json", found.model_dump_json(indent=2) + "\n")
        write_page(found, sets, out / "worth.html")
    return found


def _config(options: WorthOptions) -> attributes.Config:
    for change in options.set:
        if change.partition("=")[0].strip().replace("-", "_") in ("labels", "held_out"):
            raise InputError(f"--set {change}: say that with --label and --held-out")
    config = resolve_config(attributes, "attributes", options.preset, options.set)
    assert isinstance(config, attributes.Config)
    return config


def _results(plan: Plan, seeds: int, folder: Path, console: Console) -> dict[str, list[Result]]:
    """By arm, a result for each seed. Seeds come first, so that a stop leaves all arms even."""
    arms = arms_of(plan.sets)
    results: dict[str, list[Result]] = {arm.name: [] for arm in arms}
    total = len(arms) * seeds * plan.nimg
    with Stop() as stop, bar(console, f"training {len(arms) * seeds} models") as progress:
        for seed in range(seeds):
            for place, arm in enumerate(arms):
                before = (seed * len(arms) + place) * plan.nimg

                def tick(nimg: int, before: int = before) -> None:
                    if stop.asked:
                        raise KeyboardInterrupt
                    progress(before + min(nimg, plan.nimg), total)

                result = result_of(plan, arm, seed, folder, tick=tick, report=console.print)
                results[arm.name].append(result)
    return results


def summarise(plan: Plan, results: Mapping[str, Sequence[Result]], label: str) -> Worth:
    """All figures, gains and verdicts from what the models said."""
    sets = plan.sets
    truth = sets.test.labels
    assert truth is not None
    scale, num_people = scale_of(sets.targets), len(set(sets.people))
    scored = {
        name: [score(sets.targets, truth, one.predictions, sets.people) for one in found]
        for name, found in results.items()
    }
    arms, verdicts = [], []
    for arm in arms_of(sets):
        gains = tuple(
            gain(scored[arm.name], scored[over], over, num_people, higher=scale.higher)
            for over in _compared_with(arm, list(sets.synthetic))
        )
        arms.append(_arm_score(arm, results[arm.name], scored[arm.name], gains, scale, num_people))
        verdicts += [verdict(arm.name, one, scale) for one in gains]
    always = guess(sets.targets, truth)
    return Worth(
        label=label,
        figures=scale.names,
        higher=scale.higher,
        unit=scale.unit,
        guess=dict(zip(scale.names, map(float, always), strict=True)),
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
        warnings=tuple(_backwards(sets, results)),
    )


def _arm_score(
    arm: Arm,
    found: Sequence[Result],
    scored: Sequence[Scored],
    gains: tuple[Gain, ...],
    scale: Scale,
    people: int,
) -> ArmScore:
    figures = {
        name: figure(scored, which, people, higher=scale.higher) for which, name in enumerate(scale.names)
    }
    return ArmScore(
        name=arm.name,
        num_real=found[0].num_real,
        num_synthetic=found[0].num_synthetic,
        figures=figures,
        each=tuple(float(one.points[0]) for one in scored),
        gains=gains,
    )


def _compared_with(arm: Arm, synthetic: Sequence[str]) -> list[str]:
    """The arms to hold it against: real, and the same with each synthetic set that was named before."""
    if not arm.synthetic:
        return [] if arm.name == REAL else [REAL]
    earlier = synthetic[: synthetic.index(arm.synthetic)]
    return [REAL, *((BESIDE if arm.real else "") + name for name in earlier)]


def _backwards(sets: Sets, results: Mapping[str, Sequence[Result]]) -> list[str]:
    """Of sets whose models read the label the wrong way round: its sign or meaning is not the real ones'."""
    truth = sets.test.labels
    assert truth is not None
    return [
        f"{name}: its models read {sets.targets[0].name} backwards; does it mean the same in both sets?"
        for name in sets.synthetic
        if all(backwards(sets.targets, truth, one.predictions) for one in results[name])
    ]

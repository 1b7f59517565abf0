"""The command line: a table of the commands, each a job or a function in the room that does it.

Commands are named by strings and imported when they are called, so that `mien --help` answers at once.
"""

import errno
import gc
import inspect
import os
import re
import sys
from pathlib import Path
from typing import Any, get_args

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    Group,
    MissingArgumentError,
    Parameter,
    UnusedCliTokensError,
)

from mien import __version__
from mien.core import launched
from mien.core.errors import InputError, MienError, first_problem, is_out_of_memory

_NOUNS: dict[object, str] = {int: "a whole number", float: "a number", bool: "true or false"}
_YOUNG = 50_000  # objects between two rubbish collections: importing torch makes 250 thousand that stay

# fmt: off
COMMANDS = {
    "demo": ("mien.demo:demo", "Faces at once, then the whole job on rendered heads, offline."),
    "collect": ("mien.collect.collect:collect", "Fetch a site's pictures politely; only what is new."),
    "render": ("mien.render.render:render", "Render computer-generated heads, every label known."),
    "prepare": ("mien.prepare.prepare:prepare", "Find, align, measure, judge and pack the faces of photos."),
    "curate": ("mien.curate.curate:curate", "Page through the faces in the browser; toss and restore."),
    "train": ("mien.training.command:train", "Train a generator or another model, or go on with a run."),
    "generate": ("mien.generation.generate:generate", "Draw new faces."),
    "refine": ("mien.translation.commands:refine", "Make computer-generated pictures look real."),
    "pick": ("mien.generation.pick:pick", "Write a page on which to choose faces by click or key."),
    "mosaic": ("mien.generation.mosaic:mosaic", "Lay chosen faces out as a wall of any size."),
    "mix": ("mien.latent.mix:mix", "Mix styles: columns' faces with layers of the rows'."),
    "video": ("mien.latent.video:video", "Film one face turning into the next."),
    "vary": ("mien.latent.vary:vary", "Draw faces near that of a photo or a seed."),
    "edit": ("mien.latent.editing.edit:edit", "Change faces along directions (smile, age); strips, films."),
    "encoder": ("mien.latent.projection.encoder:encoder", "Train what guesses a photo's latents at once."),
    "denoise": ("mien.translation.commands:denoise", "Clean noisy pictures."),
    "evaluate": ("mien.evaluation.evaluate:evaluate", "Measure a model against a dataset, with intervals."),
    "audit": ("mien.evaluation.audit:audit", "Say whether a model repeats training images; may it go out?"),
    "modes": ("mien.evaluation.modes:modes", "Show what training images have and a model does not draw."),
    "internals": ("mien.latent.internals:internals", "Show what the networks do: activations, saliency, w."),
    "report": ("mien.evaluation.report:report", "Write a run's report: one HTML page."),
    "annotate": ("mien.attributes.annotate:annotate", "Write what a model reads off pictures into it."),
    "translate": ("mien.translation.commands:translate", "Turn pictures into what a run learnt from pairs."),
    "worth": ("mien.evaluation.worth:worth", "Say whether synthetic pictures help on real ones."),
    "export": ("mien.interop.export:export", "Write a generator for others: safetensors or ONNX."),
    "import": ("mien.interop.import_:import_", "Turn a network of another program into a file of ours."),
    "detect": ("mien.detection.detect:detect", "Judge whether faces in pictures are synthetic."),
    "verify": ("mien.generation.verify:verify", "Say what the provenance marks of pictures claim."),
    "doctor": ("mien.scale.doctor:doctor", "Say what this machine can do, and what it lacks."),
    "models": ("mien.training.command:models", "List the model families, or one family's numbers."),
}
DATA_COMMANDS = {
    "info": ("mien.datasets.info:info", "Say what a dataset is, and every missing or broken file."),
    "export": ("mien.datasets.export:export", "Export a dataset to imagefolder or parquet."),
}
PROJECT_COMMANDS = {
    "real": ("mien.latent.projection.project:real", "Of the faces in photos."),
    "generated": ("mien.latent.projection.project:generated", "Of its own faces, to see how well it works."),
}
DIRECTION_COMMANDS = {
    "learn": ("mien.latent.directions.learn:learn", "Learn directions of attributes from labelled samples."),
    "find": ("mien.latent.directions.unsupervised:find", "Find directions without labels (SeFa, GANSpace)."),
    "measure": ("mien.latent.directions.entanglement:measure", "Measure what else each direction moves."),
    "list": ("mien.latent.directions.commands:list_directions", "List a generator's directions."),
    "show": ("mien.latent.directions.commands:show_direction", "Show what is known of one direction."),
    "import": ("mien.latent.directions.commands:import_", "Take a direction of others, an .npy."),
    "export": ("mien.latent.directions.commands:export", "Write one direction as .npy."),
}
UNIT_COMMANDS = {
    "train": ("mien.latent.units.units:train", "Train a model of action units on latents, mesh or pixels."),
    "evaluate": ("mien.latent.units.units:evaluate", "Cross-validate such models over people."),
    "predict": ("mien.latent.units.units:predict", "Read action units of pictures or latents."),
}
STUDY_COMMANDS = {
    "new": ("mien.study.commands:new", "Make a study of a design file, or write an example of one."),
    "serve": ("mien.study.commands:serve", "Serve it to the people who judge."),
    "results": ("mien.study.commands:results", "Write its results: page, tables, CSV."),
}
DETECTOR_COMMANDS = {
    "train": ("mien.detection.train:train", "Train a detector of synthetic faces."),
    "evaluate": ("mien.detection.train:evaluate", "Test one on sources that it never met."),
}
ARTEFACT_COMMANDS = {
    "list": ("mien.interop.artefacts:list_artefacts", "List the files, their licences, and which are here."),
    "fetch": ("mien.interop.artefacts:fetch", "Download them now instead of when first needed."),
    "add": ("mien.interop.artefacts:add", "Take files that you have, where there is no network."),
}
GROUPS = {
    "Begin": "demo doctor models artefacts",
    "Photos to a dataset": "collect prepare curate data annotate render",
    "Train and draw": "train report generate pick mosaic video",
    "Judge": "evaluate modes audit internals study detect detector verify worth",
    "Latents": "project encoder directions edit vary mix units",
    "Picture to picture": "translate denoise refine",
    "Networks for others, and of others": "export import",
}
BEGIN = """mien demo shows all of it on rendered heads. With photos of your own:

    mien prepare photos/ photos.zip --size 64
    mien train photos.zip --minutes 10

Then each command says what to type next; mien COMMAND --help says more."""
EXAMPLES = {
    "prepare": "mien prepare photos/ photos.zip --size 64 --where 'abs(yaw) < 15'",
    "train": "mien train photos.zip --minutes 10",
    "generate": "mien generate runs/00000-photos-lite-64 --seeds 0-63 --grid --out faces",
    "evaluate": "mien evaluate runs/00000-photos-lite-64",
    "audit": "mien audit runs/00000-photos-lite-64 --out audit",
    "annotate": "mien annotate photos.zip --read age",
    "edit": "mien edit --seeds 3 --set smile=2 --strip age --out edited",
    "directions learn": "mien directions learn runs/00000-photos-lite-64 --attributes smile,yaw,age",
    "project real": "mien project real packaged portrait.jpg --out found",
    "mix": "mien mix --rows 0-3 --columns 4-9 --out mix.png",
    "video": "mien video --seeds 0-7 --loop --out faces.mp4",
    "detect": "mien detect photo.jpg faces/",
    "units evaluate": "mien units evaluate films.zip --source packaged --out units",
    "render": "mien render heads.zip --count 1000 --size 64",
    "worth": "mien worth --real photographed.zip --synthetic rendered=rendered.zip --label gaze",
}
# fmt: on


def _shown(default: object) -> str | None:
    """A default as the help shows it; nothing where it is no value."""
    return None if default in (None, "", ()) or default is False else str(default)


_PLACES: dict[str, dict[str, Any]] = {
    verb: {"group": group, "sort_key": place}
    for number, (title, verbs) in enumerate(GROUPS.items())
    for group in [Group(title, sort_key=number)]
    for place, verb in enumerate(verbs.split())
}
_PARAMETER = Parameter(negative_iterable=(), show_default=_shown)


def _app(name: str, help: str, commands: dict[str, tuple[str, str]]) -> App:
    made = App(
        name=name,
        help=help,
        help_format="plaintext",
        help_epilogue="",
        suppress_keyboard_interrupt=False,
        default_parameter=_PARAMETER,
        group_commands=Group("Options", sort_key=len(GROUPS)) if name == "mien" else Group("Commands"),
        **_PLACES.get(name, {}),
    )
    for number, (verb, (place, line)) in enumerate(commands.items()):
        whole = verb if name == "mien" else f"{name} {verb}"
        example = f"Example: {EXAMPLES[whole]}" if whole in EXAMPLES else ""
        where = _PLACES[verb] if name == "mien" else {"sort_key": number}
        made.command(place, name=verb, help=line, help_epilogue=example, **where)
    return made


app = _app(
    "mien",
    "Portraits in, faces of people who do not exist out, with an honest account of how good they are.",
    COMMANDS,
)
app.version = __version__
app.help_epilogue = BEGIN
app.command(_app("data", "Datasets: say what is in one, export one to other layouts.", DATA_COMMANDS))
app.command(_app("project", "Find the latents that come nearest to a face.", PROJECT_COMMANDS))
app.command(_app("directions", "Directions in latent space, one for each attribute.", DIRECTION_COMMANDS))
app.command(_app("units", "Action units of the face, from latents, mesh or pixels.", UNIT_COMMANDS))
app.command(_app("detector", "Detectors of synthetic faces: train, evaluate.", DETECTOR_COMMANDS))
app.command(_app("study", "Let people judge pictures in the browser.", STUDY_COMMANDS))
app.command(_app("artefacts", "Third-party model files: list, fetch, add.", ARTEFACT_COMMANDS))


def main(arguments: list[str] | None = None) -> int:
    """Run one command; give its exit code: 0, 1 for a failure, 2 for bad usage or input."""
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    tokens = [token for token in tokens if token != "--debug"]
    if tokens[:1] == ["help"]:
        tokens = [*tokens[1:], "--help"]
    try:
        return _run(tokens)
    except CycloptsError as error:
        return _complain(InputError(_misused(error)))
    except KeyboardInterrupt:
        if _speaks():
            print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader left, as in `mien ... | head`
        return 1
    except Exception as error:
        if debug:
            raise
        return _complain(error)


def _run(tokens: list[str]) -> int:
    """Run it; 0, unless what it gives has an exit code of its own."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        if tokens[:1] != ["train"]:
            error = InputError("torchrun is for mien train; run this by itself (--cluster spreads bulk work)")
            error.raised_by_all = True
            raise error
        launched.watch()
    if {"--help", "-h"} & set(tokens):
        _forget_summary(tokens)
    if "" in tokens:  # as a path it would be this folder, which is not what an unset variable means
        raise InputError(
            f"argument {tokens.index('') + 1} is empty; leave it out, or write . for this folder"
        )
    job = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    if job is not None:  # a job; None where cyclopts itself had something to say
        from mien.terminal import show

        return int(getattr(show(job), "exit_code", 0))
    return 0


def _forget_summary(tokens: list[str]) -> None:
    """Let the help of one command be its docstring; the table's line is for the list of commands."""
    command = app
    for token in tokens:
        if token.startswith("-") or token not in command:
            break
        command = command[token]
    if not any(name[0] != "-" for name in command):
        command.help = None
        function = command.default_command
        if function is not None and function.__doc__:
            function.__doc__ = _for_people(function.__doc__)


_PYTHON = re.compile(r"(?:(?<=^)|(?<=\. ))(?:Returns|Raises) .*?\.(?= [A-Z]|$) ?")


def _for_people(docstring: str) -> str:
    """A docstring as help: lines broken by the terminal alone, without what Python gets and catches."""
    text, heading, parameters = inspect.cleandoc(docstring).partition("\n\nParameters\n")
    paragraphs = (_PYTHON.sub("", " ".join(each.split())).strip() for each in text.split("\n\n"))
    lines: list[str] = []
    for line in parameters.split("\n"):
        if lines and line.startswith("    ") and lines[-1].startswith("    "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n\n".join(filter(None, paragraphs)) + heading + "\n".join(lines)


def _speaks() -> bool:
    """Whether this process says what all processes of a training have to say."""
    return os.environ.get("RANK", "0") == "0"


def _misused(error: CycloptsError) -> str:
    """What is wrong with a command line, and which help to read, in one line."""
    command = " ".join(("mien", *(error.command_chain or ())))
    return f"{_wrong(error)} ({command} --help lists what there is)"


def _wrong(error: CycloptsError) -> str:
    from pydantic import ValidationError

    if isinstance(error.__cause__, ValidationError):
        name, value, reason = first_problem(error.__cause__)
        return f"--{name.replace('_', '-')} {value}: {reason}"
    if isinstance(error, CoercionError) and error.token is not None:
        option = error.token.keyword or (error.argument.name.lstrip("-").upper() if error.argument else "")
        return f"{option} {error.token.value}: should be {_noun(error.target_type)}"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        return f"{error.keyword} needs a value" if error.keyword else f"{error.argument.name} is missing"
    if isinstance(error, UnusedCliTokensError):
        return f"too many arguments: {' '.join(error.unused_tokens or ())}"
    error.verbose = False
    text = " ".join(str(error).split())
    return text if text.endswith("...") else text.rstrip(".")


def _noun(kind: object) -> str:
    """What a value of this type is, in words."""
    parts = [part for part in get_args(kind) if part not in (..., type(None))]
    return " or ".join(dict.fromkeys(map(_noun, parts))) if parts else _NOUNS.get(kind, str(kind))


def _complain(error: Exception) -> int:
    from pydantic import ValidationError
    from rich.console import Console

    from mien.core.atomic import explain
    from mien.terminal import escaped, say

    if isinstance(error, OSError) and isinstance(error.filename, str):
        if error.errno == errno.ENAMETOOLONG:  # what is written says so by itself: this was to be found
            error = InputError(f"{error.filename}: {error.strerror}")
        else:
            error = explain(error, Path(error.filename))
    if isinstance(error, MienError):
        if error.raised_by_all and not _speaks():
            return error.exit_code
        lines = [escaped(str(line), keep="") for line in error.args]
        say(Console(stderr=True), "mien: " + "\n".join(lines))
        return error.exit_code
    if is_out_of_memory(error):
        say(Console(stderr=True), "mien: this machine's memory does not suffice; what is done is kept")
        return 1
    reason = ": ".join(first_problem(error)) if isinstance(error, ValidationError) else str(error)
    reason = escaped(" ".join(reason.split()))
    say(Console(stderr=True), f"mien: {type(error).__name__}: {reason} (--debug shows where)")
    return 1

"""The command line: `mien VERB`; the verbs themselves are typed functions in `mien.verbs`.

Nothing heavy is imported before a verb needs it, so that `mien --help` answers at once.
"""

import gc
import os
import sys

from cyclopts import App, CycloptsError

from mien import __version__
from mien.core.errors import MienError
from mien.verbs import collect, curate, data, datasets, exchange, files, latent, runs
from mien.verbs.annotate import annotate
from mien.verbs.denoise import denoise
from mien.verbs.refine import refine
from mien.verbs.translate import translate
from mien.verbs.worth import worth

_YOUNG = 50_000  # objects between two rubbish collections: importing torch makes 250 thousand that stay

app = App(
    name="mien",
    help="Portraits in, faces of people who do not exist out, with an honest account of how good they are.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
artefacts_app = App(name="artefacts", help="Third-party model files: list, fetch, add.")
for verb in (
    runs.demo,
    collect.collect,
    data.render,
    data.prepare,
    curate.curate,
    runs.train,
    runs.generate,
    refine,
    latent.pick,
    latent.mosaic,
    latent.mix,
    latent.video,
    denoise,
    runs.evaluate,
    runs.report,
    annotate,
    translate,
    worth,
    exchange.export,
    files.verify,
    runs.models,
):
    app.command(verb)
app.command(exchange.import_, name="import")
app.command(datasets.app)
app.command(artefacts_app)
artefacts_app.command(files.list_artefacts, name="list")
artefacts_app.command(files.fetch)
artefacts_app.command(files.add)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; give its exit code: 0, 1 for a failure, 2 for bad usage or input."""
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    tokens = [token for token in tokens if token != "--debug"]
    try:
        app(tokens, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return 2  # cyclopts has said what is wrong
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader left, as in `mien ... | head`
        return 1
    except Exception as error:
        if debug:
            raise
        return _complain(error)
    return 0


def _complain(error: Exception) -> int:
    if isinstance(error, MienError):
        print(f"mien: {error}", file=sys.stderr)
        return error.exit_code
    reason = " ".join(str(error).split())
    print(f"mien: {type(error).__name__}: {reason} (--debug shows where)", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

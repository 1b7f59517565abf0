"""The process of the slider page: one for each folder, on an address of one's own."""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mien.core.errors import MienError
from mien.core.events import Events
from mien.core.run import RunFolder
from mien.generation.drawing import Drawing
from mien.latent.codes import Codes
from mien.latent.directions.direction import Directions
from mien.latent.editing.editor import Command, Editor
from mien.reports.address import bound, host_names, shown_host


@dataclass(frozen=True)
class Begin:
    """latents: faces to begin with. encoder, steps: how photos are projected."""

    latents: Codes | None = None
    encoder: Path | None = None
    steps: int | None = None


def serve_editor(
    events: Events,
    drawing: Drawing,
    directions: Directions | None,
    out: Path,
    command: Command,
    begin: Begin,
    *,
    host: str,
    port: int,
) -> None:
    """Serve the page until Ctrl-C. Raises InputError, MienError."""
    try:
        import uvicorn

        from mien.latent.editing.web import build_app
    except ImportError as error:
        raise MienError("the slider page needs: pip install 'mien[curate]'") from error
    from mien.latent.editing.work import Works

    out.mkdir(parents=True, exist_ok=True)
    with RunFolder(out).lock(), bound(host, port) as listener:
        editor = Editor(drawing, directions, out, command)
        for problem in editor.problems:
            events.warn(problem)
        if begin.latents is not None:
            for index in range(len(begin.latents)):
                editor.put(f"latent{index:04d}", begin.latents.part(index), saved=True)
        works = Works(editor, encoder=begin.encoder, steps=begin.steps)
        secret = secrets.token_urlsafe(24)
        app = build_app(editor, works, secret=secret, hosts=host_names(host))
        events.note(f"{drawing.loaded.model}, {len(editor.directions)} directions; Ctrl-C ends\n")
        events.note(f"    http://{shown_host(host)}:{listener.getsockname()[1]}/{secret}/\n")
        events.note(f"what you keep is on disk at once: {editor.kept_folder}")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, ws="none", lifespan="off", timeout_graceful_shutdown=1
        )
        try:
            with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            works.close()
    events.note(f"kept {len(editor.kept)} faces")

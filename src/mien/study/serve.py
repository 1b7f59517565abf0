"""The server's process: one for each study, on an address of one's own."""

import socket
from contextlib import suppress

import uvicorn

from mien.core.events import Events
from mien.reports.address import bound, host_names, shown_host
from mien.study.loaded import Study
from mien.study.store import open_study, serving_alone
from mien.study.web import build_app


def serve_study(
    events: Events, study: str, *, host: str, port: int, names: tuple[str, ...], open_browser: bool
) -> None:
    """Serve a study until Ctrl-C. Raises InputError."""
    store = open_study(study)
    try:
        with serving_alone(store), bound(host, port) as listener:
            _run(events, Study(store), listener, host, names, open_browser=open_browser)
    finally:
        store.close()


def _run(
    events: Events,
    study: Study,
    listener: socket.socket,
    host: str,
    names: tuple[str, ...],
    *,
    open_browser: bool,
) -> None:
    address = f"http://{shown_host(host)}:{listener.getsockname()[1]}/"
    parameter = study.design.recruitment.parameter
    events.note(f"{study.design.title}; Ctrl-C ends, every answer is saved at once\n")
    events.note(f"    participants  {address}")
    events.note(f"    you           {address}{study.secret}/\n")
    events.note(f"recruitment ids go into the link: {address}?{parameter}=...")
    config = uvicorn.Config(
        build_app(study, hosts=host_names(host, names)),
        log_level="warning",
        access_log=False,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=2,
        timeout_keep_alive=75,  # people look at a picture for longer than programs
    )
    if open_browser:
        import webbrowser

        webbrowser.open(f"{address}{study.secret}/")
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed
        uvicorn.Server(config).run(sockets=[listener])

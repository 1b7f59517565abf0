"""The verb that opens a dataset in the browser."""

from pathlib import Path

from mien.verbs._console import console


def curate(dataset: Path, /, *, host: str = "127.0.0.1", port: int = 0, open: bool = False) -> None:
    """Page through the faces of DATASET in the browser, toss and restore; verdicts are saved at once.

    Parameters
    ----------
    dataset
        A zip from `mien prepare`, or any zip or folder of pictures.
    host
        Address to listen on; anyone who can reach it and has the printed address may change verdicts.
    port
        Port to listen on; a free one by default.
    open
        Open the page in the browser.
    """
    from mien.curate.curate import curate as run

    run(dataset, host=host, port=port, open_browser=open, console=console())

"""Run by file, in a process of its own: let pip find one source archive and take it as a plain file.

`pip download` of a source archive builds its metadata, which runs the package's own setup code. So only pip's
search and session are used here (its configuration, index, proxy, certificates and credentials), and the file
is then copied byte by byte. These parts of pip are internal; they are alike from pip 22 to 26, and where they
are not, this process fails with one line and the user can add the archive by hand.

    python -P pip_link.py NAME==VERSION FOLDER
"""

import sys
from pathlib import Path
from typing import Any

_BLOCK = 1 << 16


def main(spec: str, folder: str) -> None:
    """Write the source archive of `spec` into `folder` under its own name."""
    from pip._internal.commands import create_command

    command: Any = create_command("download")
    flags = ["--quiet", "--no-input", "--no-deps", "--retries", "2", "--timeout", "30", "--no-binary=:all:"]
    options, _ = command.parse_args([*flags, spec])
    name, _, version = spec.partition("==")
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options=options, session=session)
        links = [
            candidate.link
            for candidate in finder.find_all_candidates(name)
            if str(candidate.version) == version
        ]
        if not links:
            raise LookupError(f"no source archive of {spec} is at the index")
        answer = session.get(links[0].url_without_fragment, stream=True)
        answer.raise_for_status()
        with open(Path(folder) / Path(links[0].filename).name, "wb") as file:
            while block := answer.raw.read(_BLOCK):
                file.write(block)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2])
    except Exception as error:  # whatever pip raises: one line for the user
        sys.exit(f"ERROR: {' '.join(str(error).split())[:300] or type(error).__name__}")

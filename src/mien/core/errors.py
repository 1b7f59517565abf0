"""Error classes whose messages are for the user: what is wrong, where, and what to do."""


class MienError(Exception):
    """Something failed while running; each argument is one line for the user. Exit code 1.

    raised_by_all: by every process of a training at once, so that one of them says it for all.
    """

    exit_code = 1
    raised_by_all = False

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class InputError(MienError):
    """The command line, a file or a folder given by the user is unusable. Exit code 2."""

    exit_code = 2


def install(extra: str) -> str:
    """How to get what an extra of mien brings."""
    return f"in mien's folder: pip install -c constraints.txt '.[{extra}]'"


def make_squares(size: int = 64) -> str:
    """How pictures become squares of one size, which need not be faces."""
    return f"mien prepare SRC OUT.zip --finder none --size {size}"

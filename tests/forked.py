"""Programs that tests start, as forks of one process that has imported torch and mien already.

`Popen` and `run` are those of `subprocess`, for commands of this interpreter (`-m MODULE`, `-c CODE`, a
script): what they start is a true child with a pid, an exit code, a session, a folder, an environment and
files of its own, so that signals and codes mean what they always do. Only two seconds of imports are spared.
Other commands, and systems other than Linux, start a process as ever.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SHARED = "FOLDER_SHARED_BY_TESTS"  # the variable that names it, where workers of xdist run tests
PRELOADED = ("mien.training.train", "mien.prepare.worker", "mien.core.network", "mien.interop._readers")
PRELOADED += ("mien.terminal", "torch._dynamo")  # which the first step of an optimiser imports: a second
_PLAIN = ("preexec_fn", "shell", "startupinfo", "creationflags")  # what only a process as ever can do
_MESSAGE = 1 << 18  # bytes at most
_SUBREAPER = 36  # of prctl(2): orphans of descendants become children of this process
_lock = threading.Lock()
_forker: socket.socket | None = None
_is_fork = False  # whether this process was forked here, and can fork itself
_is_copy = False  # whether it forks as a copy of a program


class Popen(subprocess.Popen[Any]):
    """As `subprocess.Popen`."""

    forks = False  # whether it has a forker of its own from the first, as it is here and now
    frees = False  # whether it frees everything at its end, and says what was left open

    def _execute_child(self, *arguments: Any) -> None:
        asked = inspect.signature(super()._execute_child).bind(*arguments).arguments  # type: ignore[misc]
        command = _python(asked["args"])
        if command is None or any(asked[name] for name in _PLAIN) or sys.platform != "linux":
            return super()._execute_child(*arguments)  # type: ignore[misc]
        task = {
            "command": command,
            "safe": "-P" in asked["args"][:2],
            "folder": str(Path(asked["cwd"] or ".").absolute()),
            "environment": dict(os.environ if asked["env"] is None else asked["env"]),
            "session": bool(asked["start_new_session"]),
            "forks": self.forks,
            "frees": self.frees,
            "numbers": [0, 1, 2, *asked["pass_fds"]],
        }
        ends = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        streams = [number if end == -1 else end for number, end in enumerate(ends)]
        self.pid = _forked(task, [*streams, *asked["pass_fds"]])
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in pipes))  # type: ignore[attr-defined]


class ForkingPopen(Popen):
    """As `subprocess.Popen`, for what starts many programs: none of them has what it imports or patches."""

    forks = True


class FreeingPopen(Popen):
    """As `subprocess.Popen`, for what says at its very end that something was left open."""

    frees = True


def run(command: Sequence[Any], *, check: bool = False, timeout: float | None = None, **how: Any) -> Any:
    """As `subprocess.run`."""
    if how.pop("capture_output", False):
        how |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **how) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def preload(*modules: str) -> None:
    """Import these before further forks.

    A program that was forked here and starts others calls it first of all, before it has files open.
    """
    with _lock:
        link = _started()
        socket.send_fds(link, [json.dumps({"modules": modules}).encode()], [])
        link.recv(_MESSAGE)


def _python(command: Sequence[Any]) -> list[str] | None:
    """What of a command follows the interpreter and -u or -P; None for other programs and options."""
    if isinstance(command, str) or str(command[0]) != sys.executable:
        return None
    words = [os.fspath(word) for word in command[1:]]
    safe = words[:1] == ["-P"]
    words = words[1:] if words[:1] in (["-u"], ["-P"]) else words
    known = words and (words[0] == "-m" or (not safe and (words[0] == "-c" or words[0][0] != "-")))
    return words if known else None


def _forked(task: dict[str, Any], streams: list[int]) -> int:
    """The pid of a new child."""
    with _lock:
        link = _started()
        _be_reaper(True)
        try:
            socket.send_fds(link, [json.dumps(task).encode()], streams)
            answer = link.recv(_MESSAGE)
        finally:
            _be_reaper(False)
    assert answer, "the process that forks has ended"
    return int(answer)


def _be_reaper(yes: bool) -> None:
    assert ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, int(yes), 0, 0, 0) == 0


def _started() -> socket.socket:
    """The link to the process that forks: a new interpreter, or a copy of this if it is a fork."""
    global _forker
    if _forker is None:
        _forker, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if _is_fork:
            _copy_serves(theirs)
        else:
            code = "import sys, forked; forked.main(int(sys.argv[1]))"
            paths = [str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")]
            process = subprocess.Popen(
                [sys.executable, "-c", code, str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
            atexit.register(_ended, process, _forker)
        theirs.close()
    return _forker


def _ended(process: subprocess.Popen[bytes], link: socket.socket) -> None:
    link.close()
    process.wait()


def _copy_serves(link: socket.socket) -> None:
    global _is_copy
    if os.fork():
        return
    assert _forker is not None
    _forker.detach()
    os.closerange(3, link.fileno())  # whose other ends shall see this process's parent end
    os.closerange(link.fileno() + 1, 4096)
    for number in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    _is_copy = True
    atexit._clear()  # these are another's, and so are the frames below
    _serve(link)


def main(number: int) -> None:
    """Fork until the other end closes; in each fork, run what it is for and end as the interpreter does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in PRELOADED:
        importlib.import_module(name)
    _keep_memory_shared()
    _serve(socket.socket(fileno=number))


def _keep_memory_shared() -> None:
    """Forks that collect rubbish, or end, leave alone what is here now."""
    gc.collect()
    gc.freeze()
    for kept in tuple(weakref.finalize._registry):  # type: ignore[attr-defined]
        kept.atexit = False


def _serve(link: socket.socket) -> None:
    while True:
        message, streams, _, _ = socket.recv_fds(link, _MESSAGE, 253)
        if not message:
            os._exit(0)
        task = json.loads(message)
        if "modules" in task:
            for name in task["modules"]:
                with contextlib.suppress(ImportError):  # of an extra that is not installed
                    importlib.import_module(name)
            _keep_memory_shared()
            link.send(b"done")
            continue
        reader, writer = os.pipe()
        between = os.fork()
        if not between:
            own = os.getpid()
            child = os.fork()
            if child:
                os.write(writer, str(child).encode())
                os._exit(0)
            for other in (reader, writer, link.detach()):
                os.close(other)
            while os.getppid() == own:  # it is a child of who asked from the first
                time.sleep(0.0005)
            return _do(_forks_too if task["forks"] else _become, task, streams)
        os.waitpid(between, 0)  # now the child is that of who asked
        link.send(os.read(reader, 20))
        for other in (reader, writer, *streams):
            os.close(other)


def _do(work: Callable[[dict[str, Any], list[int]], None], task: dict[str, Any], streams: list[int]) -> None:
    """Work, and end as the interpreter does: its code, its last words, its handlers.

    Only what it would then free one by one, though a fork shares it, is left to the system: .4 seconds.
    """
    if task["frees"] and not _is_copy:
        return work(task, streams)
    code: Any = 0
    try:
        work(task, streams)
    except SystemExit as ended:
        code = ended.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed by whoever listened
            stream.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit((code or 0) & 255)


def _forks_too(task: dict[str, Any], streams: list[int]) -> None:
    """As `_become`, beside a fork of this that forks for it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        theirs.close()
        atexit.register(ours.close)
        return _become(task, streams, ours)
    for other in (ours.detach(), *streams):
        os.close(other)
    _serve(theirs)


def _become(task: dict[str, Any], streams: list[int], forker: socket.socket | None = None) -> None:
    """Run a command in this fork, as `python COMMAND` does. forker: the link to its own, if it has one."""
    global _forker, _is_fork
    _forker, _is_fork = forker, True
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if task["session"]:
        os.setsid()
    high = [fcntl.fcntl(stream, fcntl.F_DUPFD, 1000) for stream in streams]
    for stream in streams:
        os.close(stream)
    for stream, number in zip(high, task["numbers"], strict=True):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(task["folder"])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(task["environment"])
    paths = [path for path in task["environment"].get("PYTHONPATH", "").split(os.pathsep) if path]
    kind, *rest = task["command"]
    first = {"-c": "", "-m": task["folder"]}.get(kind, str(Path(kind).parent))
    own = [path for path in sys.path[1:] if path not in before]
    sys.path[:] = [*([] if task["safe"] else [first]), *paths, *own]
    sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    _interpret(kind, rest)


def _interpret(kind: str, rest: list[str]) -> None:
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), sys.modules["__main__"].__dict__)
    else:
        sys.argv = [kind, *rest]
        runpy.run_path(kind, run_name="__main__")


# What stands in for the module `subprocess` where a module of mien starts Python itself; where xdist does.
LIKE_SUBPROCESS = types.SimpleNamespace(**{**vars(subprocess), "Popen": Popen, "run": run})
FOR_WORKERS = types.SimpleNamespace(**{**vars(subprocess), "Popen": ForkingPopen})

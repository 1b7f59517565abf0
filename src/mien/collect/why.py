"""Why an address gave nothing: every exception of the crawl as a short code and a sentence."""

from typing import Any

from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
    StopDownload,
)
from scrapy.spidermiddlewares.httperror import HttpError

from mien.collect.addresses import Refused
from mien.core.picture import BadPicture

_GONE = (404, 410)


def explain(error: BaseException, what: str = "the answer") -> Refused:
    """`error` as Refused; `what` begins the sentence."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, BadPicture):
        return Refused(error.reason, error.detail)
    if isinstance(error, HttpError):
        return _of_status(error.response.status)
    causes = " ".join(str(failure.value) for failure in getattr(error.__cause__, "reasons", ()))
    if "certificate" in causes:  # so Twisted says of a broken connection
        return Refused(
            "certificate", f"{what} is on a host whose certificate is not to be trusted", again=True
        )
    for kind, reason, detail, again in _KINDS:
        if isinstance(error, kind):
            return Refused(reason, f"{what} {detail}", again=again)
    if isinstance(error, IgnoreRequest):
        return _of_ignored(str(error), what)
    message = " ".join(str(error).split())[:200]
    return Refused("failed", f"{what} failed ({type(error).__name__}: {message})", again=True)


def _of_status(status: int) -> Refused:
    if 300 <= status < 400:
        return Refused(
            "redirect", f"it answers {status} and leads to no address that can be asked", again=True
        )
    return Refused(f"status-{status}", f"the server answers {status}", again=status not in _GONE)


def _of_ignored(message: str, what: str) -> Refused:
    if "redirections" in message:
        return Refused(
            "redirect-loop",
            f"{what} leads from address to address without end; it may want a cookie",
            again=True,
        )
    if "decompress" in message:
        return Refused("too-large", f"{what} unpacks to more than the cap and was not read on")
    return Refused("ignored", f"{what} was left out ({message[:200]})", again=True)


def is_passing(error: Any) -> bool:
    """Whether a failure may pass by itself in a moment."""
    refused = DownloadConnectionRefusedError | DownloadTimeoutError
    return isinstance(error, refused | DownloadFailedError | ResponseDataLossError)


_KINDS: tuple[tuple[type[Exception], str, str, bool], ...] = (
    (DownloadTimeoutError, "timeout", "took too long and was cut off", True),
    (DownloadCancelledError, "too-large", "is larger than the cap and was not read on", False),
    (StopDownload, "too-large", "is packed in many layers, as only bombs are, and was not read", False),
    (ResponseDataLossError, "cut-off", "ended before its announced length", True),
    (CannotResolveHostError, "no-host", "is on a host whose name does not resolve", True),
    (DownloadConnectionRefusedError, "no-answer", "was refused: nothing listens there", True),
    (DownloadFailedError, "broken-answer", "is no proper HTTP, or the connection broke", True),
)

"""What every server of pages has: its page and files, refusal of other pages, headers, errors as JSON.

A Host check stops DNS rebinding, a required header stops forms of other sites.
"""

import json
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.core.errors import InputError, MienError

HEADER = "x-mien"  # a form of another site cannot send it
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' {images}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Bare ASGI, since FastAPI's own kind of middleware costs more time than saving a vote does.

    page: what the header must say. hosts: names to answer to, None for any. images: where images may come
    from beside the server itself ("data:", "blob:"). most_bytes: of a request's body.
    """

    def __init__(
        self, app: ASGIApp, *, page: str, hosts: frozenset[str] | None, most_bytes: int, images: str = ""
    ) -> None:
        self.app, self._page, self._hosts, self._most_bytes = app, page, hosts, most_bytes
        self._headers = _HEADERS | {"Cache-Control": "no-store"}
        self._headers["Content-Security-Policy"] = _POLICY.format(images=images)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refuse(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        await (refused or self.app)(scope, receive, send_with_headers)

    def _refuse(self, method: str, headers: Headers) -> Response | None:
        if self._hosts is not None and _host_name(headers) not in self._hosts:
            return error_answer("this server does not answer to that name", 421)
        if method == "POST" and headers.get(HEADER) != self._page:
            return error_answer(f"only the page of mien {self._page} may do that", 403)
        length = headers.get("content-length", "")
        if method == "POST" and not length.isdecimal():
            return error_answer("a request must say how long it is", 413)
        if method == "POST" and int(length) > self._most_bytes:
            most = self._most_bytes / 1e6
            return error_answer(f"too large: {int(length) / 1e6:,.0f} MB, and {most:g} MB are taken", 413)
        return None


def _host_name(headers: Headers) -> str:
    try:
        return urlsplit("//" + headers.get("host", "")).hostname or ""
    except ValueError:
        return ""


def page_routes(page: str, names: Collection[str]) -> APIRouter:
    """The page itself (a template, HTML as it stands) and the files of those names that it asks for."""
    router = APIRouter()
    folder = files("mien.reports") / "templates"

    @router.get("/")
    def html() -> Response:
        return Response((folder / f"{page}.html").read_bytes(), media_type="text/html")

    @router.get("/files/{name}")
    def file(name: str) -> Response:
        if name not in names:
            return error_answer(f"there is no file {name}", 404)
        media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
        return Response((folder / name).read_bytes(), media_type=media_type)

    return router


def explain_errors(app: FastAPI, *, absent: str) -> None:
    """Errors as one sentence each, for the page to show. absent: of an address that leads nowhere."""

    @app.exception_handler(MienError)
    def failed(request: Request, error: MienError) -> Response:
        return error_answer(str(error), 400 if isinstance(error, InputError) else 500)

    @app.exception_handler(OSError)
    def system(request: Request, error: OSError) -> Response:
        return error_answer(f"the system says: {error.strerror or error}", 500)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return error_answer("the request is not of the expected form", 422)

    @app.exception_handler(404)
    def nowhere(request: Request, error: Exception) -> Response:
        return error_answer(absent, 404)


def error_answer(words: str, status: int, **more: str) -> Response:
    """One sentence, under the key "error"."""
    return json_answer({"error": words, **more}, status)


def json_answer(value: Mapping[str, Any], status: int = 200) -> Response:
    """ASCII, since names of files may hold bytes that are no UTF-8; numbers must be finite."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, default=str)
    return Response(text, status, media_type="application/json")

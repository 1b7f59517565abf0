"""The contact sheet shows what it is given and never fails over odd names or missing pictures."""

import io

import numpy as np
from PIL import Image

from mien.core.picture import read_picture
from mien.prepare.pack import Shot, write_sheet


def picture(colour, size):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format="PNG")
    return buffer.getvalue()


def share(pixels, colour):
    return (np.abs(pixels.astype(int) - colour).max(axis=2) < 30).mean()


def test_kept_and_dropped_are_drawn(tmp_path):
    path = tmp_path / "sheet.png"
    kept = [Shot(picture("blue", (64, 64)), "a.jpg")] * 13
    dropped = [
        Shot(picture("lime", (96, 30)), "folder/wide.jpg", "no-face"),
        Shot(b"", "x" * 300, "truncated"),
        Shot(b"", "日本語.jpg", "empty"),
    ]
    write_sheet(
        path, kept=kept, dropped=dropped, num_kept=130, reasons={"no-face": 1, "truncated": 1, "empty": 1}
    )
    pixels = read_picture(path)
    area = pixels.shape[0] * pixels.shape[1]
    assert abs(share(pixels, (0, 0, 255)) * area - 13 * 96 * 96) < 100
    assert abs(share(pixels, (0, 255, 0)) * area - 96 * 30) < 100
    assert share(pixels, (170, 30, 20)) > 0, "reasons are written in red"


def test_empty_sheet(tmp_path):
    write_sheet(tmp_path / "s.jpg", kept=[], dropped=[], num_kept=0, reasons={})
    assert read_picture(tmp_path / "s.jpg").shape[0] < 100

"""Write docs/how-to/monitor-*.png: pages of a project in which much is wrong, as Chromium shows them.

    python scripts/screenshots.py [--output FOLDER]

Needs Chromium (Debian's package `chromium`). What is shown depends on the code alone: data come from a seed, and
the clock stands still. The bytes depend on the machine's fonts too, so no test compares them.
"""

from __future__ import annotations

import argparse
import shutil
import struct
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PICTURES = {
    "catalogue": ("/", 820),
    "feature": ("/features/card_payments/amount_sum_7d", 1000),
    "drift": ("/drift", 760),
    "freshness": ("/freshness", 560),
    "skew": ("/skew", 620),
}
"""Name -> path of the page, and how much of it is shown, in pixels."""
WIDTH = 1100
MOST_BYTES = 150_000
COLOURS = 128


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the pictures of the pages.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "how-to")
    given = parser.parse_args(arguments)
    chromium = shutil.which("chromium")
    if chromium is None:
        print("chromium is not installed: pictures stay as they are", file=sys.stderr)
        return 0
    for name, picture in taken(chromium).items():
        small = indexed(picture)
        if len(small) > MOST_BYTES:
            print(f"{name}: {len(small):,} bytes are too many", file=sys.stderr)
            return 1
        (given.output / f"monitor-{name}.png").write_bytes(small)
    return 0


def taken(chromium: str) -> dict[str, bytes]:
    """A PNG of each of PICTURES."""
    from playwright.sync_api import sync_playwright

    from tests.browser import site

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root = site.make(Path(folder) / "shop", rows=20_000)
        with site.serving(root, Path(folder) / "serve.py") as served:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(color_scheme="light", locale="en-GB", reduced_motion="reduce")
            found = {}
            for name, (path, height) in PICTURES.items():
                page.set_viewport_size({"width": WIDTH, "height": height})
                page.goto(served.address + path)
                found[name] = page.screenshot(animations="disabled")
            browser.close()
            return found


# A PNG of few colours takes a third of one of all colours.


def indexed(png: bytes, colours: int = COLOURS) -> bytes:
    """The picture in its most frequent colours; each other pixel takes the nearest of them. png: 8 bits, opaque."""
    import numpy as np

    pixels = _pixels(png)
    height, width, _ = pixels.shape
    packed = (pixels[..., 0].astype(np.uint32) << 16) | (pixels[..., 1].astype(np.uint32) << 8) | pixels[..., 2]
    found, place, counts = np.unique(packed.ravel(), return_inverse=True, return_counts=True)
    kept = found[np.argsort(-counts, kind="stable")[:colours]]
    nearest = np.argmin(((_rgb(found)[:, None, :] - _rgb(kept)[None, :, :]) ** 2).sum(axis=2), axis=1)
    lines = nearest[place].astype(np.uint8).reshape(height, width)
    raw = np.hstack([np.zeros((height, 1), np.uint8), lines]).tobytes()
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = (b"IHDR", head), (b"PLTE", _rgb(kept).astype(np.uint8).tobytes()), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _rgb(packed: Any) -> Any:
    import numpy as np

    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.int32)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pixels(png: bytes) -> Any:
    """Height × width × channels, of a PNG of 8 bits without interlacing."""
    import numpy as np

    at, body, head = 8, b"", b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        head, body, at = (data if kind == b"IHDR" else head), (body + data if kind == b"IDAT" else body), at + 12 + length
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", head)
    channels = {2: 3, 6: 4}[colour]
    assert depth == 8
    lines = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + width * channels)
    made = np.zeros((height, width * channels), np.uint8)
    for n, (how, line) in enumerate(zip(lines[:, 0], lines[:, 1:], strict=True)):
        above = made[n - 1] if n else np.zeros_like(line)
        made[n] = _unfiltered(int(how), line, above, channels)
    return made.reshape(height, width, channels)


def _unfiltered(how: int, line: Any, above: Any, channels: int) -> Any:
    """A line as it was before its filter (PNG, section 9): 0 none, 1 left, 2 above, 3 the mean of both, 4 Paeth."""
    import numpy as np

    if how == 0:
        return line
    if how == 2:
        return line + above
    if how == 1:
        return np.cumsum(line.reshape(-1, channels), axis=0, dtype=np.uint8).ravel()
    made = [0] * len(line)
    for i, (value, b) in enumerate(zip(line.tolist(), above.tolist(), strict=True)):
        a = made[i - channels] if i >= channels else 0
        c = int(above[i - channels]) if i >= channels else 0
        made[i] = (value + ((a + b) // 2 if how == 3 else _paeth(a, b, c))) & 255
    return np.array(made, np.uint8)


def _paeth(a: int, b: int, c: int) -> int:
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


if __name__ == "__main__":
    sys.exit(main())

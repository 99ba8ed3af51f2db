"""How soon a strip is on the screen and how smoothly it pans, beside uPlot drawing the same samples.

    python -m benchmarks.console [--loads 15] [--patch ID ...]

Headless Chromium and the real console over a real store, each in a process of its own: 60 s of two leads at
250 Hz (MIT-BIH 208 from ANYECG_DATA, else the excerpt twice), analysed as a node does. A load is cold, in a
browser context of its own, from navigation to the frame that drew; pages take turns. A pan's frame is timed
in the page, with the pixels read back. uPlot comes from npm into a cache outside this repository; where it
cannot be had, its column says so. Pages of a day are timed where the console has them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from cloud.broker import free_port
from cloud.config import CloudConfig
from cloud.sqlite_store import SqliteStore
from cloud.worker import Worker
from models.anyecg.localizer import Localizer
from models.ecg import Clock, Segment, read_only, segment_id
from models.recordings import open_recording
from models.signals.conditioning import resample
from models.wire import encode_segment

FS, SECONDS = 250.0, 60
PATCH = "strip"
FRAMES, STEP_PX = 120, 24
UPLOT = "uplot@1.6.32"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "anyecg" / "benchmarks"
WINDOW = {"width": 1500, "height": 1000}
BUDGETS = {"load_ms": 250.0, "pan_ms": 16.0, "day_ms": 1500.0}
DAY_PAGES = ("/patches/{}/day", "/patches/{}/disclosure")
HERE = Path(__file__).parent
# When the first frame was drawn, ms after navigation; and each animation frame's work, pixels read back.
WATCH = """
addEventListener("drawn", () => { window.drawnAt ??= performance.now(); }, true);
window.frames_ms = [];
const raf = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (work) => raf((now) => {
  const begun = performance.now();
  work(now);
  document.querySelector("canvas")?.getContext("2d").getImageData(0, 0, 1, 1);
  window.frames_ms.push(performance.now() - begun);
});
"""
PAN = {
    "strip": """async ([frames, step]) => {
      const { scroll } = document.querySelector("ecg-strip");
      window.frames_ms = [];
      for (let i = 1; i <= frames; i++) {
        scroll.scrollLeft = i * step;
        await new Promise((done) => addEventListener("drawn", done, { once: true }));
      }
      return window.frames_ms;
    }""",
    "uPlot": """async ([frames, step]) => {
      const spent = [];
      for (let i = 1; i <= frames; i++) {
        await new Promise(requestAnimationFrame);
        spent.push(await window.panned(i * step));
      }
      return spent;
    }""",
}


def two_leads() -> Segment:
    """A minute as one final part."""
    path = Path(os.environ.get("ANYECG_DATA", "/nowhere")) / "mitdb" / "208"
    recording = open_recording(path if path.with_suffix(".hea").is_file() else "excerpt")
    rows = np.vstack([recording.counts] * 2)[:2, : round(SECONDS * recording.fs)]
    counts = np.rint(resample(rows, recording.fs, FS)).astype(np.int32)[:, : round(SECONDS * FS)]
    me = segment_id(PATCH, 1, 0, counts.shape[1] - 1)
    return Segment(
        id=me,
        patch_id=PATCH,
        boot_id=1,
        episode_id=me,
        part=0,
        final=True,
        continues=None,
        opened_by="screener",
        first=0,
        fs=FS,
        leads=("MLII", "V1"),
        counts=read_only(counts),
        uv_per_count=(recording.uv_per_count * 2)[:2],
        clock=Clock(utc_0=time.time() - SECONDS, fs=FS, quality="arrival", received_at=time.time()),
    )


def furnish(path: Path) -> str:
    """A store with that minute, analysed; the episode's id."""
    part, store = two_leads(), SqliteStore(str(path))
    with contextlib.closing(store):
        store.commit_segment(encode_segment(part, 0, "home"), part, seq=0, site="home", now=time.time())
        worker = Worker(store, Localizer(), CloudConfig())
        while (job := store.claim("benchmark", 60.0, now=time.time())) is not None:
            worker.work(job)
        if not store.alerts():
            raise SystemExit("Nothing in this minute raises an alert: the page would show no strip.")
    return part.episode_id


def serve(path: Path, port: int, uplot: Path | None) -> None:
    import uvicorn
    from fastapi.responses import FileResponse, Response

    from cloud.console.app import create_app

    app = create_app(SqliteStore(str(path)))

    def file(name: str) -> Response:
        return FileResponse((uplot if uplot and name.startswith("uPlot.") else HERE / "pages") / name)

    app.add_api_route("/benchmark/{name}", file)
    uvicorn.run(app, port=port, log_level="error")


def fetched(package: str) -> Path | None:
    """The package's `dist`, from the cache or from npm; None where it cannot be had."""
    folder = CACHE / package.replace("@", "-")
    if not folder.is_dir():
        npm = shutil.which("npm")
        with tempfile.TemporaryDirectory() as where:
            if npm is None or subprocess.call([npm, "pack", "--silent", package], cwd=where, timeout=120):
                return None
            with tarfile.open(next(Path(where).glob("*.tgz"))) as archive:
                archive.extractall(folder, filter="data")
    return folder / "package" / "dist"


@contextlib.contextmanager
def opened(browser: Browser, url: str, ready: str) -> Iterator[Page]:
    """A cold page once it has drawn."""
    context = browser.new_context(viewport={"width": WINDOW["width"], "height": WINDOW["height"]})
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(url)
    page.wait_for_selector(ready, state="attached", timeout=60_000)
    yield page
    context.close()


def figures_of(loads: Sequence[dict[str, float]], pans: Sequence[float]) -> dict[str, Any]:
    times = sorted(load["ms"] for load in loads)
    return {
        "load_ms": {
            "median": round(statistics.median(times)),
            "least": round(times[0]),
            "most": round(times[-1]),
        },
        "pan_ms": {
            "median": round(statistics.median(pans), 1),
            "p95": round(float(np.percentile(pans, 95)), 1),
        },
        "bytes": round(loads[0]["bytes"]),
    }


def looked_at(page: Page) -> dict[str, float]:
    """When it had drawn, ms, and what came over the wire for it, bytes."""
    entries = 'performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource"))'
    size = page.evaluate(f"{entries}.reduce((sum, entry) => sum + entry.transferSize, 0)")
    return {"ms": page.evaluate("window.drawnAt"), "bytes": size}


def day_pages(browser: Browser, url: str, patches: Sequence[str]) -> dict[str, Any]:
    """ms from navigation until a page of a patch's day is loaded and, where it draws, has drawn."""
    out: dict[str, Any] = {}
    for path in (path.format(patch) for patch in patches for path in DAY_PAGES):
        if httpx.get(url + path).status_code != 200:
            out[path] = "no such page"
            continue
        with opened(browser, url + path, "body") as page:
            page.wait_for_load_state("load")
            with contextlib.suppress(Exception):
                page.wait_for_selector("[data-ready]", timeout=5_000)
            loaded = page.evaluate('performance.getEntriesByType("navigation")[0].loadEventEnd')
            out[path] = round(page.evaluate("window.drawnAt") or loaded)
    return out


def measure(loads: int, patches: Sequence[str], folder: Path) -> dict[str, Any]:
    uplot, port = fetched(UPLOT), free_port()
    episode = furnish(folder / "cloud.db")
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(folder / "cloud.db", port, uplot), daemon=True
    )
    server.start()
    url = f"http://127.0.0.1:{port}"
    _until_up(url)
    pages = {"strip": (url, "ecg-strip[data-ready]")}
    if uplot:
        pages["uPlot"] = (f"{url}/benchmark/uplot.html?{episode}", "body[data-ready]")
    held: dict[str, tuple[list[dict[str, float]], list[float]]] = {name: ([], []) for name in pages}
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for load in range(loads + 1):
            for name, (where, ready) in pages.items():
                with opened(browser, where, ready) as page:
                    if load:  # the first warms up server and browser
                        held[name][0].append(looked_at(page))
                    if load == loads:
                        held[name][1].extend(page.evaluate(PAN[name], [FRAMES, STEP_PX]))
        days = day_pages(browser, url, patches)
        browser.close()
    samples = len(httpx.get(f"{url}/api/episodes/{episode}/samples").content)
    server.terminate()
    columns: dict[str, Any] = {name: figures_of(*of) for name, of in held.items()}
    return {
        **columns,
        **({} if uplot else {"uPlot": f"{UPLOT} could not be had from npm"}),
        "samples_bytes": samples,
        "days_ms": days,
    }


def _until_up(url: str) -> None:
    for _ in range(600):
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{url}/healthz")
            return
        time.sleep(0.1)
    raise SystemExit("The console did not start.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", type=int, default=15, help="cold loads of each page")
    parser.add_argument("--patch", action="append", default=[], help="whose pages of a day are timed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(asked.loads, [PATCH, *asked.patch], Path(folder))
    load = {"load_average": os.getloadavg()[0], "cpus": os.cpu_count()}
    print(json.dumps({"budgets": BUDGETS, **figures, **load}, indent=2))


if __name__ == "__main__":
    main()

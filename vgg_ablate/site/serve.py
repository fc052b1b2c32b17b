"""`site --serve`: the site on this machine's loopback, rebuilt where records are added, with live pages of studies.

A live page receives server-sent events: the lines of the study's event log since its last start, and after ended
runs the study's status with its interim verdicts.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from math import nan
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vgg_ablate.analysis.metrics import get_claim_unit, get_shown_sign
from vgg_ablate.analysis.pairs import flip_interval
from vgg_ablate.analysis.saved_study import read_saved_study
from vgg_ablate.config.claims import Claim
from vgg_ablate.errors import EnvironmentFailedError, StorageError, VggAblateError
from vgg_ablate.formatting import numbers
from vgg_ablate.runs.leases import read_lock_holder
from vgg_ablate.runs.progress.following import find_last_start, follow_event_batches
from vgg_ablate.runs.status import InterimVerdict, read_status
from vgg_ablate.site.build import StudyEntry, list_results_folders, render_live_page, write_index, write_study

_HOST = "127.0.0.1"  # there is no login
_INTERVAL_S = 0.5  # between two looks at a log
_KEEP_ALIVE_S = 15.0


class SiteFolder:
    """The folder of a site, in which the pages of changed studies are written again on request."""

    def __init__(self, results: Path, out: Path) -> None:
        self.results = results
        self.out = out
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[tuple[float, int], StudyEntry]] = {}  # folder -> (state of its files, entry)

    def refresh(self) -> None:
        """Write the pages of the studies that have changed, and the index. Raises SpecError, StorageError."""
        with self._lock:
            for folder in list_results_folders(self.results, self.out):
                state = _measure_state(folder)
                if folder.name not in self._entries or self._entries[folder.name][0] != state:
                    self._entries[folder.name] = (state, write_study(folder, self.out))
            running = frozenset(name for name in self._entries if read_lock_holder(self.results / name) is not None)
            write_index(self.results, self.out, tuple(entry for _, entry in self._entries.values()), running)

    def find_study(self, name: str) -> Path | None:
        """Return the results folder of this name; None if the site has none."""
        return self.results / name if name in self._entries else None


def start_server(results: Path, out: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of the site on the loopback; `serve_forever` runs it. Port 0 takes a free one.

    Raises SpecError, StorageError, and EnvironmentFailedError where the port is taken.
    """
    site = SiteFolder(results, out)
    site.refresh()
    try:
        server = ThreadingHTTPServer((_HOST, port), partial(_Handler, site=site, directory=str(out)))
    except OSError as error:
        raise EnvironmentFailedError(f"port {port} of {_HOST}: {error.strerror}; --port takes another one") from error
    server.daemon_threads = True  # an open live page does not keep the server from ending
    return server


def stream_study(folder: Path, is_over: Callable[[], bool]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the events of a study for its live page, as pairs of a name and data; `is_over` as in `follow_events`."""
    log = folder / "events.jsonl"
    yield "status", _describe_status(folder)
    for events in follow_event_batches(log, find_last_start(log), is_over):
        for event in events:
            yield "log", event
        # Once per look at the log: a page that is opened late gets hundreds of ended runs at once.
        if any(event.get("event") in ("began", "ended") for event in events):
            yield "status", _describe_status(folder)


def _describe_status(folder: Path) -> dict[str, Any]:
    try:
        status = read_status(folder)
    except StorageError as error:  # such as a record that is damaged: the page shows the error
        return {"error": str(error)}
    claims = {claim.id: claim for claim in read_saved_study(folder).claims}
    shown = [{**asdict(interim), **_describe_claim(claims[interim.id], interim)} for interim in status.claims]
    return {**asdict(status), "missing": status.missing, "recorded": status.recorded, "claims": shown}


def _describe_claim(claim: Claim, interim: InterimVerdict) -> dict[str, str]:
    """Return the text of a claim, and its difference with the sign and the unit of the report."""
    mean, low, high = (nan if value is None else value for value in (interim.mean, interim.ci_low, interim.ci_high))
    sign = get_shown_sign(claim.metric)
    difference = numbers.format_difference(sign * mean, *flip_interval((low, high), sign), se=nan)
    unit = get_claim_unit(claim) if interim.mean is not None else ""
    return {"text": claim.text, "difference": f"{difference} {unit}".strip()}


def _measure_state(folder: Path) -> tuple[float, int]:
    """Return the time of the last change of a results folder's study and manifest, and its number of records."""
    times = [path.stat().st_mtime for path in (folder / "manifest.json", folder / "study.yaml") if path.exists()]
    return max(times, default=0.0), sum(1 for _ in (folder / "records").glob("*.json"))


class _Handler(SimpleHTTPRequestHandler):
    """Static files of the site, `/live/STUDY` and `/stream/STUDY`."""

    def __init__(self, *args: Any, site: SiteFolder, **options: Any) -> None:
        self._site = site
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        # A page of another site could reach this server under a name of its own that resolves to the loopback.
        if self.headers.get("Host", "").partition(":")[0] not in (_HOST, "localhost"):
            self.send_error(403)
            return
        try:
            self._answer()
        except VggAblateError as error:  # such as a study.yaml that is damaged while the site is served
            self.send_error(500, str(error).splitlines()[0][:200])

    def _answer(self) -> None:
        kind, _, name = unquote(self.path).lstrip("/").partition("/")
        if kind in ("live", "stream"):
            folder = self._site.find_study(name)
            if folder is None:
                self.send_error(404)
            elif kind == "live":
                self._send_page(render_live_page(folder))
            else:
                self._send_stream(folder)
            return
        if self.path.endswith(("/", "index.html")):
            self._site.refresh()
        super().do_GET()

    def _send_page(self, page: str) -> None:
        content = page.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _send_stream(self, folder: Path) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        sent_at = time.monotonic()

        def wait() -> bool:
            nonlocal sent_at
            time.sleep(_INTERVAL_S)
            if time.monotonic() - sent_at > _KEEP_ALIVE_S:
                self._write(": still here\n\n")  # a comment; writing to a page that was closed ends the stream
                sent_at = time.monotonic()
            return False

        try:
            for name, data in stream_study(folder, wait):
                self._write(f"event: {name}\ndata: {json.dumps(data)}\n\n")
                sent_at = time.monotonic()
        except (BrokenPipeError, ConnectionResetError):  # the page was closed
            self.close_connection = True

    def _write(self, text: str) -> None:
        self.wfile.write(text.encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing for a request."""

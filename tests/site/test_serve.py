"""`site --serve` answers on the loopback alone, writes changed pages again, and streams a study while it runs."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.report.factories import make_results_folder
from tests.runs.deciding import write_plan
from tests.runs.harness import build_fake_plan, make_study, run_in_process, run_undisturbed
from vgg_ablate.analysis.pairs import compute_shown_difference
from vgg_ablate.analysis.summary import load_report
from vgg_ablate.errors import EnvironmentFailedError
from vgg_ablate.formatting import numbers
from vgg_ablate.runs.progress.following import find_last_start
from vgg_ablate.site.serve import start_server, stream_study


@pytest.fixture
def results(tmp_path: Path) -> Path:
    make_results_folder(tmp_path / "results" / "pretend", missing=frozenset({("five", 4)}))
    run_in_process(build_fake_plan(make_study(tmp_path, variants=1, epochs=2)), tmp_path / "results" / "asked")
    return tmp_path / "results"


@pytest.fixture
def server(results: Path, tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    with start_server(results, tmp_path / "site", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: ThreadingHTTPServer, path: str, host: str = "") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("GET", path, headers={"Host": host} if host else {})
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_the_index_and_the_pages_of_studies_are_served(server: ThreadingHTTPServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    status, index = get(server, "/")
    assert status == 200
    assert "Do pretend variants differ?" in index
    assert get(server, "/pretend/index.html")[0] == 200
    status, page = get(server, "/live/asked")
    assert (status, 'data-study="asked"' in page) == (200, True)


@pytest.mark.parametrize("path", ["/live/unknown", "/stream/..", "/live/../results", "/stream/asked/records", "/x"])
def test_what_is_no_part_of_the_site_is_not_found(server: ThreadingHTTPServer, path: str) -> None:
    assert get(server, path)[0] == 404


def test_a_host_that_is_not_the_loopback_is_refused(server: ThreadingHTTPServer) -> None:
    assert get(server, "/", "attacker.example")[0] == 403
    assert get(server, "/", "localhost:1")[0] == 200


def test_a_page_is_written_again_when_records_are_added(
    server: ThreadingHTTPServer, results: Path, tmp_path: Path
) -> None:
    assert "14 of 15 runs" in get(server, "/")[1]
    make_results_folder(tmp_path / "again" / "pretend")
    for path in (tmp_path / "again" / "pretend" / "records").iterdir():
        shutil.copyfile(path, results / "pretend" / "records" / path.name)
    assert "15 of 15 runs" in get(server, "/")[1]


def test_the_stream_has_the_events_of_the_last_start_and_the_status(results: Path) -> None:
    folder = results / "asked"
    events = list(stream_study(folder, lambda: True))
    names = [data["event"] for name, data in events if name == "log"]
    assert names.count("began") == 1
    assert names.count("ended") == 6
    assert names.count("epoch") == 12
    first, last = (data for name, data in (events[0], events[-1]))
    assert (first["asked"], first["recorded"], last["missing"]) == (6, 6, 0)


def test_the_verdicts_so_far_have_the_sign_and_the_unit_of_the_report(tmp_path: Path) -> None:
    folder = run_undisturbed(write_plan(tmp_path), tmp_path / "asked")
    *_, (_, status) = stream_study(folder, lambda: True)
    shown = {claim["id"]: claim["difference"] for claim in status["claims"]}
    for verdict in load_report(folder).verdicts:
        mean = numbers.format_number(compute_shown_difference(verdict).mean, 2, signed=True)
        assert shown[verdict.claim.id].startswith(f"{mean} [")
        assert shown[verdict.claim.id].endswith("] points")


def test_a_study_without_a_log_is_streamed_and_nothing_is_written(results: Path) -> None:
    folder = results / "pretend"
    before = sorted(folder.rglob("*"))
    ((name, status),) = stream_study(folder, lambda: True)
    assert (name, status["missing"]) == ("status", 1)
    assert sorted(folder.rglob("*")) == before


def test_the_stream_is_one_of_server_sent_events(server: ThreadingHTTPServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("GET", "/stream/asked")
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    lines: list[str] = []
    while lines.count("event: log") < 20:
        lines.append(response.readline().decode().rstrip("\n"))
    connection.close()
    data: list[Any] = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert data[0]["asked"] == 6
    assert lines[0] == "event: status"


def test_a_taken_port_is_one_line(server: ThreadingHTTPServer, results: Path, tmp_path: Path) -> None:
    with pytest.raises(
        EnvironmentFailedError, match=rf"port {server.server_port} of 127.0.0.1: .*; --port takes another"
    ):
        start_server(results, tmp_path / "other", server.server_port)


def test_the_last_start_is_found_in_a_log_of_several(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    assert find_last_start(log) == 0
    first = '{"at": 1, "event": "began"}\n{"at": 2, "event": "epoch"}\n'
    log.write_text(first + '{"at": 3, "event": "began"}\n')
    assert find_last_start(log) == len(first)

"""Tests of `kis-bond status` and `top` with a real Kafka and a connector's answer over HTTP."""

import http.server
import json
import threading

import pytest

from tests.cli.subs.status_records import active, alive
from tests.kafka.reader import create_topics

A = "KR103502GA34"


@pytest.fixture
def _records(kafka, topic_names, produce):
    """Make one active bond on one slot that is alive."""
    create_topics(kafka.bootstrap_servers, {topic_names.control: 1, topic_names.status: 1}, cleanup_policy="compact")
    produce(topic_names.control, "desk", json.dumps({"instruments": [A]}))
    produce(topic_names.status, "slot/0", alive())
    produce(topic_names.status, f"instrument/{A}", active(0, lists=["desk"]))


@pytest.fixture
def url():
    """Serve a growing count of ticks at /status."""
    served = [0]

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            served[0] += 100
            body = json.dumps({"name": "one", "ready": True, "ticks": {"acknowledged": served[0]}}).encode()
            self.send_response(200 if self.path == "/status" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("_records")
def test_status(cli, variables, url):
    """Status shows the slots, the bonds and the figures of a connector that answers."""
    result = cli("status", "--url", url, "--json", **variables)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert (found["running"], found["bonds"], found["slots"][0]["owner"]) == (True, {"ACTIVE": 1}, "test")
    assert 10 < found["connector"]["ticks_per_second"] <= 100
    assert "A connector is running." in cli("status", "--url", url, **variables).stdout


@pytest.mark.usefixtures("_records")
def test_a_connector_that_does_not_answer(cli, variables):
    """Without an answer the status topic is shown, and the reason."""
    result = cli("status", "--url", "http://127.0.0.1:1", **variables)
    assert result.exit_code == 0
    assert "figures    none: http://127.0.0.1:1/status could not be read" in result.stdout
    assert cli("status", "--url", "nonsense", **variables).exit_code == 2


@pytest.mark.usefixtures("_records")
def test_top_repeats_the_status(cli, variables, url):
    """Top shows one look after another, each with the rate since the one before."""
    result = cli("top", "--url", url, "--json", "--every", "0.2", "--count", "2", **variables)
    first, second = map(json.loads, result.stdout.splitlines())
    assert first["connector"]["ticks_per_second"] is None
    assert second["connector"]["ticks_per_second"] > 0
    assert cli("top", "--url", url, "--count", "1", **variables).stdout.count("A connector is running.") == 1

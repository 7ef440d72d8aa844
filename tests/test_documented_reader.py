"""The reader that docs/consumer.md shows works outside a checkout, and reads later schemas."""

import json
import re
from contextlib import chdir
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from connector.core.ticks.avro import Tick, TickEncoder, TickSchema, registry_prefix
from connector.core.ticks.frame import WireRecord
from connector.packaged_files import bond_tick
from tests.core.ticks.test_compatibility import COMPATIBLE, edited
from tests.core.ticks.test_frame import PAYLOAD

DOCS = Path(__file__).parents[1] / "docs" / "consumer.md"
LATER = TickSchema(edited(COMPATIBLE["three new columns"]))
RECORD = WireRecord([*PAYLOAD.split("^"), "a", "7", "1.5"], f"{PAYLOAD}^a^7^1.5")


class SchemaServer(BaseHTTPRequestHandler):
    """Answers every request with the later schema, as a registry does."""

    def do_GET(self):
        """Return the schema."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"schema": LATER.text}).encode())

    def log_message(self, *_):
        """Log nothing."""


@pytest.fixture
def reader(tmp_path):
    """Return the names that the documented program defines in a folder with only its schema."""
    [program] = re.findall(r'```python\n("""Prints the first five ticks.*?)```', DOCS.read_text(), re.DOTALL)
    (tmp_path / "bond_tick.avsc").write_text(bond_tick())
    server = HTTPServer(("127.0.0.1", 0), SchemaServer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    names = {"__name__": "reader"}
    with chdir(tmp_path):
        exec(program, names)
    names["REGISTRY"] = f"http://127.0.0.1:{server.server_port}"
    yield names
    server.shutdown()
    thread.join()
    server.server_close()


def encoded(schema, prefix):
    """Return the record as a tick of a schema."""
    encoder = TickEncoder(schema, prefix)
    tick = encoder.encode(RECORD, encoder.origin(1_795_148_263_000))
    assert isinstance(tick, Tick)
    return tick.value


def test_it_reads_single_object_encoding(reader):
    """A tick of its own schema is read by the fingerprint."""
    schema = TickSchema(bond_tick())
    tick = reader["decode"](encoded(schema, schema.single_object_prefix))
    assert (tick["STND_ISCD"], tick["extra"]) == (PAYLOAD.split("^")[0], ["a", "7", "1.5"])


def test_it_reads_a_new_schema_id(reader):
    """A tick of a later schema is read into the reader's own fields; new columns are left out."""
    tick = reader["decode"](encoded(LATER, registry_prefix(2)))
    assert (tick["STND_ISCD"], tick["extra"]) == (PAYLOAD.split("^")[0], [])
    assert "A" not in tick

"""Writes schemas/asyncapi.yaml, the AsyncAPI 3 document of all topics, from schemas and topic plan.

Source: AsyncAPI 3.0.0, and its Kafka bindings 0.5.0.
"""

from typing import Any, Final

import yaml

from connector.core.topic_plan import CLEANUP, RETENTION, PlannedTopic, Sizes, plan
from connector.settings.model import TopicSettings
from tests.published import SCHEMAS

DOCUMENT: Final = SCHEMAS / "asyncapi.yaml"
BINDING: Final = "0.5.0"
LATEST: Final = "bond.ticks.latest"  # has no default name, because it is off by default
# The lines of `topics init` on three brokers and with two app keys.
SIZES: Final = Sizes(6, 2, 3, 2)
AVRO: Final = "application/vnd.apache.avro;version=1.12.0"
JSON: Final = "application/schema+json;version=draft-2020-12"
HEAD: Final = "# Made from the schemas and the topic plan by `make asyncapi`; a test fails where they differ.\n"

ISIN_KEY: Final = {"type": "string", "pattern": "^[A-Z]{2}[A-Z0-9]{9}[0-9]$", "description": "The bond's ISIN."}
RECEIVED: Final = {
    "received-ns": {"type": "string", "description": "When the frame was received, in ns since 1970."},
    "slot": {"type": "string", "description": "The slot that received it."},
}
# By the topic's setting: what the connector does with it, what it is for, and its messages.
TOPICS: Final[dict[str, tuple[str, str, list[str]]]] = {
    "ticks": ("send", "Every trade of every wanted bond, at least once.", ["tick"]),
    "control": ("receive", "Which bonds are wanted: lists, by name.", ["control"]),
    "status": (
        "send",
        "What became of each bond, list and slot.",
        ["status_instrument", "status_list", "status_slot"],
    ),
    "events": ("send", "What happened to sessions and bonds.", ["event"]),
    "dead_letters": ("send", "What could not become a tick.", ["dead_letter"]),
    "slots": ("receive", "Shares the slots among replicas. Nothing is ever written to it.", []),
    "coverage": ("send", "What of each bond's day volume the ticks account for.", ["coverage"]),
    "latest": ("send", "The latest tick of each bond; only if `topics.latest` is set.", ["latest_tick"]),
}
KEYS: Final[dict[str, dict[str, Any]]] = {
    "tick": ISIN_KEY,
    "control": {"type": "string", "minLength": 1, "maxLength": 200, "description": "The list's name, or an ISIN."},
    "status_instrument": {"type": "string", "pattern": "^instrument/", "description": "instrument/<ISIN>"},
    "status_list": {"type": "string", "pattern": "^list/", "description": "list/<name>"},
    "status_slot": {"type": "string", "pattern": "^slot/[0-9]+$", "description": "slot/<k>"},
    "event": {"type": "string", "description": "The ISIN, slot/<k>, or the name of a topic."},
    "dead_letter": {"type": ["string", "null"], "description": "The ISIN of a bad record; none for a bad frame."},
    "coverage": {"type": "string", "description": "<ISIN>/<trade date>"},
    "latest_tick": ISIN_KEY,
}
OF_TICK: Final = RECEIVED | {"schema": {"type": "string", "description": "The schema's CRC-64-AVRO fingerprint."}}
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "tick": OF_TICK,
    "latest_tick": OF_TICK | {"order": {"type": "string", "description": "`trade_date` and `ACML_VOL`, as text."}},
    "dead_letter": RECEIVED
    | {
        "reason": {"type": "string", "description": "Why it could not become a tick."},
        "detail": {"type": "string", "description": "The reason as a sentence."},
        "field": {"type": "string", "description": "The column to blame, if there is one."},
    },
}


def document() -> dict[str, Any]:
    """Return the document."""
    planned = plan(TopicSettings(latest=LATEST).names(), SIZES)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "kis-bond-connector",
            "version": "1.0.0",
            "description": "Korean bond ticks of Korea Investment & Securities in Kafka, and the topics around them. "
            "Names are settings; these are the defaults. Fields are added, never changed.",
        },
        "servers": {"kafka": {"host": "localhost:9092", "protocol": "kafka"}},
        "channels": {topic.part: _channel(topic) for topic in planned},
        "operations": {
            f"{TOPICS[topic.part][0]}_{topic.part}": {
                "action": TOPICS[topic.part][0],
                "channel": {"$ref": f"#/channels/{topic.part}"},
            }
            for topic in planned
        },
        "components": {"messages": {name: _message(name) for name in KEYS}},
    }


def _channel(topic: PlannedTopic) -> dict[str, Any]:
    _, description, messages = TOPICS[topic.part]
    configs = {
        "cleanup.policy": topic.configs[CLEANUP].split(","),
        **({"retention.ms": int(topic.configs[RETENTION])} if RETENTION in topic.configs else {}),
    }
    return {
        "address": topic.name,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "replicas": topic.replication_factor,
                "topicConfiguration": configs,
                "bindingVersion": BINDING,
            }
        },
    }


def _message(name: str) -> dict[str, Any]:
    message: dict[str, Any] = {"name": name, "title": name.replace("_", " ").capitalize()}
    if name in HEADERS:
        message["headers"] = {"type": "object", "properties": HEADERS[name]}
    match name:
        case "tick" | "latest_tick":
            message |= {"contentType": "application/octet-stream", "payload": _payload(AVRO, "bond_tick.avsc")}
        case "dead_letter":
            message |= {"contentType": "application/octet-stream"}
        case _:
            message |= {"contentType": "application/json", "payload": _payload(JSON, f"{name}.schema.json")}
    return message | {"bindings": {"kafka": {"key": KEYS[name], "bindingVersion": BINDING}}}


def _payload(schema_format: str, file: str) -> dict[str, Any]:
    return {"schemaFormat": schema_format, "schema": {"$ref": f"./{file}"}}


class _WithoutAliases(yaml.SafeDumper):
    """Writes a value that occurs twice as often as it occurs."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return that no value gets a name."""
        return True


def text() -> str:
    """Return the document as YAML."""
    return HEAD + yaml.dump(document(), Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True, width=100)


if __name__ == "__main__":
    DOCUMENT.write_text(text(), encoding="utf-8")

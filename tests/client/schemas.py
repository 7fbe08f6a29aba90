"""docs/schemas as validators, open as published and closed: with no field that no schema names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schemas"
ID = "urn:sotto:schema:"
PREFIX = "org.matrix.msc2359"

ROOM = {
    f"{PREFIX}.conference": "room/conference",
    f"{PREFIX}.ticket": "room/ticket",
    f"{PREFIX}.ticket_request": "room/ticket_request",
    f"{PREFIX}.media_keys": "room/media_keys",
    f"{PREFIX}.key_request": "room/key_request",
    f"{PREFIX}.hand": "room/hand",
    f"{PREFIX}.reaction": "room/reaction",
    f"{PREFIX}.mute_request": "room/mute_request",
    f"{PREFIX}.focus": "room/focus",
}
CALL = {
    f"m.call.{name}": f"call/{name}"
    for name in ("invite", "answer", "candidates", "select_answer", "reject", "hangup", "negotiate")
}
FOCUS = {
    f"{PREFIX}.welcome": "channel/focus/welcome",
    f"{PREFIX}.members": "channel/focus/members",
    f"{PREFIX}.slots": "channel/focus/slots",
    f"{PREFIX}.send": "channel/focus/send",
    f"{PREFIX}.sealed": "channel/focus/sealed",
    f"{PREFIX}.speakers": "channel/focus/speakers",
    f"{PREFIX}.layers": "channel/focus/layers",
    f"{PREFIX}.viewers": "channel/focus/viewers",
    f"{PREFIX}.epoch": "channel/focus/epoch",
    f"{PREFIX}.error": "channel/focus/error",
    "m.call.negotiate": "channel/focus/negotiate",
    "m.call.ping": "channel/focus/ping",
    "m.call.hangup": "channel/focus/hangup",
}
CLIENT = {
    "m.call.track_subscription": "channel/client/track_subscription",
    "m.call.sdp_stream_metadata_changed": "channel/client/metadata_changed",
    "m.call.negotiate": "channel/client/negotiate",
    "m.call.pong": "channel/client/pong",
    "m.call.hangup": "channel/client/hangup",
    f"{PREFIX}.missing_key": "channel/client/missing_key",
    f"{PREFIX}.resumed": "channel/client/resumed",
    f"{PREFIX}.prove": "channel/client/prove",
}


def names() -> list[str]:
    return sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.json"))


def read(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return schema


def close(schema: Any) -> Any:
    """Objects whose fields are named have no others."""
    if isinstance(schema, list):
        return [close(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(value) for key, value in schema.items()}
    is_object = closed.get("type") == "object" and isinstance(closed.get("properties"), dict)
    if is_object and "additionalProperties" not in closed:
        closed["additionalProperties"] = False
    return closed


@cache
def _registry(closed: bool) -> Registry[Any]:
    schemas = (read(name) for name in names())
    made = [close(schema) if closed else schema for schema in schemas]
    return Registry().with_resources((each["$id"], Resource.from_contents(each)) for each in made)


@cache
def validator(name: str, closed: bool = True) -> Draft202012Validator:
    registry = _registry(closed)
    return Draft202012Validator(registry.contents(ID + name), registry=registry)


def problems(name: str, value: object, closed: bool = True) -> list[str]:
    """What is wrong, a line each; empty when it is as the schema says."""
    return [
        f"{name}: {error.json_path}: {error.message[:300]}"
        for error in validator(name, closed).iter_errors(value)
    ]


def problems_of_event(kind: str, content: object, schemas: Mapping[str, str]) -> list[str]:
    """Of a content, by the type of its event; a type without a schema is a problem too."""
    return problems(schemas[kind], content) if kind in schemas else [f"{kind} has no schema"]


def problems_of_message(message: Mapping[str, Any], schemas: Mapping[str, str]) -> list[str]:
    """Of a whole data channel message."""
    kind = message["type"]
    return problems(schemas[kind], message) if kind in schemas else [f"{kind} has no schema"]

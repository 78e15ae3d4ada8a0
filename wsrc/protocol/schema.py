# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of all messages: their classes, what fields and words mean, who says which."""

from collections.abc import Iterable
from typing import Any, get_args

import msgspec

from wsrc.errors import Outcome
from wsrc.octets import Octets
from wsrc.protocol.conversation import MAY_SAY, said_by
from wsrc.protocol.messages import AnyMessage, Message
from wsrc.protocol.reader_events import NOTIFICATIONS
from wsrc.words import OpenWord, Word

Json = dict[str, Any]

LATER = "A word of a later version; see Compatibility in docs/protocol.md"
"""Marks that a list of words is open."""


def schema() -> Json:
    """
    Return the JSON Schema (2020-12) of all messages; validators in strict mode take it.

    `$defs` has each class by its name, and for each speaker and phase the messages that may be
    said then, as in `user_client_open`.
    """
    kinds = (*get_args(AnyMessage), *NOTIFICATIONS.values())
    references, definitions = msgspec.json.schema_components(
        kinds, schema_hook=octets, ref_template="#/$defs/{name}"
    )
    for definition in definitions.values():
        needed = definition.get("required", ())
        for name, field in definition.get("properties", {}).items():
            described = _described(name, field)
            definition["properties"][name] = described if name in needed else _or_null(described)
    for kind in kinds:
        definitions[kind.__name__]["description"] += f"\n\n{place(kind)}"
    for kind in NOTIFICATIONS.values():
        del definitions[kind.__name__]["properties"]["id"]
    lists: list[type[Word]] = [*OpenWord.__subclasses__(), Outcome]
    for word in lists:
        if word.__name__ in definitions:
            definitions[word.__name__] = _open(definitions[word.__name__], word)
    reference_of = dict(zip(kinds, references, strict=True))
    for (speaker, phase), said in MAY_SAY.items():
        definitions[f"{speaker} {phase}".replace(" ", "_")] = {
            "description": f"What may come from {speaker.meaning} {phase.meaning}.",
            "anyOf": [reference_of[kind] for kind in kinds if kind in said],
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "WSRC messages",
        "description": "The text of one frame; see docs/protocol.md.",
        "anyOf": references,
        "$defs": definitions,
    }


def place(kind: type[Message]) -> str:
    """Return a sentence that says who may say a message, and in which phases."""
    places = (f"{who.meaning} ({', '.join(phases)})" for who, phases in said_by(kind).items())
    return f"From {', '.join(places)}."


def octets(kind: type) -> Json:
    """Return the schema of octets, for msgspec."""
    if kind is Octets:
        return {"type": "string", "pattern": "^([0-9a-fA-F]{2})*$", "contentEncoding": "base16"}
    raise NotImplementedError(kind.__name__)


def _described(name: str, field: Json) -> Json:
    """Return the schema of a field with its description on top, also where it may be null."""
    if name == "msg_type":
        field = {"description": "Name of the message", **field}
    if "enum" in field:
        (only,) = field.pop("enum")
        return field | {"const": only}
    branches: list[Json] = field.get("anyOf", [])
    for each in (field, *branches):
        each.pop("discriminator", None)  # of OpenAPI; JSON Schema does not have it
    texts = [branch.pop("description") for branch in branches if "description" in branch]
    return {"description": texts[0], **field} if texts else field


def _or_null(field: Json) -> Json:
    """Return the schema of a field that may be left out, which is what null means."""
    if "const" in field:
        return field
    about = {name: field[name] for name in ("description", "default") if name in field}
    rest = {name: value for name, value in field.items() if name not in about}
    branches: list[Json] = rest.get("anyOf", [rest])
    null = {"type": "null"}
    return about | {"anyOf": [*(each for each in branches if each != null), null]}


def _open(words: Json, kind: type[Word]) -> Json:
    """Return the schema of a list of words to which a later version may add."""
    known = {"type": "string", "enum": words["enum"]}
    later = {"type": "string", "description": LATER}
    return {
        "title": words["title"],
        "description": words["description"] + _meanings(kind),
        "anyOf": [known, later],
    }


def _meanings(words: Iterable[Word]) -> str:
    return "".join(f"\n\n`{word}`: {word.meaning}." for word in words)

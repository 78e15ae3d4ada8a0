# SPDX-License-Identifier: Apache-2.0
import re
from collections.abc import Iterator
from typing import Any

import pytest

from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m, schema as schema_module
from wsrc.protocol.codec import BY_TAG
from wsrc.protocol.conversation import MAY_SAY, Phase, Speaker
from wsrc.protocol.parts import CardState
from wsrc.protocol.reader_events import NOTIFICATIONS
from wsrc.protocol.schema import place, schema
from wsrc.words import OpenWord

KINDS = [*BY_TAG.values(), *NOTIFICATIONS.values()]
NAMES = [kind.__name__ for kind in KINDS]
DEFINITIONS = schema()["$defs"]

KEYWORDS = {
    *("$schema", "$defs", "$ref", "title", "description", "default", "anyOf", "const", "enum"),
    *("type", "properties", "required", "items", "prefixItems", "minItems", "maxItems"),
    *("pattern", "contentEncoding", "minimum", "maximum", "additionalProperties"),
}
"""Keywords of JSON Schema 2020-12 that are used; validators in strict mode refuse others."""


def schemas(within: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and all that are in it."""
    yield within
    for name in ("$defs", "properties"):
        for each in within.get(name, {}).values():
            yield from schemas(each)
    for name in ("anyOf", "prefixItems"):
        for each in within.get(name, ()):
            yield from schemas(each)
    if isinstance(within.get("items"), dict):
        yield from schemas(within["items"])


def test_the_schema_has_every_message_and_its_octets() -> None:
    references = [each["$ref"] for each in schema()["anyOf"]]
    assert references == [f"#/$defs/{name}" for name in NAMES]
    tags = [DEFINITIONS[k.__name__]["properties"]["msg_type"]["const"] for k in BY_TAG.values()]
    assert tags == list(BY_TAG)
    command = DEFINITIONS["CApdu"]["properties"]["command"]
    assert command["pattern"] == "^([0-9a-fA-F]{2})*$"


def test_a_message_with_a_type_that_json_does_not_have_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Odd(m.Message, frozen=True, tag="odd"):
        value: complex

    monkeypatch.setattr("wsrc.protocol.schema.AnyMessage", Odd | m.Hello)
    with pytest.raises(TypeError, match="complex"):
        schema()


def test_every_property_is_described() -> None:
    fields = {
        f"{name}.{field}": text.get("description")
        for name, definition in DEFINITIONS.items()
        for field, text in definition.get("properties", {}).items()
    }
    assert len(fields) > 250
    assert [name for name, text in fields.items() if not text] == []


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_every_message_tells_what_it_is_and_who_says_it_when(kind: type[m.Message]) -> None:
    about, _, where = DEFINITIONS[kind.__name__]["description"].rpartition("\n\n")
    assert about == (kind.__doc__ or "").strip().replace("\n    ", "\n")
    assert where == place(kind)
    told = re.findall(r"([a-z ]+) \(([a-z, ]+)\)", where.removeprefix("From "))
    told = [(who.strip(), phase) for who, phases in told for phase in phases.split(", ")]
    said = [(who, phase) for who in Speaker for phase in Phase if kind in MAY_SAY[who, phase]]
    assert told == [(who.meaning, phase) for who, phase in said]
    assert told


def test_the_place_of_a_message_has_every_phase() -> None:
    assert place(m.Hello) == "From user clients (greeting), card clients (greeting)."
    assert place(m.Error) == (
        "From card clients (open), the server to user clients (greeting, open), "
        "the server to card clients (greeting, open)."
    )


def test_what_may_be_said_when_has_a_definition_of_its_own() -> None:
    assert DEFINITIONS["server_to_card_client_greeting"]["anyOf"] == [
        {"$ref": "#/$defs/HelloAck"},
        {"$ref": "#/$defs/Error"},
    ]
    for (who, phase), said in MAY_SAY.items():
        defined = DEFINITIONS[f"{who} {phase}".replace(" ", "_")]["anyOf"]
        assert {each["$ref"].rpartition("/")[2] for each in defined} == {k.__name__ for k in said}


def test_every_word_of_a_list_is_explained() -> None:
    known, _ = DEFINITIONS["CardState"]["anyOf"]
    assert known["enum"] == sorted(CardState)
    for word in (*CardState, *ErrorCode, *Outcome):
        assert f"\n\n`{word}`: {word.meaning}." in DEFINITIONS[type(word).__name__]["description"]


def test_e31_no_list_of_words_is_closed() -> None:
    lists = {kind.__name__ for kind in (*OpenWord.__subclasses__(), Outcome)}
    for name in lists:
        known, later = DEFINITIONS[name]["anyOf"]
        assert set(known) == {"type", "enum"}
        assert later == {"type": "string", "description": schema_module.LATER}
    for definition in (DEFINITIONS[name] for name in DEFINITIONS if name not in lists):
        assert all("enum" not in each for each in schemas(definition))


def test_e31_null_is_allowed_wherever_a_field_may_be_left_out() -> None:
    for definition in DEFINITIONS.values():
        for name, field in definition.get("properties", {}).items():
            if name == "msg_type":
                continue
            allows = {"type": "null"} in field.get("anyOf", ())
            assert allows == (name not in definition.get("required", ())), name


def test_e31_whole_numbers_have_their_bounds() -> None:
    numbers = [each for each in schemas(schema()) if each.get("type") == "integer"]
    assert len(numbers) > 80
    for each in numbers:
        assert (each["minimum"], each["maximum"]) == (-(2**53) + 1, 2**53 - 1)


def test_only_keywords_of_the_standard_are_used() -> None:
    used = {keyword for each in schemas(schema()) for keyword in each}
    assert used == KEYWORDS


def test_a_status_word_has_its_pattern() -> None:
    for name in ("RApdu", "StepResult"):
        assert DEFINITIONS[name]["properties"]["sw"]["pattern"] == "^[0-9a-fA-F]{4}$"


def test_a_notification_has_no_id() -> None:
    """JSON-RPC 2.0 section 4.1."""
    for kind in NOTIFICATIONS.values():
        assert set(DEFINITIONS[kind.__name__]["properties"]) == {"jsonrpc", "event", "params"}


def test_e34_the_strict_mode_of_validators_takes_the_schema() -> None:
    """What Ajv's strict mode refuses: `type` left out or said twice, tuples without an end."""
    typed = {
        **dict.fromkeys(("properties", "required", "additionalProperties"), "object"),
        **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems"), "array"),
        **dict.fromkeys(("minimum", "maximum"), "number"),
        **dict.fromkeys(("pattern", "contentEncoding"), "string"),
    }
    for each in schemas(schema()):
        kind = "number" if each.get("type") == "integer" else each.get("type")
        assert isinstance(kind, str | None)
        assert {typed[keyword] for keyword in each if keyword in typed} <= {kind}
        if "prefixItems" in each:
            assert each["items"] is False
            assert each["minItems"] == each["maxItems"] == len(each["prefixItems"])
        for name in each.get("required", ()):
            assert name in each["properties"]
        if "$ref" in each:
            assert set(each) <= {"$ref", "description", "default"}
            assert each["$ref"].removeprefix("#/$defs/") in DEFINITIONS

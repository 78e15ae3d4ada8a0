# SPDX-License-Identifier: Apache-2.0
"""The tables of the documents, made from the code that they describe."""

import ast
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import msgspec
from diagrams import transitions
from doc_texts import CODES, FIELDS, OUTCOMES, VALUES

from wsrc.bridges.pcscd.reader import HANDLE_MOVES
from wsrc.card.pcsc_numbers import ATTRIBUTES
from wsrc.card.slot import (
    CardProtocol,
    CardStatus,
    Disposition,
    Initialization,
    ResetKind,
    Share,
    SlotState,
)
from wsrc.command_line.invocation import Exit
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.protocol.codec import BY_TAG
from wsrc.protocol.conversation import ANSWERS, MAY_SAY, Phase, Speaker
from wsrc.settings.programs import CardClientSettings, ServerSettings, UserSettings
from wsrc.settings.types import Settings, settings_of
from wsrc.user_client.core.faults import from_error

ROOT = Path(__file__).resolve().parents[2]

OBJECTS = (
    m.CardInfo, m.Identities, m.LeaseInfo, m.ReaderInfo, m.RunningSession, m.ReaderView, m.Step,
    m.StepResult,
)  # fmt: skip
ENUMS = (
    m.ClientType, m.CardState, m.ReaderState, m.Change, SlotState, m.ReaderForm, CardProtocol,
    CardStatus, ResetKind, Share, Initialization, Disposition,
)  # fmt: skip

ALSO_ANSWERS: dict[type[m.Message], str] = {
    m.SessionEnded: "Answers `resume`, where it has its `id`.",
}
"""What answers a request in place of its own answer."""

_PLAIN: dict[type, str] = {
    msgspec.inspect.StrType: "text",
    msgspec.inspect.IntType: "whole number",
    msgspec.inspect.FloatType: "number",
    msgspec.inspect.BoolType: "true or false",
    msgspec.inspect.CustomType: "octets",
}


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines
    )


def messages() -> str:
    """Return every message: who says it, what answers it, its fields."""
    parts: list[str] = []
    for tag, kind in BY_TAG.items():
        answer = ANSWERS.get(kind)
        facts = [f"From {' and '.join(_speakers(kind))}."]
        if answer is not None:
            facts.append(f"Answered with {_answers(kind, answer)}.")
        asked = [_tag(k) for k, v in ANSWERS.items() if v is kind]
        if asked:
            facts.append(f"Answers `{asked[0]}`.")
        facts += [ALSO_ANSWERS[kind]] if kind in ALSO_ANSWERS else []
        parts.append(f"#### `{tag}`\n\n{_prose(kind)}\n\n{' '.join(facts)}\n\n{fields(kind)}")
    return "\n\n".join(parts)


def _answers(kind: type[m.Message], answer: type[m.Message]) -> str:
    """Name what a request is answered with."""
    if kind is m.Resume:
        return f"`{_tag(answer)}`, `{_tag(m.SessionEnded)}` or `error`"
    return f"`{_tag(answer)}` or `error`"


def objects() -> str:
    """Return the objects within messages."""
    return "\n\n".join(
        f"#### {_object_title(kind)}\n\n{_prose(kind)}\n\n{fields(kind)}" for kind in OBJECTS
    )


def enums() -> str:
    """Return the closed lists of values."""
    return "\n\n".join(
        f"#### {_enum_title(kind)}\n\n{_prose(kind)}\n\n"
        + table(
            ("Value", "Meaning"),
            ((f"`{value}`", VALUES[f"{kind.__name__}.{value}"]) for value in kind),
        )
        for kind in ENUMS
    )


def fields(kind: type[msgspec.Struct]) -> str:
    """Return the fields of a message or of an object."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    rows = [
        (
            f"`{field.encode_name}`",
            _type(field.type),
            "yes" if field.required else _default(field.default),
            describe(kind, field.encode_name),
        )
        for field in info.fields
    ]
    if not rows:
        return "No fields."
    return table(("Field", "Type", "Required", "Meaning"), rows)


def describe(kind: type, field: str) -> str:
    """Return what is written of a field; a field without a description is a KeyError."""
    own = FIELDS.get(f"{kind.__name__}.{field}")
    return FIELDS[field] if own is None else own


def who() -> str:
    """Return who may say what in which phase."""
    speakers = list(Speaker)
    rows: list[tuple[str, ...]] = []
    for tag, kind in BY_TAG.items():
        cells: list[str] = []
        for speaker in speakers:
            phases = [p.value for p in Phase if kind in MAY_SAY[speaker, p]]
            cells.append(", ".join(phases))
        rows.append((f"`{tag}`", *cells))
    return table(("Message", *(s.value for s in speakers)), rows)


def errors() -> str:
    """
    Return every error code, what a PC/SC program and a Python program are given for it.

    Where a command may have run, a Python program is given the first of two.
    """
    rows: list[tuple[str, ...]] = []
    for code in ErrorCode:
        made = (from_error(m.error(code, ""), command=command) for command in (True, False))
        names = " or ".join(dict.fromkeys(f"`{type(each).__name__}`" for each in made))
        rows.append((f"`{code}`", f"`{code.pcsc}`", names, CODES[code]))
    return table(("Code", "PC/SC name", "Python", "Meaning"), rows)


def attributes() -> str:
    """Return the attributes of a reader, and their numbers in PC/SC."""
    rows = ((f"`{name}`", f"{number:08X}h") for name, number in ATTRIBUTES.items())
    return table(("Name", "Number in PC/SC"), rows)


def outcomes() -> str:
    """Return what can be known of a command without an answer."""
    return table(("Outcome", "Meaning"), ((f"`{o}`", OUTCOMES[o]) for o in Outcome))


def exits() -> str:
    """Return the exit statuses of the user's command."""
    return table(("Status", "Meaning"), ((str(e.value), e.meaning) for e in Exit))


def settings(kind: type[Settings]) -> str:
    """Return every setting of a program."""
    rows = [
        (
            f"`{s.name}`",
            f"`{s.flag}`",
            s.expected,
            f"`{s.default_text}`" if " " not in s.default_text else s.default_text,
            s.description,
        )
        for s in settings_of(kind)
    ]
    return table(("Setting", "Option", "Value", "Default", "Meaning"), rows)


def files() -> str:
    """Return every module and what it says of itself, folder by folder."""
    parts: list[str] = []
    for folder in dict.fromkeys(Path(name).parent for name in modules()):
        inside = [Path(name) for name in modules() if Path(name).parent == folder]
        rows = [(f"`{path.name}`", _first_paragraph(path)) for path in inside]
        about = _first_paragraph(folder / "__init__.py")
        parts.append(f"### `{folder}`\n\n{about}\n\n{table(('File', 'What is there'), rows)}")
    return "\n\n".join(parts)


def modules() -> list[str]:
    """Return the modules of the package: a folder after the modules beside it."""
    found = [p.relative_to(ROOT) for p in (ROOT / "wsrc").rglob("*.py")]
    ordered = sorted(found, key=lambda p: (str(p.parent), p.name))
    return [str(p) for p in ordered if p.name != "__init__.py"]


SECTIONS: dict[str, Callable[[], str]] = {
    "messages": messages,
    "attributes": attributes,
    "objects": objects,
    "enums": enums,
    "who": who,
    "errors": errors,
    "outcomes": outcomes,
    "exits": exits,
    "server settings": lambda: settings(ServerSettings),
    "card client settings": lambda: settings(CardClientSettings),
    "user settings": lambda: settings(UserSettings),
    "files": files,
    "handle": lambda: transitions(HANDLE_MOVES),
}
"""What may stand between `<!-- generated: NAME -->` and `<!-- end -->`."""


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _speakers(kind: type[m.Message]) -> list[str]:
    names = {
        Speaker.USER: "user clients",
        Speaker.CARD: "card clients",
        Speaker.SERVER_TO_USER: "the server to user clients",
        Speaker.SERVER_TO_CARD: "the server to card clients",
    }
    return [names[s] for s in Speaker if any(kind in MAY_SAY[s, p] for p in Phase)]


def _prose(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())


def _object_title(kind: type) -> str:
    return {
        "CardInfo": "Card",
        "LeaseInfo": "Lease",
        "ReaderInfo": "Reader",
        "ReaderView": "Reader view",
        "StepResult": "Result",
    }.get(kind.__name__, kind.__name__)


def _enum_title(kind: type[StrEnum]) -> str:
    return {
        "ClientType": "Client type",
        "CardState": "Card state",
        "ReaderState": "Reader state",
        "SlotState": "Slot state",
        "ReaderForm": "Reader form",
        "CardProtocol": "Protocol",
        "ResetKind": "Reset kind",
    }.get(kind.__name__, kind.__name__)


def _type(kind: Any) -> str:
    """Say in words what a field holds."""
    match kind:
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(_type(t) for t in types if not _is_none(t))
        case msgspec.inspect.VarTupleType(item_type=item):
            return f"list of {_type(item)}"
        case msgspec.inspect.TupleType(item_types=items):
            return f"[{', '.join(_type(item) for item in items)}]"
        case msgspec.inspect.EnumType(cls=cls):
            return _linked(_enum_title(cls)) if cls in ENUMS else _ENUM_LINKS[cls]
        case msgspec.inspect.StructType(cls=cls):
            return _linked(_object_title(cls)) if cls in OBJECTS else f"`{_tag(cls)}`"
        case _:
            return _PLAIN[type(kind)]


_ENUM_LINKS: dict[type, str] = {
    ErrorCode: "[Error code](#error-codes)",
    Outcome: "[Outcome](#outcomes)",
}


def _linked(title: str) -> str:
    return f"[{title}](#{title.lower().replace(' ', '-')})"


def _is_none(kind: Any) -> bool:
    return isinstance(kind, msgspec.inspect.NoneType)


def _default(default: object) -> str:
    if default in {None, (), ""}:
        return "no"
    if isinstance(default, bool):
        return f"no; {str(default).lower()}"
    return f"no; {default:g}" if isinstance(default, float) else f"no; {default}"


def _first_paragraph(path: Path) -> str:
    doc = ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8"))) or ""
    return " ".join(doc.partition("\n\n")[0].split())


def known_fields() -> set[str]:
    """Return `Class.field` of every field there is."""
    kinds: list[type[msgspec.Struct]] = [*get_args(m.AnyMessage), *OBJECTS]
    return {
        f"{kind.__name__}.{field.encode_name}"
        for kind in kinds
        for field in msgspec.structs.fields(kind)
    }

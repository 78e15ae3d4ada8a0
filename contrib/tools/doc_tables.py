# SPDX-License-Identifier: Apache-2.0
"""The tables of the documents, made from the code that they describe."""

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from diagrams import transitions

from wsrc.bridges.pcscd.reader import HANDLE_MOVES
from wsrc.card.contents.catalogue import CATALOGUE
from wsrc.card.identify import ECASD_AID, ISD_R_MAKERS
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
from wsrc.card_client.metrics import NAMES
from wsrc.command_line.invocation import Exit
from wsrc.errors import ErrorCode, Outcome
from wsrc.guard.tables import Allowed
from wsrc.open_request import PROGRESS, Progress
from wsrc.policy.words import Kind, Verb
from wsrc.protocol import messages as m
from wsrc.protocol.codec import BY_TAG
from wsrc.protocol.conversation import ANSWERS, CLOSINGS, CloseCode, Parting, Speaker, said_by
from wsrc.protocol.reader_events import PcscReaders, PcscReaderState
from wsrc.protocol.schema import place, schema
from wsrc.pytest_plugin import OPTIONS as PYTEST_OPTIONS
from wsrc.relay.records import LEASE_TRANSITIONS, LeasePhase
from wsrc.relay.rights import NEEDS
from wsrc.sealing.faults import Fault
from wsrc.server.http.metrics import METRICS
from wsrc.server.http.routes import BASE, ROUTES
from wsrc.session import TRANSITIONS, State
from wsrc.settings.clients import CardClientSettings, UserSettings
from wsrc.settings.server import ServerSettings
from wsrc.settings.types import Settings, settings_of
from wsrc.user_client.core.faults import from_error
from wsrc.words import Word

# Longer than the aim: each table of the documents is one list.

ROOT = Path(__file__).resolve().parents[2]

OBJECTS = (
    m.CardInfo, m.Identities, m.LeaseInfo, m.ReaderInfo, m.RunningSession, m.ReaderView,
    m.ServerLimits, m.Step, m.StepResult, m.ReadAhead,
    m.SealAsk, m.SealOffer, m.SealSecret, m.SealProof,
    m.CardUse, m.HolderInfo, m.WaiterInfo, m.PeerInfo, m.BanInfo, m.DrainedHost,
    m.ReservationInfo,
)  # fmt: skip
NOTIFIED = (PcscReaderState, PcscReaders)
ENUMS = (
    m.ClientType, m.CardState, m.ReaderState, m.Change, m.Pick, SlotState, m.ReaderForm,
    CardProtocol, CardStatus, ResetKind, Share, Initialization, Disposition, m.HolderState,
    m.ReservationState,
)  # fmt: skip

ALSO_ANSWERS: dict[type[m.Message], str] = {
    m.SessionEnded: "Answers `resume`, where it has its `id`.",
}
"""What answers a request in place of its own answer."""

_DEFINITIONS = schema()["$defs"]

_PLAIN: dict[type, str] = {
    msgspec.inspect.StrType: "text",
    msgspec.inspect.IntType: "whole number",
    msgspec.inspect.FloatType: "number",
    msgspec.inspect.BoolType: "true or false",
    msgspec.inspect.CustomType: "octets",
    msgspec.inspect.BytesType: "base64",
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
        facts = [place(kind)]
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
        f"#### {_title(kind)}\n\n{_prose(kind)}\n\n{fields(kind)}" for kind in OBJECTS
    )


def notifications() -> str:
    """Return the objects within JSON-RPC notifications."""
    return "\n\n".join(f"{_prose(kind)}\n\n{fields(kind)}" for kind in NOTIFIED)


def enums() -> str:
    """Return the lists of words."""
    return "\n\n".join(
        f"#### {_title(kind)}\n\n{_prose(kind)}\n\n{words('Value', kind)}" for kind in ENUMS
    )


def words(title: str, kind: type[Word]) -> str:
    """Return the words of a list."""
    return table((title, "Meaning"), ((f"`{word}`", word.meaning) for word in kind))


def fields(kind: type[msgspec.Struct]) -> str:
    """Return the fields of a message or of an object."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    described = _DEFINITIONS[kind.__name__]["properties"]
    rows = [
        (
            f"`{field.encode_name}`",
            _type(field.type),
            "yes" if field.required else _default(field.default),
            described[field.encode_name]["description"],
        )
        for field in info.fields
    ]
    if not rows:
        return "No fields."
    return table(("Field", "Type", "Required", "Meaning"), rows)


def who() -> str:
    """Return who may say what in which phase."""
    rows = (
        (f"`{tag}`", *(", ".join(said_by(kind).get(speaker, ())) for speaker in Speaker))
        for tag, kind in BY_TAG.items()
    )
    return table(("Message", *Speaker), rows)


def errors() -> str:
    """
    Return every error code, what a PC/SC program and a Python program are given for it.

    Where a command may have run, a Python program is given the first of two.
    """
    rows: list[tuple[str, ...]] = []
    for code in ErrorCode:
        made = (from_error(m.error(code, ""), command=command) for command in (True, False))
        names = " or ".join(dict.fromkeys(f"`{type(each).__name__}`" for each in made))
        rows.append((f"`{code}`", f"`{code.pcsc}`", names, code.meaning))
    return table(("Code", "PC/SC name", "Python", "Meaning"), rows)


def needs() -> str:
    """Return what a user needs for each message."""
    rows = ((f"`{_tag(kind)}`", needed) for kind, needed in NEEDS.items())
    return table(("Message", "Needs"), rows)


def states(diagram: str, kind: type[Word]) -> str:
    """Return a diagram, and what its states mean."""
    return f"{diagram}\n\n{words('State', kind)}"


def attributes() -> str:
    """Return the attributes of a reader, and their numbers in PC/SC."""
    rows = ((f"`{name}`", f"{number:08X}h") for name, number in ATTRIBUTES.items())
    return table(("Name", "Number in PC/SC"), rows)


def identifiers() -> str:
    """Return the applications that are asked for an EID."""
    rows = [(f"`{aid.hex()}`", f"ISD-R: {maker}") for aid, maker in ISD_R_MAKERS.items()]
    return table(("AID", "Application"), [*rows, (f"`{ECASD_AID.hex()}`", "ECASD: SGP.02 annex H")])


def closings() -> str:
    """Return how connections end, and what each code says of who sent it."""
    rows = [
        (
            "empty"
            if code is CloseCode.NONE
            else "none"
            if code is CloseCode.ABNORMAL
            else str(code),
            each.by,
            each.when,
            each.parting,
            each.then,
            each.sessions,
        )
        for code, each in CLOSINGS.items()
    ]
    titles = ("Code", "Sent by", "When", "Is a", "The other end", "Sessions of the client")
    return f"{table(titles, rows)}\n\n{words('It is a', Parting)}"


def readable() -> str:
    """Return what `wsrc read` knows, and the clause of each."""
    rows = ((f"`{name}`", each.sentence, each.clause) for name, each in CATALOGUE.items())
    return table(("Name", "What it is", "Clause"), rows)


def exits() -> str:
    """Return the exit statuses of the user's command."""
    return table(("Status", "Meaning"), ((str(e.value), e.meaning) for e in Exit))


def settings(kind: type[Settings]) -> str:
    """Return every setting of a program."""
    rows = [
        (
            f"`{s.name}`",
            "" if s.tables else f"`{s.flag}`",
            s.expected,
            f"`{s.default_text}`" if " " not in s.default_text else s.default_text,
            s.description,
        )
        for s in settings_of(kind)
    ]
    return table(("Setting", "Option", "Value", "Default", "Meaning"), rows)


def guard_allowed() -> str:
    """Return what a guard can be told to let pass."""
    return table(("Word", "Meaning"), ((f"`{each}`", each.meaning) for each in Allowed))


def files() -> str:
    """Return every module and what it says of itself, folder by folder."""
    parts: list[str] = []
    for folder in dict.fromkeys(Path(name).parent for name in modules()):
        inside = [Path(name) for name in modules() if Path(name).parent == folder]
        rows = [(f"`{path.name}`", _first_paragraph(path)) for path in inside]
        about = _first_paragraph(folder / "__init__.py")
        parts.append(f"### `{folder}`\n\n{about}\n\n{table(('File', 'What is there'), rows)}")
    return "\n\n".join(parts)


def decisions() -> str:
    """Return every decision record, and what is said of it since."""
    rows: list[tuple[str, str]] = []
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        first, _, second, *_ = path.read_text("utf-8").splitlines()
        number, title = first.removeprefix("# ").split(". ", 1)
        since = "" if second.startswith("**") else f" ({second.partition(':')[0].rstrip('.')})"
        rows.append((number, f"[{title}]({path.name}){since}"))
    return table(("Number", "Decision"), rows)


def modules() -> list[str]:
    """Return the modules of the package: a folder after the modules beside it."""
    found = [p.relative_to(ROOT) for p in (ROOT / "wsrc").rglob("*.py")]
    ordered = sorted(found, key=lambda p: (str(p.parent), p.name))
    return [str(p) for p in ordered if p.name != "__init__.py"]


def metrics() -> str:
    """Return the table of the metrics of a server."""
    rows = [
        (f"`{name}`", meaning.kind, f"`{meaning.label}`" if meaning.label else "", meaning.text)
        for name, meaning in METRICS.items()
    ]
    return table(("Metric", "Kind", "Label", "Meaning"), rows)


def host_metrics() -> str:
    """Return the table of the metrics of a card client."""
    return table(("Metric", "Meaning"), [(f"`{name}`", text) for name, text in NAMES.items()])


def pytest_options() -> str:
    """Return the table of what runs of pytest can be told."""
    rows = [
        (f"`--wsrc-{each.name}`", f"`{each.key}`", "`, `".join(each.choices), each.help)
        for each in PYTEST_OPTIONS
    ]
    rows = [(flag, ini, f"`{values}`" if values else "", text) for flag, ini, values, text in rows]
    return table(("Option", "Ini setting", "Values", "Meaning"), rows)


def routes() -> str:
    """Return the table of the operations over HTTP."""
    rows = [
        (
            f"`{route.method} {BASE}{route.path}`",
            route.summary + (" (operators)" if route.operator else ""),
            f"`{route.body.__name__}`" if route.body else "",
            f"{route.status}" + (f" `{route.answer.__name__}`" if route.answer else ""),
        )
        for route in ROUTES
    ]
    return table(("Operation", "What it does", "Body", "Answer"), rows)


SECTIONS: dict[str, Callable[[], str]] = {
    "messages": messages,
    "attributes": attributes,
    "identifiers": identifiers,
    "closings": closings,
    "objects": objects,
    "notifications": notifications,
    "enums": enums,
    "who": who,
    "pytest options": pytest_options,
    "errors": errors,
    "needs": needs,
    "outcomes": lambda: words("Outcome", Outcome),
    "seal faults": lambda: words("Fault", Fault),
    "exits": exits,
    "readable": readable,
    "server settings": lambda: settings(ServerSettings),
    "card client settings": lambda: settings(CardClientSettings),
    "user settings": lambda: settings(UserSettings),
    "guard allowed": guard_allowed,
    "policy verbs": lambda: words("Verb", Verb),
    "policy kinds": lambda: words("Kind", Kind),
    "lease": lambda: states(
        transitions(LEASE_TRANSITIONS, LeasePhase.ATTACHING, LeasePhase.KEPT), LeasePhase
    ),
    "user end": lambda: states(transitions(TRANSITIONS), State),
    "open request": lambda: states(transitions(PROGRESS), Progress),
    "files": files,
    "metrics": metrics,
    "host metrics": host_metrics,
    "routes": routes,
    "decisions": decisions,
    "handle": lambda: transitions(HANDLE_MOVES),
}
"""What may stand between `<!-- generated: NAME -->` and `<!-- end -->`."""


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _prose(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())


def _title(kind: type) -> str:
    """Return the heading of an object or of a list, as `Card state` of CardState."""
    parts = re.findall("[A-Z][a-z]*", kind.__name__.removesuffix("Info"))
    return " ".join(parts).capitalize()


def _type(kind: Any) -> str:  # noqa: PLR0911 - one line for each kind of type
    """Return in words what a field holds."""
    match kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind:
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(_type(t) for t in types if not _is_none(t))
        case msgspec.inspect.VarTupleType(item_type=item):
            return f"list of {_type(item)}"
        case msgspec.inspect.DictType(value_type=value):
            return f"object of {_type(value)}"
        case msgspec.inspect.TupleType(item_types=items):
            return f"[{', '.join(_type(item) for item in items)}]"
        case msgspec.inspect.EnumType(cls=cls):
            return _linked(_title(cls)) if cls in ENUMS else _ENUM_LINKS[cls]
        case msgspec.inspect.StructType(cls=cls):
            return _linked(_title(cls)) if cls in OBJECTS else f"`{_tag(cls)}`"
        case plain:
            return _PLAIN[type(plain)]


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

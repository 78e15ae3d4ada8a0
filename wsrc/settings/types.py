# SPDX-License-Identifier: Apache-2.0
"""What a setting is: its types and ranges, and how command lines and documents show it."""

from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Meta

ENVIRONMENT_PREFIX = "WSRC_"

_YEAR_S = 31_536_000.0

Text = Annotated[str, Meta(min_length=1, max_length=255)]
TextOrNone = Annotated[str, Meta(max_length=255, extra={"default": "none"})]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
CountOrNone = Annotated[int, Meta(ge=0, le=1_000_000_000)]
RateOrNone = Annotated[float, Meta(ge=0.0, le=1e9)]
Seconds = Annotated[float, Meta(gt=0.0, le=_YEAR_S)]
SecondsOrNone = Annotated[float, Meta(ge=0.0, le=_YEAR_S)]
LogLevel = Annotated[
    Literal["error", "warning", "info", "debug"],
    Meta(description="Least severe messages that are logged."),
]
MetricsPort = Annotated[
    Port, Meta(description="Port of loopback on which metrics are served over HTTP; 0 is none.")
]
LogFormat = Annotated[
    Literal["text", "json"],
    Meta(
        description="Form of log lines: for people, or one JSON object a line with time, level, "
        "logger and message."
    ),
]
SealMode = Literal["required", "preferred", "off"]
_SEALED = (
    "Whether sessions are sealed, so that no server can read them: 'required', 'preferred' where "
    "the other end can, 'off'."
)
UserSeal = Annotated[
    SealMode | None,
    Meta(description=_SEALED, extra={"default": "preferred; required with card_ca"}),
]
HostSeal = Annotated[
    SealMode | None,
    Meta(description=_SEALED, extra={"default": "preferred; required with user_ca"}),
]
PadOctets = Annotated[
    int,
    Meta(
        ge=1,
        le=4096,
        description="Sealed texts are as long as a multiple of so many octets, which hides their "
        "length.",
    ),
]

TraceFile = Annotated[
    Path | None,
    Meta(
        description="File to which all that sessions exchange with their cards is added, without "
        "PINs and keys, with mode 0600: for Wireshark where it ends in .pcapng, else text."
    ),
]

TraceGsmtap = Annotated[
    str,
    Meta(
        max_length=255,
        description="HOST:PORT to which the same is sent as GSMTAP, unencrypted, such as "
        "localhost:4729.",
        extra={"default": "none"},
    ),
]

TraceSecrets = Annotated[
    bool, Meta(description="Leave nothing out of the traces: PINs and keys are in them.")
]
Ping = Annotated[
    Seconds,
    Meta(description="Seconds between WebSocket pings; a peer silent for 1.5 times that is gone."),
]
TlsCa = Annotated[
    Path | None,
    Meta(
        description="PEM file of the CA that signed the server's certificate.",
        extra={"default": "the CAs of the system"},
    ),
]
AuditDir = Annotated[
    Path | None,
    Meta(
        description="Folder of the audit log, made with mode 0700: who did what with which card. "
        "Without one there is none.",
        extra={"folder": True, "expected": "the name of a folder"},
    ),
]
AuditOctets = Annotated[
    int,
    Meta(
        ge=4096,
        le=1 << 40,
        description="Octets of a file of the audit log beyond which the next one is begun.",
    ),
]
AuditKeep = Annotated[
    int,
    Meta(ge=0, le=1_000_000, description="Files of the audit log that are kept; 0 is all."),
]
AuditSync = Annotated[
    SecondsOrNone,
    Meta(
        description="Seconds after which a line of the audit log must outlive a power failure; 0 "
        "is at once."
    ),
]
TlsCert = Annotated[
    Path | None,
    Meta(
        description="PEM file of the certificate that says who this is, and its chain, where the "
        "server or a proxy before it asks for one."
    ),
]
TlsKey = Annotated[
    Path | None,
    Meta(description="PEM file of the private key of that certificate, not encrypted."),
]
TokenFile = Annotated[
    Path | None,
    Meta(
        description="File of the token that says who this is, which others cannot read (mode "
        "0600); WSRC_TOKEN in the environment is a token itself."
    ),
]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the settings of every program have in common."""

    FILES: ClassVar[tuple[str, ...]] = ()
    """Where the TOML file is looked for; the first that exists is read."""

    TOKEN_OF_FILE: ClassVar[bool] = False
    """Whether the token is that of `token_file`, whatever the environment has."""


class Setting(NamedTuple):
    """
    One setting, as command lines and documents show it.

    One that is `tables` is in the file alone, as `[[name]]`.
    """

    name: str
    type: Any
    default: object
    default_text: str
    description: str
    expected: str
    paths: bool
    folder: bool
    url: bool
    tables: bool

    @property
    def kind(self) -> Any:
        """The type of its values, where None stands for a default that depends on others."""
        return _kind_of(self.type)

    @property
    def flag(self) -> str:
        """Name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def environment(self) -> str:
        """Name in the environment."""
        return ENVIRONMENT_PREFIX + self.name.upper()


def settings_of(kind: type[Settings]) -> tuple[Setting, ...]:
    """Describe the settings of a program, in the order of their declaration."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(_describe(field, hints[field.name]) for field in msgspec.structs.fields(kind))


def _describe(field: msgspec.structs.FieldInfo, hint: Any) -> Setting:
    _, *metas = get_args(hint)
    kind = _kind_of(hint)
    extra: dict[str, Any] = {}
    for meta in metas:
        extra |= meta.extra or {}
    default = field.default
    if default is msgspec.NODEFAULT:
        default = field.default_factory()
    return Setting(
        name=field.name,
        type=hint,
        default=default,
        default_text=extra.get("default", _text(default)),
        description=next(meta.description for meta in metas if meta.description),
        expected=extra.get("expected") or _expected(kind, metas),
        folder="folder" in extra,
        paths=kind == Path | None or "paths" in extra,
        url="url" in extra,
        tables="tables" in extra,
    )


def _kind_of(hint: Any) -> Any:
    kind = get_args(hint)[0]
    some = [each for each in get_args(kind) if each is not NoneType]
    depends = isinstance(kind, UnionType) or get_origin(kind) is Union
    return some[0] if depends and some != [Path] else kind


def _text(default: object) -> str:
    match default:
        case bool():
            return str(default).lower()
        case None | () | {}:
            return "none"
        case tuple():
            return ", ".join(map(str, cast("tuple[object, ...]", default)))
        case float() if default.is_integer():
            return str(int(default))
        case _:
            return str(default)


def _expected(kind: Any, metas: list[Meta]) -> str:
    """Return what a value must be, in words."""
    if get_origin(kind) is Literal:
        return f"one of {_choices(kind)}"
    if get_origin(kind) is tuple and get_origin(get_args(kind)[0]) is Literal:
        return f"a list of {_choices(get_args(kind)[0])}"
    words = _WORDS[get_origin(kind) or kind]
    for meta in metas:
        low, high = meta.gt if meta.gt is not None else meta.ge, meta.le
        if high is not None:
            words += f" {'above' if meta.gt is not None else 'from'} {low:g} to {high:.0f}"
    return words


def _choices(kind: Any) -> str:
    return ", ".join(f'"{choice}"' for choice in get_args(kind))


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list of texts",
    Mapping: "a table of texts (KEY=LABEL outside of a file)",
    UnionType: "the name of a file",
}

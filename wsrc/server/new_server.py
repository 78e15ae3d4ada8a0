# SPDX-License-Identifier: Apache-2.0
"""The files of a new server: a CA and a certificate, settings, a policy, and the first tokens."""

import json
import os
import pwd
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from wsrc.certs.folder import Folder, Issued
from wsrc.certs.making import Kind
from wsrc.errors import ConfigError
from wsrc.net.state_dir import OF_SYSTEM
from wsrc.policy.reading import read as read_policy
from wsrc.policy.words import ANYONE, Verb
from wsrc.principal import is_name
from wsrc.protocol.messages import ClientType
from wsrc.server.token_cli import DAYS
from wsrc.server.token_store import TokenStore
from wsrc.settings.load import ServerSettings, load

SETTINGS, POLICY, CERTS, STATE = "server.toml", "policy.toml", "certs", "state"
"""Files of the folder, and folders in it."""

_PRIVATE, _OF_GROUP, _PUBLIC = 0o600, 0o640, 0o644

_ABOUT_POLICY = """\
# Who may use which card: a change is in force without a restart, and what nothing here gives is
# denied. `wsrc sample policy.toml` has more; `wsrc-server policy check` says whether it is good.
"""


class Wanted(NamedTuple):
    """
    What a new server is to be.

    Attributes:
        folder: Where its files go; made with mode 0700 where it is missing, for a service 0755.
        names: Host names and addresses by which clients reach it; the first is used in URLs.
        user: Principal of the first user, who may do everything with every card.
        card_host: Principal of the first card host, which may offer every card.
        service: User of the system that the server is to run as, if it is not who makes it; its
            state is in /var/lib/wsrc then.
        host: Addresses to listen on.
        user_port: Port for users.
        card_port: Port for card clients.
    """

    folder: Path
    names: Sequence[str]
    user: str
    card_host: str
    service: str
    host: str
    user_port: int
    card_port: int

    @property
    def state(self) -> Path:
        """Where the server keeps its tokens."""
        return OF_SYSTEM if self.service else self.folder / STATE

    def token(self, name: str) -> Path:
        """Return the file of the token of a principal."""
        return self.folder / f"{name}.token"


class Made(NamedTuple):
    """The files that somebody needs next; the key of the CA, which nobody does, is in `certs`."""

    settings: Path
    ca: Path
    user_token: Path
    card_host_token: Path
    certs: Path
    ends: datetime


def make(wanted: Wanted) -> Made:
    """
    Make all files, or none: what is there already is neither replaced nor changed.

    Raises:
        ConfigError: If one of them is there, a name cannot be one, or a file cannot be written.
    """
    account = _account(wanted.service)
    _check_names(wanted)
    try:
        with _undoing(wanted) as undo:
            return _Maker(wanted, account, undo).made()
    except FileExistsError as exc:
        why = f"{exc.filename} is there already; nothing was made. Take another folder"
        raise ConfigError("dir", why) from exc
    except OSError as exc:
        where = exc.filename or wanted.folder
        raise ConfigError("dir", f"cannot make {where}: {exc.strerror}") from exc


class _Maker:
    """Makes the files of one server, and notes what to undo if one of them cannot be made."""

    def __init__(self, wanted: Wanted, account: pwd.struct_passwd | None, undo: ExitStack) -> None:
        self._wanted, self._account, self._undo = wanted, account, undo

    def made(self) -> Made:
        wanted = self._wanted
        certs = Folder(wanted.folder / CERTS)
        server = self._certificates(certs)
        files = [wanted.folder / each.name for each in (server.path, server.key, certs.ca)]
        policy = _policy(wanted)
        read_policy(policy, POLICY)
        self._write(files[0], server.path.read_text("ascii"), _PUBLIC)
        self._write(files[1], server.key.read_text("ascii"), _PRIVATE, of_service=True)
        self._write(files[2], certs.ca.read_text("ascii"), _PUBLIC)
        self._write(wanted.folder / POLICY, policy, _PUBLIC)
        tokens = self._tokens()
        settings = wanted.folder / SETTINGS
        self._write(settings, _settings(wanted, server), _PUBLIC)
        load(ServerSettings, {}, config=settings)
        return Made(settings, files[2], *tokens, certs.path, server.ends)

    def _certificates(self, certs: Folder) -> Issued:
        certs.path.mkdir(mode=0o700)
        self._undo.callback(shutil.rmtree, certs.path, ignore_errors=True)
        certs.init()
        return certs.issue(Kind.SERVER, self._wanted.names)

    def _tokens(self) -> tuple[Path, Path]:
        """Write a token of each kind; whoever runs the server may use the file of their hashes."""
        wanted, now = self._wanted, datetime.now(UTC)
        self._make_state()
        expires = (now + timedelta(days=DAYS)).timestamp()
        of = {wanted.user: ClientType.USER, wanted.card_host: ClientType.CARD}
        with TokenStore(wanted.state) as store:
            for name, role in of.items():
                made = store.add(name, role, now.timestamp(), expires)
                self._undo.callback(_revoke, wanted.state, store.all()[-1].number)
                self._write(wanted.token(name), made + "\n", _PRIVATE)
        return wanted.token(wanted.user), wanted.token(wanted.card_host)

    def _make_state(self) -> None:
        state = self._wanted.state
        if state.exists():
            return
        state.mkdir(mode=0o700)
        self._undo.callback(shutil.rmtree, state, ignore_errors=True)
        if self._account is not None:
            os.chown(state, self._account.pw_uid, self._account.pw_gid)

    def _write(self, path: Path, text: str, mode: int, *, of_service: bool = False) -> None:
        """Make a file that nobody else may read at any moment, if it is private."""
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        self._undo.callback(path.unlink)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if of_service and self._account is not None:
                os.fchown(number, -1, self._account.pw_gid)
                mode = _OF_GROUP
            os.fchmod(number, mode)
            os.fsync(number)


def _account(service: str) -> pwd.struct_passwd | None:
    if not service:
        return None
    try:
        account = pwd.getpwnam(service)
    except KeyError as exc:
        raise ConfigError("service", f"there is no user {service!r}; make it first") from exc
    if os.geteuid() != 0:
        raise ConfigError("service", "only root may make files for another user; use sudo")
    return account


def _check_names(wanted: Wanted) -> None:
    for what, name in (("user", wanted.user), ("card_host", wanted.card_host)):
        other = not is_name(name) or name.isdigit() or name.casefold() == ANYONE
        if other or not set(name).isdisjoint('*:/\\"') or name.startswith((".", " ")):
            why = "take a name like that of a host, or an e-mail address"
            raise ConfigError(what, f"{name!r} cannot be the name of the first one; {why}")
    if wanted.user == wanted.card_host:
        raise ConfigError("card_host", "a user and a card host cannot have one name")


@contextmanager
def _undoing(wanted: Wanted) -> Generator[ExitStack]:
    """Make the folder; yield what undoes whatever is made in the block, if that fails."""
    folder = wanted.folder
    with ExitStack() as undo:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            undo.callback(_remove, folder)
            if wanted.service:  # it passes through to its own files; others have modes of their own
                folder.chmod(0o755)
        yield undo
        undo.pop_all()


def _remove(folder: Path) -> None:
    with suppress(OSError):  # somebody else has put something there
        folder.rmdir()


def _revoke(state: Path, number: int) -> None:
    with suppress(ConfigError), TokenStore(state) as store:
        store.revoke([str(number)])


def _settings(wanted: Wanted, server: Issued) -> str:
    given = {
        "host": wanted.host,
        "user_port": wanted.user_port,
        "card_port": wanted.card_port,
        "tls_cert": server.path.name,
        "tls_key": server.key.name,
        "tokens": True,
        "policy": POLICY,
    } | ({} if wanted.service else {"state_dir": STATE})
    return (
        "# Settings of wsrc-server; `wsrc sample server.toml` has all that there are.\n"
        f"{_lines(given)}\n"
        "# Let in who has a certificate of the CA as well, with copies of its files:\n"
        '# tls_client_ca = "ca.pem"\n'
        '# tls_crl = "crl.pem"\n'
    )


def _policy(wanted: Wanted) -> str:
    rules = (
        ("grant", {"to": [wanted.user], "cards": "*", "may": [str(verb) for verb in Verb]}),
        ("host", {"who": [wanted.card_host], "announces": "*"}),
        ("expect", {"who": wanted.user, "card": "*", "may": [str(Verb.USE)]}),
        ("expect", {"who": wanted.card_host, "card": "*", "announces": True}),
    )
    parts = [_ABOUT_POLICY, *(f"[[{name}]]\n{_lines(rule)}" for name, rule in rules)]
    return "\n".join(parts)


def _lines(table: Mapping[str, object]) -> str:
    # A string of JSON is one of TOML where what is not ASCII is written out.
    values = {key: json.dumps(value, ensure_ascii=False) for key, value in table.items()}
    return "".join(f"{key} = {value}\n" for key, value in values.items())

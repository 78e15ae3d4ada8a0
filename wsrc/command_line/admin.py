# SPDX-License-Identifier: Apache-2.0
"""Commands of who runs a server: its connections, bans, drained hosts, its end."""

from time import monotonic
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import asdict

from wsrc.command_line.groups import Leading, shared_options
from wsrc.command_line.invocation import MAX_NAMED, Exit, Invocation, user_command
from wsrc.command_line.listing import Time, tell_missing, undone
from wsrc.command_line.spans import Span
from wsrc.errors import AmbiguousCardError, ErrorCode, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsrc.protocol.messages import BanInfo, PeerInfo
    from wsrc.user_client.blocking import Client

_TITLES = ("Number", "Kind", "Name", "Address", "Since", "Sessions", "Waits", "Readers", "")

WAIT_STEP_S = 600.0
"""Longest wait that one request asks for, where a person waits for as long as it takes."""

_why = click.option("--why", default="", metavar="TEXT", help="What those are told.")


@user_command("peers", "wsrc admin peers", "wsrc admin peers --json | jq '.peers[] | .name'")
def peers(call: Invocation) -> None:
    """Show the connections of the server."""
    with call.client() as client:
        found = client.admin.peers()
    if call.output.as_json:
        documents = [_document(each) for each in found.peers]
        drained = [asdict(each) for each in found.drained]
        document = {"instance": found.instance, "peers": documents, "drained": drained}
        call.output.document(document | undone(found.unanswered))
        return
    call.output.grid(_TITLES, [_peer_row(each, call.output.time) for each in found.peers])
    for each in found.drained:
        why = f": {each.why}" if each.why else ""
        call.output.note(f"Card host {each.host} is drained by {each.by}{why}.")
    tell_missing(call.output, found.unanswered)


@user_command(
    "kick", "wsrc admin kick 17", "wsrc admin kick tester@example.org --end --why 'update it'"
)
@click.argument("peer")
@click.option("--end", is_flag=True, help="End its sessions first, or those on its cards.")
@_why
def kick(call: Invocation, peer: str, end: bool, why: str) -> None:
    """
    Close a connection.

    PEER is its number, its principal, or its name as `admin peers` shows it. The client may come
    back, and goes on with its sessions unless they are ended.
    """
    with call.client() as client:
        found = client.admin.peers()
        number = _number_of(peer, found.peers)
        sessions = client.admin.kick(number, instance=found.instance, end=end, why=why)
    what = "ended" if end else "may be resumed"
    said = f"Connection {number} is closed; {_count(sessions)} {what}."
    call.output.done({"kicked": number, "sessions": sessions}, said)


@user_command("ban", "wsrc admin ban tester@example.org --for 1h", "wsrc admin ban 192.0.2.7")
@click.argument("who")
@click.option(
    "--for", "for_s", type=Span(), default="1h", metavar="TIME", help="For how long, as 30m or 1d."
)
@_why
def ban(call: Invocation, who: str, for_s: float, why: str) -> None:
    """
    Let somebody in no more for a time.

    WHO is a principal or an IP address, of which one of IPv6 counts as its /64. Connections are
    closed and sessions end. A ban stands when the server is started again.
    """
    with call.client() as client:
        made = client.admin.ban(who, for_s=for_s, why=why)
    until = f"{call.output.time(made.until)}{_not_at(made.unanswered)}"
    call.output.done({"ban": _document(made)}, f"{made.who} is not let in until {until}.")


@user_command("unban", "wsrc admin unban tester@example.org")
@click.argument("who")
def unban(call: Invocation, who: str) -> None:
    """Let somebody in again."""
    with call.client() as client:
        unanswered = client.admin.unban(who)
    document = {"unbanned": who, **undone(unanswered)}
    call.output.done(document, f"{who} is let in again{_not_at(unanswered)}.")


@user_command("bans", "wsrc admin bans")
def bans(call: Invocation) -> None:
    """Show who is not let in for now."""
    with call.client() as client:
        found = client.admin.bans()
    rows = [(each.who, call.output.time(each.until), each.by, each.why or "") for each in found]
    told = {"bans": [_document(each) for each in found]}
    call.output.listed(told, ("Who", "Until", "By", "Why"), rows, "Nobody is banned.")


@user_command("drain", "wsrc admin drain bench --wait 8h --why 'a new rack'")
@click.argument("host")
@click.option(
    "--wait",
    "wait_s",
    type=Span(),
    is_flag=False,
    flag_value="365d",
    default=0.0,
    metavar="TIME",
    help="Wait until no session is left, for so long or as long as it takes.",
)
@_why
def drain(call: Invocation, host: str, wait_s: float, why: str) -> Exit:
    """
    Have no session begin on the cards of a host.

    Those that there are go on. It is so until `admin undrain`, also when the host connects again
    and when the server is started again; `admin peers` shows who is drained.
    """
    with call.client() as client:
        sessions = _drained(client, host, wait_s, why)
    left = "no session is left" if not sessions else f"{_count(sessions)} left"
    document = {"drained": host, "sessions": sessions}
    call.output.done(document, f"Card host {host} is drained; {left} on its cards.")
    return Exit.REFUSED if wait_s and sessions else Exit.DONE


@user_command("undrain", "wsrc admin undrain bench")
@click.argument("host")
def undrain(call: Invocation, host: str) -> None:
    """Let the cards of a host be had again."""
    with call.client() as client:
        client.admin.undrain(host)
    call.output.done({"undrained": host}, f"The cards of {host} can be had again.")


@user_command("stop", "wsrc admin stop --why 'a new kernel'")
@_why
def stop(call: Invocation, why: str) -> None:
    """
    End the server, as SIGTERM does.

    Commands in flight are answered first; sessions are resumed when it is started again.
    """
    with call.client() as client:
        client.admin.stop(why=why)
    call.output.done({"stopped": True}, "The server stops.")


def _drained(client: "Client", host: str, wait_s: float, why: str) -> int:
    """Drain a host, and wait for as long as was asked, in steps that a server may make shorter."""
    until = monotonic() + wait_s
    while True:
        left_s = max(0.0, until - monotonic()) if wait_s else 0.0
        sessions = client.admin.drain(host, wait_s=min(left_s, WAIT_STEP_S), why=why)
        if not sessions or not left_s:
            return sessions


def _number_of(peer: str, found: "tuple[PeerInfo, ...]") -> int:
    """Return the number of the connection that is meant."""
    named = [each for each in found if peer in {each.principal, each.name}]
    named = named or [each for each in found if peer == str(each.number)]
    if len(named) == 1:
        return named[0].number
    if not named:
        why = f"No connection is called {peer}; `wsrc admin peers` shows all."
        raise RefusedError(ErrorCode.NO_SUCH_PEER, why)
    shown = tuple(f"{each.number}  {each.name}" for each in named[:MAX_NAMED])
    why = f"{len(named)} connections are called {peer}; give the number of one."
    raise AmbiguousCardError(why, shown)


def _count(sessions: int) -> str:
    return f"{sessions} session{'s' * (sessions != 1)}"


def _peer_row(peer: "PeerInfo", shown: Time) -> tuple[str, ...]:
    user = peer.role.value == "user"
    facts = ["draining"] * peer.draining + ["first form"] * peer.first_form
    facts += [f"at {peer.node}"] if peer.node else []
    return (
        str(peer.number),
        "user" if user else "card host",
        peer.name,
        peer.address or "",
        shown(peer.since),
        str(peer.sessions),
        str(peer.waiting) if user else "",
        "" if user else str(peer.readers),
        ", ".join(facts),
    )


def _not_at(servers: "Sequence[str]") -> str:
    """Return at which servers of a cluster something was not done, if any."""
    return f", but for {', '.join(servers)}: no answer, or refused" if servers else ""


def _document(what: "PeerInfo | BanInfo") -> dict[str, Any]:
    """Return the fields of something, without those of a cluster where there is none."""
    return {k: v for k, v in asdict(what).items() if v or k not in {"node", "unanswered"}}


HELP = """
Run the server that cards are used by.

It is for who has `admin` of every card in the policy of the server; without a policy for everybody
on a server that lets in nobody but its own host, and else for nobody.
"""


admin = Leading(
    "admin",
    commands=(peers, kick, ban, unban, bans, drain, undrain, stop),
    params=shared_options(),
    help=HELP,
)

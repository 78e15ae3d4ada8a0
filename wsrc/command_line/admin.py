# SPDX-License-Identifier: Apache-2.0
"""Commands of who runs a server: its connections, bans, drained hosts, its end."""

from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from wsrc.command_line.groups import Leading, shared_options
from wsrc.command_line.invocation import MAX_NAMED, Exit, Invocation, user_command
from wsrc.command_line.listing import Time
from wsrc.command_line.spans import Span
from wsrc.errors import AmbiguousCardError, ErrorCode, RefusedError

if TYPE_CHECKING:
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
        documents = [_peer_document(each) for each in found.peers]
        drained = [{"host": each.host, "by": each.by, "why": each.why} for each in found.drained]
        whole = {"instance": found.instance, "peers": documents, "drained": drained}
        call.output.document(whole)
        return
    call.output.grid(_TITLES, [_peer_row(each, call.output.time) for each in found.peers])
    for each in found.drained:
        why = f": {each.why}" if each.why else ""
        call.output.note(f"Card host {each.host} is drained by {each.by}{why}.")


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
    if call.output.as_json:
        call.output.document({"kicked": number, "sessions": sessions})
        return
    what = "ended" if end else "may be resumed"
    call.output.note(f"Connection {number} is closed; {_count(sessions)} {what}.")


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
    if call.output.as_json:
        call.output.document({"ban": _ban_document(made)})
        return
    call.output.note(f"{made.who} is not let in until {call.output.time(made.until)}.")


@user_command("unban", "wsrc admin unban tester@example.org")
@click.argument("who")
def unban(call: Invocation, who: str) -> None:
    """Let somebody in again."""
    with call.client() as client:
        client.admin.unban(who)
    _done(call, f"{who} is let in again.", {"unbanned": who})


@user_command("bans", "wsrc admin bans")
def bans(call: Invocation) -> None:
    """Show who is not let in for now."""
    with call.client() as client:
        found = client.admin.bans()
    if call.output.as_json:
        call.output.document({"bans": [_ban_document(each) for each in found]})
    elif found:
        time = call.output.time
        rows = [(each.who, time(each.until), each.by, each.why or "") for each in found]
        call.output.grid(("Who", "Until", "By", "Why"), rows)
    else:
        call.output.note("Nobody is banned.")


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
    _done(call, f"Card host {host} is drained; {left} on its cards.", document)
    return Exit.REFUSED if wait_s and sessions else Exit.DONE


@user_command("undrain", "wsrc admin undrain bench")
@click.argument("host")
def undrain(call: Invocation, host: str) -> None:
    """Let the cards of a host be had again."""
    with call.client() as client:
        client.admin.undrain(host)
    _done(call, f"The cards of {host} can be had again.", {"undrained": host})


@user_command("stop", "wsrc admin stop --why 'a new kernel'")
@_why
def stop(call: Invocation, why: str) -> None:
    """
    End the server, as SIGTERM does.

    Commands in flight are answered first; sessions are resumed when it is started again.
    """
    with call.client() as client:
        client.admin.stop(why=why)
    _done(call, "The server stops.", {"stopped": True})


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


def _done(call: Invocation, sentence: str, document: dict[str, Any]) -> None:
    if call.output.as_json:
        call.output.document(document)
    else:
        call.output.note(sentence)


def _peer_document(peer: "PeerInfo") -> dict[str, Any]:
    return {
        "number": peer.number,
        "role": peer.role.value,
        "name": peer.name,
        "principal": peer.principal,
        "address": peer.address,
        "since": peer.since,
        "first_form": peer.first_form,
        "sessions": peer.sessions,
        "waiting": peer.waiting,
        "readers": peer.readers,
        "draining": peer.draining,
    }


def _peer_row(peer: "PeerInfo", time: Time) -> tuple[str, ...]:
    user = peer.role.value == "user"
    facts = ["draining"] * peer.draining + ["first form"] * peer.first_form
    return (
        str(peer.number),
        "user" if user else "card host",
        peer.name,
        peer.address or "",
        time(peer.since),
        str(peer.sessions),
        str(peer.waiting) if user else "",
        "" if user else str(peer.readers),
        ", ".join(facts),
    )


def _ban_document(ban_: "BanInfo") -> dict[str, Any]:
    return {"who": ban_.who, "until": ban_.until, "by": ban_.by, "why": ban_.why}


HELP = """
Run the server that cards are used by.

It is for who has `admin` of every card in the policy of the server; without a policy for everybody
on a server that lets in nobody but its own host, and else for nobody.
"""


def _nothing_more(**_: object) -> None:
    """Leave the work to the command within the group."""


admin = Leading(
    "admin",
    commands=(peers, kick, ban, unban, bans, drain, undrain, stop),
    params=shared_options(),
    help=HELP,
    callback=_nothing_more,
)

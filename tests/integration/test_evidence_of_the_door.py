# SPDX-License-Identifier: Apache-2.0
"""Who was let in no further, and why, is evidence: limits, ends of credentials, broken files."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.pki import Pki, settings_of
from tests.support.tokens import running_with_tokens
from tests.support.world import until
from wsrc.errors import ConnectionLostError
from wsrc.net.bearer import Token
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.net.websocket import Link
from wsrc.protocol import messages as m
from wsrc.server.app import serve

LIMIT_S = 60.0


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    texts = [text for path in folder.glob("*.jsonl") for text in path.read_text().splitlines()]
    return [each for text in texts if (each := json.loads(text))["event"] == kind]


async def heard_until_the_end(link: Link) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            await link.receive()


async def test_13_who_reaches_a_limit_is_recorded_by_name_and_address(
    certificates: Certificates, tmp_path: Path
) -> None:
    audit = tmp_path / "audit"
    more: dict[str, Any] = {"max_connections_per_principal": 1, "requests_per_s": 1.0}
    async with running_with_tokens(certificates, tmp_path, audit_dir=audit, **more) as world:
        file = await asyncio.to_thread(world.made, "ann")
        await until(lambda: world.knows(file))
        context, token = client_context(certificates.ca), Token(file.read_text().strip())
        given: dict[str, Any] = {"connect_s": LIMIT_S, "ping_s": LIMIT_S, "token": token}
        async with dial(world.user_url, context, **given) as link:
            with pytest.raises(ConnectionLostError):
                async with dial(world.user_url, context, **given):
                    pass
            hello = m.Hello(client_type=m.ClientType.USER, version=1)
            link.send(hello)
            for number in range(10):
                link.send(m.ListCards(id=number))
            await until(lambda: world.app.bitten.get("requests_per_s", 0) > 0)
    (refused,) = lines(audit, "refused")
    assert refused["principal"] == "ann"
    assert refused["address"] in {"127.0.0.1", "::1"}
    assert refused["why"] == "max_connections_per_principal is reached"
    (slowed,) = lines(audit, "slowed")
    assert (slowed["limit"], slowed["role"]) == ("requests_per_s", "user")
    (connected,) = lines(audit, "connected")
    assert slowed["peer"] == connected["peer"]


async def test_13_a_connection_ends_with_its_certificate_and_that_is_recorded(
    tmp_path: Path,
) -> None:
    pki, audit = Pki(tmp_path / "pki"), tmp_path / "audit"
    began = datetime.now(UTC) - timedelta(days=1) + timedelta(seconds=6)
    short = pki.client("ann", days=1, at=began)
    async with serve(settings_of(pki, audit_dir=audit)) as app:
        context = client_context(pki.folder.ca, short.cert, short.key)
        url = f"wss://localhost:{app.user_port}/user"
        async with dial(url, context, connect_s=LIMIT_S, ping_s=LIMIT_S) as link:
            with pytest.raises(ConnectionLostError, match="The certificate of this client has exp"):
                await heard_until_the_end(link)
    (revoked,) = lines(audit, "revoked")
    assert (revoked["principal"], revoked["why"]) == ("ann", "its certificate has expired")


async def test_13_the_end_of_a_token_is_recorded(
    certificates: Certificates, tmp_path: Path
) -> None:
    audit = tmp_path / "audit"
    async with running_with_tokens(certificates, tmp_path, audit_dir=audit) as world:
        file = await asyncio.to_thread(world.made, "ann", expires_in_s=2.0)
        await until(lambda: world.knows(file))
        context, token = client_context(certificates.ca), Token(file.read_text().strip())
        async with dial(
            world.user_url, context, connect_s=LIMIT_S, ping_s=LIMIT_S, token=token
        ) as link:
            with pytest.raises(ConnectionLostError, match="token of this client has expired"):
                await heard_until_the_end(link)
    (revoked,) = lines(audit, "revoked")
    assert (revoked["principal"], revoked["why"]) == ("ann", "its token has expired")


async def test_13_files_that_are_not_taken_are_recorded(
    certificates: Certificates, tmp_path: Path
) -> None:
    policy, audit = tmp_path / "policy.toml", tmp_path / "audit"
    policy.write_text('[[grant]]\nto = ["ann"]\ncards = "*"\nmay = ["use"]\n')
    async with running_with_tokens(certificates, tmp_path, audit_dir=audit, policy=policy) as world:
        policy.write_text("[[grant]]\nto = 7\n")
        world.app.reload()
        await until(lambda: "why" in str(lines(audit, "reloaded")))
    told = [each for each in lines(audit, "reloaded") if "why" in each]
    assert [each["what"] for each in told] == ["policy"]
    assert "policy.toml" in told[0]["why"]
    assert len(lines(audit, "policy_changed")) == 1


async def test_13_what_a_flood_hid_is_counted_at_the_end(
    certificates: Certificates, tmp_path: Path
) -> None:
    many, audit = 150, tmp_path / "audit"
    async with running_with_tokens(certificates, tmp_path, audit_dir=audit) as world:
        for _ in range(many):
            world.app._refusals.refused("192.0.2.1", "it shows nothing")
    told = lines(audit, "refused")
    assert len(told) < many
    assert len(told) + sum(each.get("unrecorded", 0) for each in told) == many

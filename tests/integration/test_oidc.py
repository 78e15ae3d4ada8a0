# SPDX-License-Identifier: Apache-2.0
"""Who is let in by an identity provider, with every confusion of JWTs (issue 13, 1; RFC 8725)."""

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.support.certificates import Certificates
from tests.support.issuer import AUDIENCE, KEYS, Issuer, encoded, jwk_of
from tests.support.processes import environment
from tests.support.tokens import TokenWorld, running_with_tokens, token_file
from tests.support.world import LIMIT_S, until
from wsrc.errors import ConfigError, ConnectionLostError
from wsrc.net.bearer import Token
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.server import issuer_keys, provider
from wsrc.server.issuer_keys import IssuerKeys, is_safe
from wsrc.settings.load import ServerSettings, load
from wsrc.user_client.aio import Client

# Longer than the aim: each confusion of JWTs, and each odd answer of an issuer, by its name.

BAD = "it is none that its identity provider has made for it and that is valid now"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


def settings(issuer: Issuer, **more: Any) -> dict[str, Any]:
    of_it = {"tokens": False, "oidc_issuer": issuer.url, "oidc_audience": AUDIENCE}
    return of_it | {"oidc_card_group": "card-hosts"} | more


@pytest.fixture
async def world(
    certificates: Certificates, tmp_path: Path, issuer: Issuer
) -> AsyncIterator[TokenWorld]:
    async with running_with_tokens(certificates, tmp_path, **settings(issuer)) as world:
        await keys_there(world)
        yield world


def keys_of(world: TokenWorld) -> IssuerKeys:
    assert world.app._provider is not None
    return world.app._provider.keys


async def keys_there(world: TokenWorld) -> None:
    await until(lambda: keys_of(world).there)


async def try_it(world: TokenWorld, text: str, port: int | None = None) -> None:
    url = f"wss://localhost:{port or world.app.user_port}"
    context = client_context(world.certificates.ca)
    async with dial(url, context, connect_s=LIMIT_S, ping_s=LIMIT_S, token=Token(text)):
        pass


async def refusal(world: TokenWorld, text: str, port: int | None = None) -> str:
    with pytest.raises(ConnectionLostError) as caught:
        await try_it(world, text, port)
    return str(caught.value)


async def test_13_who_has_a_jwt_of_the_issuer_is_let_in_and_named(
    world: TokenWorld, issuer: Issuer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = token_file(tmp_path / "jwt", issuer.made(groups=["lab", "staff"]))
    async with Client(world.user_url, ca=world.certificates.ca, token_file=file):
        assert world.app._door is not None
        [connection] = world.app._door.connections
        assert connection.principal is not None
        assert connection.principal.name == "tester@example.org"
        assert connection.principal.groups == {"lab", "staff"}
    assert "connected from 127.0.0.1 as tester@example.org" in caplog.text


@pytest.mark.parametrize("algorithm", KEYS)
async def test_13_each_kind_of_key_will_do(
    world: TokenWorld, issuer: Issuer, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_of(world), "_again_at", 0.0)
    issuer.renew("another", algorithm)
    await try_it(world, issuer.made())


def now() -> int:
    return int(time.time())  # noqa: TID251 - of a JWT


def changed(token: str, part: int, at: int = 5) -> str:
    """Change a digit of one part of a JWT."""
    parts = token.split(".")
    digit = "A" if parts[part][at] != "A" else "B"
    parts[part] = parts[part][:at] + digit + parts[part][at + 1 :]
    return ".".join(parts)


def by_stranger(issuer: Issuer, **headers: Any) -> str:
    """Make a JWT with a key that the issuer does not have, under the name of one that it has."""
    stranger = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(issuer.claims(), stranger, "ES256", headers={"kid": "first", **headers})


def with_own_key(issuer: Issuer, header: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    own: Any = jwk_of(key, "first") if header == "jwk" else "https://evil.example/keys"
    return jwt.encode(issuer.claims(), key, "ES256", headers={"kid": "first", header: own})


WRONG: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "another issuer": (lambda i: i.made(iss="https://evil.example"), "of another issuer"),
    "issuer with a slash": (lambda i: i.made(iss=f"{i.url}/"), "of another issuer"),
    "no issuer": (lambda i: i.made(iss=None), "lacks one of the claims"),
    "another audience": (lambda i: i.made(aud="webmail"), "for another audience"),
    "other audiences": (lambda i: i.made(aud=["webmail", "x"]), "for another audience"),
    "no audience": (lambda i: i.made(aud=None), "lacks one of the claims"),
    "alg none": (lambda i: i.unsigned(), "its algorithm is none with a public key"),
    "alg None": (lambda i: i.unsigned("nOnE"), "its algorithm is none with a public key"),
    "no signature": (lambda i: i.unsigned("ES256"), "its signature is wrong"),
    "HS256 with the PEM": (lambda i: i.signed_with_public_key("pem"), "its algorithm is none"),
    "HS256 with the DER": (lambda i: i.signed_with_public_key("der"), "its algorithm is none"),
    "HS256 with the JWK": (lambda i: i.signed_with_public_key("jwk"), "its algorithm is none"),
    "an algorithm of another kind of key": (
        lambda i: i.unsigned("RS256") + "AAAA",
        "signed with a key that oidc_issuer does not have",
    ),
    "expired": (lambda i: i.made(exp=now() - 60), "it has expired"),
    "no end": (lambda i: i.made(exp=None), "lacks one of the claims"),
    "an end that is none": (lambda i: i.made(exp="soon"), "it is broken"),
    "an end that is no time": (lambda i: i.made(exp=10**400), "it is broken"),
    "not yet valid": (lambda i: i.made(nbf=now() + 600), "it is not valid yet"),
    "made later": (lambda i: i.made(iat=now() + 600), "it is not valid yet"),
    "an unknown key id": (
        lambda i: i.made({"kid": "unknown"}),
        "signed with a key that oidc_issuer does not have",
    ),
    "a key id that is none": (lambda i: i.made({"kid": ""}), "signed with a key that"),
    "another key of that id": (by_stranger, "its signature is wrong"),
    "a key of its own": (lambda i: with_own_key(i, "jwk"), "its signature is wrong"),
    "keys of its own": (lambda i: with_own_key(i, "jku"), "its signature is wrong"),
    "a changed signature": (lambda i: changed(i.made(), 2), "its signature is wrong"),
    "changed claims": (lambda i: changed(i.made(), 1, 30), "its signature is wrong"),
    "crit": (lambda i: i.made({"crit": ["x"], "x": 1}), "a header that must be understood"),
    "an empty crit": (lambda i: i.made({"crit": []}), "a header that must be understood"),
    "no name": (lambda i: i.made(sub=None), "its claim sub is no name"),
    "an empty name": (lambda i: i.made(sub=" "), "its claim sub is no name"),
    "a name that is not shown": (lambda i: i.made(sub="a\x1b[2Jb"), "its claim sub is no name"),
    "a long name": (lambda i: i.made(sub="x" * 256), "its claim sub is no name"),
    "a group": (lambda i: i.made(groups="lab"), "its claim groups is no list of groups"),
    "groups of numbers": (lambda i: i.made(groups=[1]), "is no list of groups"),
    "groups in an object": (lambda i: i.made(groups={"lab": 1}), "is no list of groups"),
    "too many groups": (
        lambda i: i.made(groups=["x"] * (provider.MAX_GROUPS + 1)),
        "is no list of groups",
    ),
    "encrypted": (lambda i: i.made() + ".a.b", "nor a signed JWT"),
    "two parts": (lambda i: i.made().rpartition(".")[0], "nor a signed JWT"),
    "no header": (lambda i: "." + i.made().partition(".")[2], "nor a signed JWT"),
    "a header that is no object": (
        lambda i: f"{encoded(b'[]')}.{i.made().partition('.')[2]}",
        "nor a signed JWT",
    ),
    "a deep header": (
        lambda i: f"{encoded(b'[' * 3000)}.{i.made().partition('.')[2]}",
        "nor a signed JWT",
    ),
    "a token of ours": (lambda _: "wsrc_" + "x" * 49, "its token is none of this server's"),
    "no JWT": (lambda _: "x", "nor a signed JWT"),
}


@pytest.mark.parametrize("what", WRONG)
async def test_13_a_jwt_that_is_not_good_lets_nobody_in(
    world: TokenWorld, issuer: Issuer, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    make, said = WRONG[what]
    token = make(issuer)
    told = await refusal(world, token)
    assert "the server does not let us in with our token" in told
    assert f"HTTP status 401: its token is {'not accepted: ' if 'of this' not in said else ''}" in (
        caplog.text
    )
    assert said in caplog.text
    assert "connected from" not in caplog.text
    for part in (each for each in token.split(".") if len(each) > 20):
        assert part not in caplog.text + told
    await try_it(world, issuer.made())


async def test_13_a_huge_jwt_is_refused(world: TokenWorld, issuer: Issuer) -> None:
    """Before it is looked at: a header has at most 8,190 octets."""
    with pytest.raises(ConnectionLostError):
        await try_it(world, issuer.made(padding="x" * 20_000))
    await try_it(world, issuer.made(padding="x" * 4_000))


async def test_13_clocks_may_be_apart_by_little(world: TokenWorld, issuer: Issuer) -> None:
    await try_it(world, issuer.made(nbf=now() + 10, iat=now() + 10))
    await try_it(world, issuer.made(exp=now() - 10))
    assert provider.LEEWAY_S == 30.0


async def test_13_a_jwt_may_have_several_audiences(world: TokenWorld, issuer: Issuer) -> None:
    await try_it(world, issuer.made(aud=["webmail", AUDIENCE]))


async def test_13_members_of_a_group_are_card_hosts_and_nobody_else(
    world: TokenWorld, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    user, host = issuer.made(groups=["lab"]), issuer.made(sub="bench", groups=["card-hosts"])
    await try_it(world, user)
    await try_it(world, host, world.app.card_port)
    for token, port in ((user, world.app.card_port), (host, world.app.user_port)):
        assert "for the other kind of client" in await refusal(world, token, port)
    assert "tester@example.org is no card host, by oidc_card_group" in caplog.text
    assert "bench is a card host, by oidc_card_group" in caplog.text


async def test_13_without_that_group_jwts_are_of_users(
    certificates: Certificates, tmp_path: Path, issuer: Issuer
) -> None:
    more = settings(issuer, oidc_card_group="")
    async with running_with_tokens(certificates, tmp_path, **more) as world:
        token = issuer.made(groups=["card-hosts"])
        await try_it(world, token)
        assert "other kind" in await refusal(world, token, world.app.card_port)


@pytest.mark.parametrize(
    ("claims", "taken"),
    [
        ({"email": "a@b.example", "email_verified": True, "roles": ["x"]}, True),
        ({"email": "a@b.example", "roles": ["x"]}, True),
        ({"email": "a@b.example", "email_verified": False}, False),
        ({"email": "a@b.example", "email_verified": "false"}, False),
        ({"email": ["a@b.example"]}, False),
        ({}, False),
    ],
)
async def test_13_it_is_told_which_claims_are_name_and_groups(
    certificates: Certificates,
    tmp_path: Path,
    issuer: Issuer,
    claims: dict[str, Any],
    taken: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    more = settings(issuer, oidc_name_claim="email", oidc_groups_claim="roles")
    async with running_with_tokens(certificates, tmp_path, **more) as world:
        token = issuer.made(**claims)
        if taken:
            await try_it(world, token)
            assert "connected from 127.0.0.1 as a@b.example" in caplog.text
        else:
            assert BAD in await refusal(world, token)


async def test_13_keys_are_renewed_when_a_token_has_an_unknown_one_and_not_too_often(
    world: TokenWorld, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_of(world)
    before, old = keys.fetches, issuer.made()
    issuer.renew("second")
    for _ in range(5):
        assert BAD in await refusal(world, issuer.made())
    assert keys.fetches == before
    monkeypatch.setattr(keys, "_again_at", 0.0)
    await try_it(world, issuer.made())
    assert keys.fetches == before + 1
    assert BAD in await refusal(world, old)
    assert keys.fetches == before + 1
    assert issuer_keys.RETRY_S == 30.0


async def test_13_a_hang_up_has_keys_fetched_at_once_and_a_failure_keeps_the_old(
    world: TokenWorld, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    keys, old = keys_of(world), issuer.made()
    caplog.set_level(logging.INFO)
    before = keys.fetches
    issuer.answers["keys"] = (500, b"")
    for count in (1, 2):
        world.app.reload()
        await until(lambda: keys.fetches == before + count)  # noqa: B023 - awaited in the loop
        await until(lambda: caplog.text.count("its keys are kept for now") == count)  # noqa: B023
        await try_it(world, old)
    del issuer.answers["keys"]
    issuer.renew("second")
    caplog.clear()
    world.app.reload()
    await until(lambda: f"was got from {issuer.url}" in caplog.text)
    assert keys.fetches == before + 3
    await try_it(world, issuer.made())
    assert BAD in await refusal(world, old)
    assert keys.fetches == before + 3


async def test_13_hang_ups_during_a_fetch_are_one_more(world: TokenWorld, issuer: Issuer) -> None:
    keys, before = keys_of(world), keys_of(world).fetches
    issuer.gate.clear()
    world.app.reload()
    await until(lambda: keys.fetches == before + 1)
    for _ in range(5):
        world.app.reload()
    assert keys.fetches == before + 1
    issuer.renew("second")
    issuer.gate.set()
    await until(lambda: keys._known("second", "ES256") is not None)
    await until(lambda: keys._fetching is None)
    assert keys.fetches == before + 2


async def test_13_many_handshakes_wait_for_one_fetch_and_hold_up_nobody_else(
    world: TokenWorld, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, keys = issuer.made(), keys_of(world)
    before = keys.fetches
    issuer.renew("second")
    issuer.gate.clear()
    monkeypatch.setattr(keys, "_again_at", 0.0)
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(try_it(world, issuer.made())) for _ in range(5)]
        await until(lambda: keys.fetches > before)
        await try_it(world, known)
        assert not any(each.done() for each in waiting)
        issuer.gate.set()
    assert keys.fetches == before + 1


async def test_13_keys_are_kept_while_the_issuer_is_away_for_so_long(
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(issuer_keys, "RETRY_S", 0.05)
    monkeypatch.setattr(issuer_keys, "RENEW_S", 0.05)
    issuer = Issuer()
    with issuer:
        running = running_with_tokens(certificates, tmp_path, **settings(issuer))
        world = await running.__aenter__()
        await keys_there(world)
        token = issuer.made()
    try:
        await until(lambda: "its keys are kept for now" in caplog.text)
        await try_it(world, token)
        monkeypatch.setattr(issuer_keys, "KEEP_S", 0.0)
        assert "it does not reach its identity provider" in await refusal(world, token)
        monkeypatch.setattr(issuer_keys, "KEEP_S", 3600.0)
        with issuer:
            issuer.renew("later")
            token = issuer.made()
            await until(lambda: keys_of(world)._known("later", "ES256") is not None)
            await try_it(world, token)
    finally:
        await running.__aexit__(None, None, None)
    assert caplog.text.count("its keys are kept for now") < 4


async def test_13_a_server_starts_without_its_issuer_and_says_so_to_its_clients(
    certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Issuer() as issuer:
        token = issuer.made()
    async with running_with_tokens(certificates, tmp_path, **settings(issuer)) as world:
        with pytest.raises(ConnectionLostError, match="does not reach its identity") as caught:
            await try_it(world, token)
        assert caught.value.retry_after_s == 30.0
        await until(lambda: "nobody has a key of it" in caplog.text)
    assert [r.levelname for r in caplog.records if "No keys were got" in r.getMessage()] == [
        "WARNING"
    ]


def jwks(*keys: Any) -> tuple[int, bytes]:
    return 200, json.dumps({"keys": keys}).encode()


EC = ec.generate_private_key(ec.SECP256R1())
ODD: dict[str, tuple[str, tuple[int, bytes], str]] = {
    "no document": ("openid-configuration", (404, b""), "HTTP status 404"),
    "a redirect": ("openid-configuration", (302, b"http://127.0.0.1:1/"), "HTTP status 302"),
    "no JSON": ("openid-configuration", (200, b"<html>"), "is no JSON object"),
    "deep JSON": ("openid-configuration", (200, b'{"a":' * 100_000), "is no JSON object|octets"),
    "deep JSON that fits": ("openid-configuration", (200, b'{"a":' * 20_000), "no JSON object"),
    "another name": ("openid-configuration", (200, b'{"issuer":"x"}'), "calls itself otherwise"),
    "a huge document": ("keys", (200, b" " * (issuer_keys.MAX_OCTETS + 1)), "has more than"),
    "no list of keys": ("keys", (200, b'{"keys":{}}'), "has no keys"),
    "no keys": ("keys", jwks(), "no key that signatures can be checked with"),
    "a secret": ("keys", jwks({"kty": "oct", "k": "AAAA", "kid": "first"}), "no key that"),
    "for encryption": ("keys", jwks(jwk_of(EC, "first", use="enc")), "no key that"),
    "weak": ("keys", jwks(jwk_of(rsa.generate_private_key(65537, 1024), "first")), "no key that"),
    "private": ("keys", jwks(jwk_of(EC, "first", d="AAAA")), "no key that"),
    "odd": (
        "keys",
        jwks(
            1,
            {},
            {"kty": 1},
            {"kty": "EC", "crv": []},
            {"kty": "RSA", "n": 5, "e": "AQAB"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "!"},
            jwk_of(EC, "x", alg="HS256"),
            {**jwk_of(EC, "x"), "kid": 7},
        ),
        "no key that",
    ),
}


@pytest.mark.parametrize("what", ODD)
async def test_13_an_issuer_that_answers_what_it_should_not_is_named_and_does_no_harm(
    certificates: Certificates,
    tmp_path: Path,
    issuer: Issuer,
    what: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, answer, said = ODD[what]
    issuer.answers[path] = answer
    async with running_with_tokens(certificates, tmp_path, **settings(issuer)) as world:
        await until(lambda: "No keys were got from" in caplog.text)
        assert any(each in caplog.text for each in said.split("|"))
        assert "does not reach its identity provider" in await refusal(world, issuer.made())
        assert len(issuer.asked) <= 2


@pytest.mark.parametrize("uri", ["http://192.0.2.1/keys", "file:///etc/passwd", "", 7, "http://["])
async def test_13_keys_are_got_over_https_or_from_loopback(
    certificates: Certificates,
    tmp_path: Path,
    issuer: Issuer,
    uri: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    issuer.about["jwks_uri"] = uri
    async with running_with_tokens(certificates, tmp_path, **settings(issuer)):
        await until(lambda: "its jwks_uri is no https URL" in caplog.text)
    assert is_safe("https://login.example/keys")


async def test_13_a_key_without_an_id_is_the_only_one(
    certificates: Certificates, tmp_path: Path, issuer: Issuer
) -> None:
    kid, (key, _) = next(iter(issuer.keys.items()))
    issuer.published = [jwk_of(key, None), jwk_of(KEYS["RS256"], "rsa")]
    async with running_with_tokens(certificates, tmp_path, **settings(issuer)) as world:
        await try_it(world, issuer.made({"kid": None}))
        assert BAD in await refusal(world, issuer.made())
    issuer.published = [jwk_of(key, kid), jwk_of(EC, "other")]
    async with running_with_tokens(certificates, tmp_path, **settings(issuer)) as world:
        await try_it(world, issuer.made())
        assert BAD in await refusal(world, issuer.made({"kid": None}))


async def test_13_a_connection_ends_with_its_jwt(
    world: TokenWorld,
    issuer: Issuer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(provider, "LEEWAY_S", 1.0)
    token = Token(issuer.made(exp=now() + 1))
    context = client_context(world.certificates.ca)
    async with dial(
        world.user_url, context, connect_s=LIMIT_S, ping_s=LIMIT_S, token=token
    ) as link:
        with pytest.raises(ConnectionLostError, match=r"1008.*token of this client has expired"):
            await received(link)
    assert "The connection of tester@example.org is closed: its token has expired" in caplog.text


async def received(link: Any) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            await link.receive()


async def test_13_a_jwt_without_an_end_in_sight_is_taken(world: TokenWorld, issuer: Issuer) -> None:
    await try_it(world, issuer.made(exp=10**15))


async def test_13_tokens_of_both_kinds_are_taken_at_once(
    certificates: Certificates, tmp_path: Path, issuer: Issuer
) -> None:
    more = settings(issuer, tokens=True)
    async with running_with_tokens(certificates, tmp_path, **more) as world:
        file = world.made("me")
        await until(lambda: world.knows(file))
        for text in (file.read_text().strip(), issuer.made()):
            await try_it(world, text)
        assert BAD in await refusal(world, issuer.made(aud="x"))


WITHOUT = """
import sys
sys.modules["jwt"] = None
sys.argv = ["wsrc-server", "--no-tls", "--oidc-issuer", "https://x", "--oidc-audience", "y",
            "--user-port", "0", "--card-port", "0"]
from wsrc.server.cli import main
main()
"""


def test_13_a_server_without_the_package_says_how_to_install_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        "wsrc-server: oidc_issuer: it needs a package; install it with: pip install 'wsrc[oidc]'"
    )


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"oidc_issuer": "https://login.example"}, "oidc_audience"),
        ({"oidc_audience": "x"}, "oidc_audience"),
        ({"oidc_card_group": "x"}, "oidc_card_group"),
        ({"oidc_issuer": "http://login.example", "oidc_audience": "x"}, "oidc_issuer"),
        ({"oidc_issuer": "login.example", "oidc_audience": "x"}, "oidc_issuer"),
        ({"oidc_issuer": "https://", "oidc_audience": "x"}, "oidc_issuer"),
        ({"oidc_issuer": "https://u:p@login.example", "oidc_audience": "x"}, "oidc_issuer"),
        ({"oidc_issuer": "https://login.example/?a", "oidc_audience": "x"}, "oidc_issuer"),
        ({"oidc_issuer": "https://[", "oidc_audience": "x"}, "oidc_issuer"),
    ],
)
def test_13_an_issuer_that_cannot_be_trusted_is_refused(
    given: dict[str, Any], setting: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        ServerSettings(no_tls=True, **given)
    assert caught.value.setting == setting
    assert "u:p" not in str(caught.value)


def test_13_an_issuer_with_a_password_is_refused_on_the_command_line() -> None:
    given = {"oidc_issuer": "https://ida:s3cret@login.example"}
    with pytest.raises(ConfigError, match="everyone on this machine can read a password"):
        load(ServerSettings, {}, given)

# SPDX-License-Identifier: Apache-2.0
"""The console of the page in sealed sessions: what the server hears, and whom the page believes."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.support.browser import CHROMIUM, Seen, paging
from tests.support.certificates import Certificates
from tests.support.evil_relay import EvilRelay
from tests.support.world import PIN, UICC, World, running
from wsrc.protocol import messages as m
from wsrc.protocol.parts import Numbered
from wsrc.sealing.signing import SigningKey, fingerprint, sign

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here (Debian: chromium)"),
    pytest.mark.asyncio(loop_scope="module"),
]

RUN = "The card may have run the command."


@pytest_asyncio.fixture(loop_scope="module")
async def world(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "host"))
    async with running(certificates) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def opened(world: World, browser: Browser) -> AsyncIterator[tuple[Page, Seen]]:
    await world.host(seal="required")
    async with paging(browser) as (page, seen):
        await page.goto(world.http_url)
        await page.click(f".row .name >> text={UICC}")
        yield page, seen


async def said_to(page: Page, command: bytes | str) -> Locator:
    """Send a command; return what was said last, which is its answer soon."""
    text = command if isinstance(command, str) else command.hex()
    await page.fill("#console input", text)
    await page.press("#console input", "Enter")
    return page.locator("#console li").last


async def take(page: Page) -> Locator:
    await page.click("text=Take the card")
    return page.locator("#console li").last


async def test_the_server_hears_nothing_of_what_is_typed_and_answered(
    world: World, opened: tuple[Page, Seen]
) -> None:
    page, _ = opened
    relay = EvilRelay(world)
    await expect(await take(page)).to_contain_text("Sealed by bench, whose key is SHA256:")
    await expect(page.locator("#console li").last).to_contain_text("seen here for the first time")
    for command, answer in (
        ("00a4000c023f00", "9000: done"),
        ("00a4000c022fe2", "9000: done"),
        ("00b000000a", "988812010000400310f0 9000: done"),
        ("00a4000c026fff", "6a82: file or application not found"),
        ("0020000108393939390a0a0a0a", "63c2: verification failed, 2 tries left"),
    ):
        await expect(await said_to(page, command)).to_contain_text(answer)
    await page.click("#card >> text=Reset")
    await expect(page.locator("#console li").last).to_contain_text("Reset: 3b9c96801fc78031e0")
    await expect(await said_to(page, PIN)).to_contain_text("9000: done")
    await page.click("#card >> text=Give it back")
    await expect(page.locator("#console li").last).to_have_text("The card is given back.")
    numbered = {type(each) for each in relay.heard if isinstance(each, Numbered)}
    assert numbered == {m.Sealed, m.SealedResp}
    await expect(await take(page)).to_contain_text("Sealed by bench")
    await expect(page.locator("#console li").last).not_to_contain_text("first time")


async def test_what_the_server_alone_says_of_a_command_is_not_believed(
    opened: tuple[Page, Seen],
) -> None:
    page, _ = opened
    await take(page)

    async def deny(route: Route) -> None:
        told = {"detail": "It has not run.", "code": "internal", "outcome": "not_executed"}
        await route.fulfill(status=500, json=told, content_type="application/problem+json")

    async def spoil(route: Route) -> None:
        asked = json.loads(route.request.post_data or "")
        asked["box"] = base64.b64encode(bytes(len(base64.b64decode(asked["box"])))).decode()
        await route.continue_(post_data=json.dumps(asked))

    async def change(route: Route) -> None:
        response = await route.fetch()
        told = await response.json()
        told["box"] = base64.b64encode(bytes(40)).decode()
        await route.fulfill(response=response, json=told)

    for wrong, why in (
        (deny, "It has not run."),
        (spoil, "was changed on its way, or is another's."),
        (change, "as the card host has sealed it."),
    ):
        await page.route("**/sealed", wrong)
        await expect(await said_to(page, "00a4000c023f00")).to_contain_text(f"{why} {RUN}")
        await page.unroute("**/sealed")
    await expect(await said_to(page, "00a4000c022fe2")).to_contain_text("9000")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("iccid", "8988211000000430099"),
        ("host", "another"),
        ("nonce", base64.b64encode(bytes(32)).decode()),
        ("mode", "preferred"),
        ("suites", ["p256"]),
    ],
)
async def test_an_offer_that_was_changed_is_refused_and_the_card_given_back(
    world: World, opened: tuple[Page, Seen], field: str, value: Any
) -> None:
    page, _ = opened

    async def change(route: Route) -> None:
        response = await route.fetch()
        told = await response.json()
        told["seal"][field] = value
        await route.fulfill(response=response, json=told)

    await page.route("**/sessions", change)
    await expect(await take(page)).to_contain_text("the server may have changed it")
    await expect(page.locator("#card .facts")).to_contain_text("ready")
    assert world.counts["sessions"] == 0


async def test_a_card_host_with_another_key_and_one_that_seals_no_more_are_refused(
    world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with paging(browser) as (page, _):
        for folder, seal, told in (
            ("first", "required", "seen here for the first time"),
            ("second", "required", "bench has another key than before"),
            ("third", "off", "bench has sealed its sessions before"),
            ("first", "preferred", "Sealed by bench"),
        ):
            monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / folder))
            host = await world.host(seal=seal)
            await page.goto(world.http_url)
            await page.click(f".row .name >> text={UICC}")
            await expect(await take(page)).to_contain_text(told)
            await page.goto("about:blank")
            host.stop.set()
            await page.goto(world.http_url)
            await expect(page.locator("#count")).to_have_text("0 readers")


def certified(key: SigningKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a host")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return made.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


VERIFY = """async ([certificate, signature, octets]) => {
    const s = await import("/page/sealing.js");
    const spki = s.publicKeyOf(s.unbase64(certificate));
    const holds = await s.isSigned(spki, s.unbase64(signature), s.unbase64(octets));
    const other = await s.isSigned(spki, s.unbase64(signature), s.utf8("something else"));
    return [holds, other, await s.fingerprintOf(spki)];
}"""


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA", "Ed25519"])
async def test_every_key_that_a_card_host_may_sign_with_is_read(
    opened: tuple[Page, Seen], kind: str
) -> None:
    page, _ = opened
    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    key: SigningKey
    if kind in curves:
        key = ec.generate_private_key(curves[kind])
    else:
        key = rsa.generate_private_key(65537, 2048) if kind == "RSA" else _ed25519()
    certificate, octets = certified(key), b"what is signed"
    given = certificate.public_bytes(Encoding.DER), sign(key, octets), octets
    told = await page.evaluate(VERIFY, [base64.b64encode(each).decode() for each in given])
    assert told == [True, False, fingerprint(certificate)]


def _ed25519() -> SigningKey:
    return ed25519.Ed25519PrivateKey.generate()

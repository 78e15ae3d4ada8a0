# SPDX-License-Identifier: Apache-2.0
"""Who logs in at the page of a server in a real browser, by a token or an identity provider."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.support.browser import CHROMIUM, paging
from tests.support.certificates import Certificates
from tests.support.issuer import AUDIENCE, Issuer
from tests.support.tokens import running_with_tokens
from tests.support.world import LIMIT_S, until
from wsrc.server.provider import LEEWAY_S

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here (Debian: chromium)"),
    pytest.mark.asyncio(loop_scope="module"),
]


async def test_who_has_a_token_logs_in_and_out(
    certificates: Certificates, browser: Browser, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(
        '[[grant]]\nto = ["root"]\ncards = "*"\nmay = ["list", "use", "events", "admin"]\n'
        '[[grant]]\nto = ["ann"]\ncards = "*"\nmay = ["list", "events"]\n'
    )
    async with (
        running_with_tokens(certificates, tmp_path, http_port=0, policy=policy) as world,
        paging(browser) as (page, _),
    ):
        root, ann = world.made("root"), world.made("ann")
        await until(lambda: world.knows(root) and world.knows(ann))
        await page.goto(world.http_url)
        await page.fill("#token", "wsrc_nonsense")
        await page.press("#token", "Enter")
        await expect(page.locator("#login-error")).to_contain_text("not let in")
        await page.fill("#token", ann.read_text())
        await page.click("#login-form button")
        await expect(page.locator("#who")).to_have_text("ann")
        await expect(page.locator("#to-activity")).not_to_be_visible()
        (cookie,) = await page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert ann.read_text().strip() not in cookie["value"]
        await page.reload()
        await expect(page.locator("#who")).to_have_text("ann")
        await page.click("#logout")
        await expect(page.locator("#login")).to_be_visible()
        await page.fill("#token", root.read_text())
        await page.click("#login-form button")
        await expect(page.locator("#to-activity")).to_be_visible()
        await expect(page.locator("#live")).to_have_attribute("data-state", "live")
        world.revoke("root")
        await expect(page.locator("#login")).to_be_visible()


async def test_who_has_a_jwt_of_the_identity_provider_logs_in_until_it_ends(
    certificates: Certificates, browser: Browser, tmp_path: Path
) -> None:
    with Issuer() as issuer:
        given = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, "http_port": 0}
        async with (
            running_with_tokens(certificates, tmp_path, tokens=False, **given) as world,
            paging(browser) as (page, _),
        ):
            provider = world.app._provider
            assert provider is not None
            await until(lambda: provider.keys.there)
            await page.goto(world.http_url)
            await page.fill("#token", issuer.made(aud="another"))
            await page.press("#token", "Enter")
            await expect(page.locator("#login-error")).to_contain_text("not let in")
            ends = int(datetime.now(UTC).timestamp() - LEEWAY_S + 12)
            await page.fill("#token", issuer.made(exp=ends))
            await page.press("#token", "Enter")
            await expect(page.locator("#who")).to_have_text("tester@example.org")
            await expect(page.locator("#live")).to_have_attribute("data-state", "live")
            await expect(page.locator("#login")).to_be_visible(timeout=LIMIT_S * 1000)

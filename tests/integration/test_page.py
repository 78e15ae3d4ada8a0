# SPDX-License-Identifier: Apache-2.0
"""The page of a server in a real browser: what it shows, and what is done by clicking."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.browser import CHROMIUM, Seen, browsing, chromium, paging
from tests.support.certificates import Certificates
from tests.support.world import EUICC, UICC, World, running, uicc

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("chromium")) as at:
        yield at


@pytest.fixture
async def browser(program: str) -> AsyncIterator[Browser]:
    async with browsing(program) as made:
        yield made


@pytest.fixture
async def world(certificates: Certificates, tmp_path: Path) -> AsyncIterator[World]:
    given = {"audit_dir": tmp_path / "audit", "state_dir": tmp_path / "state"}
    async with running(certificates, **given) as made:
        await made.host()
        yield made


@pytest.fixture
async def opened(world: World, browser: Browser) -> AsyncIterator[tuple[Page, Seen]]:
    async with paging(browser) as (page, seen):
        await page.goto(world.http_url)
        await expect(page.locator("#count")).to_have_text("2 readers")
        yield page, seen


async def test_cards_are_there_and_change_without_a_reload(
    world: World, opened: tuple[Page, Seen]
) -> None:
    page, seen = opened
    row = page.locator(".row", has_text=UICC)
    await expect(row.locator(".state")).to_have_text("ready")
    user = await world.user("ann")
    async with await user.select(iccid=UICC):
        await expect(row.locator(".holder")).to_have_text("ann")
        await expect(row.locator(".state")).to_have_text("associated")
    await expect(row.locator(".state")).to_have_text("ready")
    await world.host([uicc("8988211000000430099")], "other")
    await expect(page.locator("#count")).to_have_text("3 readers")
    assert seen.asked == {world.http_url.removeprefix("http://")}


async def test_a_search_a_tag_and_a_state_choose_cards(
    world: World, opened: tuple[Page, Seen]
) -> None:
    page, _ = opened
    await page.keyboard.press("/")
    await page.keyboard.type(EUICC[-6:])
    await expect(page.locator(".row")).to_have_count(1)
    await expect(page.locator("#count")).to_have_text("1 of 2 readers")
    await page.fill("#search", "")
    await page.select_option("#tag", "card=uicc")
    await expect(page.locator(".row")).to_have_count(1)
    await expect(page.locator(".row .name")).to_have_text(UICC)
    await page.select_option("#only", "busy")
    await expect(page.locator("#none")).to_be_visible()
    user = await world.user("ann")
    async with await user.select(iccid=UICC):
        await expect(page.locator(".row")).to_have_count(1)

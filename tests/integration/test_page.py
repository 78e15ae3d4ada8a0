# SPDX-License-Identifier: Apache-2.0
"""The page of a server in a real browser: what it shows, and what is done by clicking."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.browser import (
    CHROMIUM,
    CONTRAST,
    NARROW,
    WIDE,
    Seen,
    paging,
)
from tests.support.certificates import Certificates
from tests.support.http_served import API, asking
from tests.support.paths import ROOT
from tests.support.raw_peer import raw_peer
from tests.support.world import EUICC, UICC, World, running, taken, uicc, until
from wsrc.errors import WsrcError

# Longer than the aim: all of it shares one browser.

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here (Debian: chromium)"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(loop_scope="module")
async def world(certificates: Certificates, tmp_path: Path) -> AsyncIterator[World]:
    given = {"audit_dir": tmp_path / "audit", "state_dir": tmp_path / "state"}
    async with running(certificates, **given) as made:
        await made.host()
        yield made


@pytest_asyncio.fixture(loop_scope="module")
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


async def test_who_waits_is_shown_and_nothing_is_asked_for_that(
    world: World, opened: tuple[Page, Seen]
) -> None:
    page, seen = opened
    row = page.locator(".row", has_text=UICC)
    await page.clock.install()
    ann, bob, cid = [await world.user(name) for name in ("ann", "bob", "cid")]
    async with asyncio.TaskGroup() as tasks, await ann.select(iccid=UICC):
        await expect(row.locator(".holder")).to_have_text("ann")
        seen.requests.clear()
        waits = tasks.create_task(taken(bob.select(iccid=UICC, wait_s=60)))
        takes = tasks.create_task(taken(cid.select(iccid=UICC, pick="any", wait_s=60)))
        await expect(row.locator(".holder")).to_have_text("ann · 1 waiting")
        await expect(page.locator("#count")).to_have_text("2 readers · 1 waiting for any card")
        await page.select_option("#only", "waited")
        await expect(page.locator(".row")).to_have_count(1)
        await page.clock.fast_forward(500_000)
        for task in (waits, takes):
            task.cancel()
        await expect(page.locator("#none")).to_be_visible()
        await expect(page.locator("#count")).to_have_text("0 of 2 readers")
    assert seen.requests == []


async def answered(page: Page, text: str | None, button: str) -> None:
    """Answer the question that is asked."""
    if text is not None:
        await page.fill("#dialog-text", text)
    await page.click(f"#dialog-ok:has-text('{button}')")
    await expect(page.locator("#dialog")).not_to_be_visible()


async def test_a_card_is_taken_back_and_who_had_it_is_told_why(
    world: World, opened: tuple[Page, Seen]
) -> None:
    page, _ = opened
    user = await world.user("ann")
    card = await user.select(iccid=UICC)
    await page.click(".row button:visible:has-text('Take back')")
    await answered(page, "the night run needs it", "Take back")
    with pytest.raises(WsrcError, match="the night run needs it"):
        await card.transmit(bytes.fromhex("00a4000c023f00"))
    await expect(page.locator("#told")).to_have_text("Taken back from ann.")
    await expect(page.locator(".row", has_text=UICC).locator(".holder")).to_have_text("")


async def test_tags_and_comments_are_set_changed_and_removed(opened: tuple[Page, Seen]) -> None:
    page, _ = opened
    row = page.locator(".row", has_text=UICC)
    await row.get_by_role("button", name="Tag").click()
    await answered(page, "kind=sgp22\noperator=orange", "Set tags")
    await expect(row.locator(".tags")).to_contain_text("kind=sgp22 operator=orange")
    await row.get_by_role("button", name="Tag").click()
    await expect(page.locator("#dialog-text")).to_have_value("kind=sgp22\noperator=orange")
    await page.fill("#dialog-text", "no tag")
    await page.click("#dialog-ok")
    await expect(page.locator("#dialog-error")).to_have_text("“no tag” is no key=value.")
    await page.fill("#dialog-text", "host=mine")
    await page.click("#dialog-ok")
    await expect(page.locator("#dialog-error")).to_contain_text("cannot be set")
    await answered(page, "kind=test", "Set tags")
    await expect(row.locator(".tags")).to_contain_text("kind=test")
    await expect(row.locator(".tags")).not_to_contain_text("orange")
    await row.get_by_role("button", name="Comment").click()
    await answered(page, "PIN is on the shelf", "Note it")
    await expect(row.locator(".note")).to_have_text("PIN is on the shelf")
    await row.get_by_role("button", name="Comment").click()
    await answered(page, "", "Note it")
    await expect(row.locator(".note")).to_have_text("")


async def test_a_host_is_drained_and_is_not_any_more(
    world: World, opened: tuple[Page, Seen]
) -> None:
    page, _ = opened
    await page.click("nav >> text=Hosts")
    host = page.locator("#host-rows li", has_text="bench")
    await expect(host).to_contain_text("2 readers, 2 cards, 0 held")
    await host.get_by_role("button", name="Drain").click()
    await answered(page, "new firmware", "Drain")
    await expect(host).to_contain_text("drained")
    user = await world.user("ann")
    with pytest.raises(WsrcError, match="new firmware"):
        await user.select(iccid=UICC)
    await host.get_by_role("button", name="End draining").click()
    await answered(page, None, "End draining")
    await expect(host).not_to_contain_text("drained")
    async with await user.select(iccid=UICC):
        await expect(host).to_contain_text("1 held")


async def test_reservations_are_shown_as_they_change_and_cancelled_by_a_click(
    world: World, opened: tuple[Page, Seen]
) -> None:
    page, seen = opened
    await page.click("nav >> text=Reservations")
    count, rows = page.locator("#reservations .tools p"), page.locator("#reservations .row")
    await expect(count).to_have_text("No card is reserved.")
    user = await world.user("ann")
    later = datetime.now(UTC) + timedelta(hours=1)
    made = await user.reserve(3600.0, iccid=UICC)
    await expect(count).to_have_text("1 reservation")
    await expect(rows.locator(".name")).to_have_text(UICC)
    await expect(rows.locator(".holder")).to_have_text("ann")
    await expect(rows.locator(".state")).to_have_text("ready")
    await expect(rows.locator(".tags")).to_contain_text("bench · ")
    async with await user.select(reservation=made.token):
        await expect(rows.locator(".state")).to_have_text("taken")
    await expect(rows.locator(".state")).to_have_text("ready")
    await user.reserve(60.0, begins=later, pick="any", tags={"card": "euicc"}, priority=2)
    second = rows.nth(1)
    await expect(second.locator(".state")).to_have_text("coming")
    await expect(second.locator(".note")).to_have_text("any with tag card=euicc · priority 2")
    day = later.astimezone()
    await expect(second.locator(".where")).to_contain_text(f"{day.month}/{day.day}/{day:%y}")
    await rows.first.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#dialog-what")).to_contain_text("ann has the card from")
    await answered(page, None, "Cancel it")
    await expect(page.locator("#told")).to_have_text(
        f"Reservation {made.reservation.number} is given up."
    )
    await expect(rows).to_have_count(1)
    assert [each.any for each in await user.reservations()] == [True]
    seen.requests.clear()
    async with await user.select(iccid=UICC):
        await page.click("nav >> text=Cards")
        await expect(page.locator(".row", has_text=UICC).locator(".holder")).to_have_text("ann")
    assert [each for each in seen.requests if API in each] == []


async def test_the_card_of_a_reservation_is_a_click_away_and_told_when_it_is_away(
    world: World, opened: tuple[Page, Seen]
) -> None:
    page, _ = opened
    host = await world.host([uicc("8988211000000430099")], "other")
    user = await world.user("ann")
    await user.reserve(3600.0, iccid="8988211000000430099")
    await page.click("nav >> text=Reservations")
    row = page.locator("#reservations .row")
    await row.locator(".name").click()
    await expect(page.locator("#card h2")).to_have_text("8988211000000430099")
    await page.go_back()
    host.stop.set()
    await expect(row.locator(".state")).to_have_text("away")
    await expect(row.locator(".tags")).to_have_text("not here")
    assert await row.locator(".name").get_attribute("href") is None


async def test_of_many_reservations_those_that_can_be_seen_are_elements(
    certificates: Certificates, browser: Browser, tmp_path: Path
) -> None:
    given = {"state_dir": tmp_path, "max_reservations_per_principal": MORE_THAN_A_PAGE}
    async with running(certificates, **given) as world, paging(browser) as (page, _):
        await world.host()
        user, begins = await world.user("ann"), datetime.now(UTC) + timedelta(hours=1)
        async with asyncio.TaskGroup() as tasks:
            for number in range(MORE_THAN_A_PAGE):
                at = begins + timedelta(minutes=number)
                tasks.create_task(user.reserve(60.0, iccid=UICC, begins=at))
        await page.goto(f"{world.http_url}/#/reservations")
        view = page.locator("#reservations")
        count, rows = view.locator(".tools p"), view.locator(".row")
        await expect(count).to_have_text(f"{MORE_THAN_A_PAGE} reservations")
        assert await rows.count() < 60
        await view.locator(".list").focus()
        await page.keyboard.press("End")
        last = view.locator(".row:has(.name:focus)")
        await expect(last).to_have_attribute("aria-posinset", str(MORE_THAN_A_PAGE))
        assert await rows.count() < 60


async def test_the_page_of_a_card_has_its_history_its_atr_and_its_queue(
    world: World, opened: tuple[Page, Seen]
) -> None:
    page, _ = opened
    user, other = await world.user("ann"), await world.user("bob")
    async with asyncio.TaskGroup() as tasks, await user.select(iccid=UICC):
        await page.click(f".row .name >> text={UICC}")
        await expect(page.locator("#card h2")).to_have_text(UICC)
        await expect(page.locator("#card")).to_contain_text("a UICC; T=0; historical bytes 8031")
        await expect(page.locator("#history")).to_contain_text("took · ann")
        await expect(page.locator("#queue")).to_have_text("Nobody waits.")
        waiting = tasks.create_task(taken(other.select(iccid=UICC, wait_s=20)))
        await expect(page.locator("#queue")).to_contain_text("bob, since")
    async with await waiting:
        await expect(page.locator("#card .facts")).to_contain_text("bob since")
    await expect(page.locator("#queue")).to_have_text("Nobody waits.")


async def test_commands_are_sent_and_read_in_the_console(
    world: World, opened: tuple[Page, Seen]
) -> None:
    page, _ = opened
    await page.click(f".row .name >> text={UICC}")
    await page.click("text=Take the card")
    lines, command = page.locator("#console li"), page.locator("#console input")
    await expect(lines).to_contain_text(["freshly reset"])
    for sent, said in (
        ("00a4000c023f00", "9000: done"),
        ("00 A4 00 0C 02 2F E2", "9000: done"),
        ("00b000000a", "988812010000400310f0 9000: done"),
        ("00a4000c026fff", "6a82: file or application not found"),
        ("00a4", "A command has at least four octets"),
        ("0020000108313233340a0a0a0a", "63c"),
    ):
        await command.fill(sent)
        await command.press("Enter")
        await expect(lines.last).to_contain_text(said)
    await expect(page.locator("#console ol")).not_to_contain_text("31323334")
    await command.press("ArrowUp")
    await expect(command).to_have_value("00a4000c026fff")
    await command.press("ArrowUp")
    await command.press("ArrowUp")
    await expect(command).to_have_value("00 A4 00 0C 02 2F E2")
    await command.press("ArrowDown")
    await expect(command).to_have_value("00b000000a")
    await page.click("#card >> text=Reset")
    await expect(lines.last).to_contain_text("Reset: 3b9c96801fc78031e073fe215364575352438d T0")
    await page.click("#card >> text=Give it back")
    await expect(lines.last).to_have_text("The card is given back.")
    await page.click("text=Take the card")
    await expect(lines.last).to_contain_text("freshly reset")
    await page.click("text=← All cards")
    await expect(page.locator(".row", has_text=UICC).locator(".state")).to_have_text("ready")


async def test_the_day_is_plotted(
    world: World, opened: tuple[Page, Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, _ = opened
    assert world.app._site is not None
    activity = world.app._site.activity
    activity.requests.extend([0, 60, 120])
    activity.sessions.extend([0, 1, 2])
    await page.click("nav >> text=Activity")
    figures = page.locator("#activity figure")
    await expect(figures.first).to_contain_text("2.0/s at most in 24 h")
    await expect(figures.last).to_contain_text("2 at most in 24 h")
    assert (await figures.last.locator("path").get_attribute("d") or "").count("L") == 3


MORE_THAN_A_PAGE = 520
EVIL = "<img src=x onerror=\"document.title='pwned'\"><script>1</script>"


async def test_no_text_of_anybody_becomes_markup(
    certificates: Certificates, browser: Browser, tmp_path: Path
) -> None:
    atr = bytes.fromhex("3b08") + b"<b>x</b>"
    reader = {
        "reader": f"{EVIL} 1",
        "name": EVIL,
        "state": "ready",
        "atr": atr.hex(),
        "protocol": "T0",
        "label": EVIL,
        "tags": {"kind": EVIL[:64].strip()},
    }
    given = {"audit_dir": tmp_path / "audit", "state_dir": tmp_path / "state"}
    async with (
        running(certificates, no_tls=True, **given) as world,
        raw_peer(world.app.card_port, hello="card", name=EVIL, readers=[reader]),
        asking(world.http_url) as asker,
        raw_peer(world.app.user_port, name=EVIL) as user,
        paging(browser) as (page, seen),
    ):
        noted = await asker.post("/comment", {"label": EVIL, "comment": EVIL})
        assert noted.status == 200, noted
        user.say("select_card", id=1, label=EVIL)
        begins = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        user.say("reserve", id=2, label=EVIL, pick="any", begins=begins, for_s=60.0)
        await page.goto(world.http_url)
        row = page.locator(".row")
        await expect(row.locator(".name")).to_have_text(EVIL)
        for part in (".where", ".holder", ".note", ".tags"):
            await expect(row.locator(part)).to_contain_text("<img src=x onerror=")
        await row.get_by_role("button", name="Take back").click()
        await expect(page.locator("#dialog-what")).to_contain_text(EVIL)
        await page.click("#dialog-cancel")
        await page.click("nav >> text=Hosts")
        await expect(page.locator("#host-rows b")).to_have_text(EVIL)
        await page.goto(f"{world.http_url}/#/reservations")
        booked = page.locator("#reservations .row")
        for part in (".name", ".holder", ".note", ".tags"):
            await expect(booked.locator(part)).to_contain_text("<img src=x onerror=")
        await booked.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#dialog-what")).to_contain_text(EVIL)
        await page.click("#dialog-cancel")
        await page.goto(f"{world.http_url}/#/card/1")
        await expect(page.locator("#card")).to_contain_text("(<b>x</b>)")
        await expect(page.locator("#card .facts")).to_contain_text(EVIL)
        assert await page.locator("img, b:has-text('x'), body script").count() == 1  # of the host
        assert await page.title() == "WSRC cards"
        wrong = await page.evaluate("""() => {
            try { document.body.innerHTML = "<b>x</b>"; return "written"; }
            catch (error) { return error.name; }
        }""")
        assert wrong == "TypeError"
        assert ["TrustedHTML" in each for each in seen.wrong] == [True]
        seen.wrong.clear()


async def test_a_page_that_is_open_outlives_the_server(
    certificates: Certificates, browser: Browser
) -> None:
    async with paging(browser) as (page, _):
        async with running(certificates) as world:
            port = world.app.http_port
            await world.host()
            await page.goto(world.http_url)
            await expect(page.locator(".row")).to_have_count(2)
            await page.evaluate("window.same = true")
        await expect(page.locator("#live")).to_have_attribute("data-state", "lost")
        async with running(certificates, http_port=port) as world:
            await world.host([uicc("8988211000000430099")], "new")
            await expect(page.locator("#live")).to_have_attribute("data-state", "live")
            await expect(page.locator(".row")).to_have_count(1)
            await expect(page.locator(".row .where")).to_contain_text("new")
            assert await page.evaluate("window.same") is True


async def test_two_thousand_cards_are_few_elements_and_a_change_is_one(
    certificates: Certificates, browser: Browser
) -> None:
    async with (
        running(certificates, no_tls=True, ping_s=300.0) as world,
        AsyncExitStack() as stack,
        paging(browser) as (page, _),
    ):
        hosts = [
            await stack.enter_async_context(
                raw_peer(
                    world.app.card_port,
                    hello="card",
                    name=name,
                    readers=[reader_info(name, number) for number in range(1000)],
                )
            )
            for name in ("a", "b")
        ]
        await page.goto(world.http_url)
        await expect(page.locator("#count")).to_have_text("2000 readers")
        painted = await page.evaluate(PAINTED)
        assert painted["elements"] < 700
        await page.evaluate(COUNT_CHANGES)
        hosts[0].say("reader_state", reader=reader_info("a", 3, label="another"))
        await expect(page.locator(".row", has_text="another")).to_be_visible()
        assert await page.evaluate("window.changes") <= 6
        await page.evaluate("window.changes = 0")
        hosts[1].say("reader_state", reader=reader_info("b", 999, label="the last"))
        hosts[0].say("reader_state", reader=reader_info("a", 4, label="a third"))
        await expect(page.locator(".row", has_text="a third")).to_be_visible()
        assert await page.evaluate("window.changes") <= 6
        await page.locator("#list").focus()
        await page.keyboard.press("End")
        await expect(page.locator(".row", has_text="the last")).to_be_visible()
        await expect(page.locator(".name:focus")).to_have_text("the last")
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("Enter")
        await expect(page.locator("#card h2")).to_have_text("898821100000b9980")


COUNT_CHANGES = """() => {
  window.changes = 0;
  new MutationObserver((seen) => { window.changes += seen.length; })
    .observe(document.body, {
      subtree: true, childList: true, attributes: true, characterData: true,
    });
}"""
PAINTED = "() => ({ elements: document.querySelectorAll('*').length })"


def reader_info(host: str, number: int, **more: str) -> dict[str, object]:
    """Return a reader as a card client announces it."""
    return {
        "reader": f"reader {number:03} {host}",
        "name": f"Reader {number:03}",
        "state": "ready",
        "atr": "3b9c96801fc78031e073fe215364575352438d",
        "protocol": "T0",
        "label": f"898821100000{host}{number:03}0",
        **more,
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "narrow"])
async def test_texts_can_be_read_in_both_themes_and_at_both_widths(
    world: World, browser: Browser, scheme: Literal["light", "dark"], size: str
) -> None:
    """Each is photographed into build/page; WSRC_SCREENSHOT names another place for the first."""
    folder = ROOT / "build" / "page"
    folder.mkdir(parents=True, exist_ok=True)
    await world.host([uicc(f"89882110000{number:07}0") for number in range(8)], "rack-2")
    user = await world.user("ann")
    viewport = WIDE if size == "wide" else NARROW
    async with (
        asking(world.http_url) as asker,
        await user.select(iccid=UICC),
        paging(browser, viewport=viewport, color_scheme=scheme) as (page, _),
    ):
        await asker.post("/tags", {"iccid": UICC, "set": {"kind": "test", "operator": "orange"}})
        await asker.post("/comment", {"iccid": UICC, "comment": "PIN is on the shelf"})
        await page.goto(world.http_url)
        await expect(page.locator(".row")).to_have_count(10)
        await expect(page.locator(".row", has_text="ann")).to_be_visible()
        seen = await page.evaluate(CONTRAST)
        shot = await page.screenshot()
        (folder / f"cards-{size}-{scheme}.png").write_bytes(shot)
        if "WSRC_SCREENSHOT" in os.environ and (size, scheme) == ("wide", "light"):
            Path(os.environ["WSRC_SCREENSHOT"]).write_bytes(shot)
        across = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(across) == 0
        await page.locator(".row button:visible").first.click()
        seen += await page.evaluate(CONTRAST)
        await page.click("#dialog-cancel")
        await page.click(f".row .name >> text={UICC}")
        await expect(page.locator("#history")).to_contain_text("took")
        seen += await page.evaluate(CONTRAST)
        await page.screenshot(path=folder / f"card-{size}-{scheme}.png")
        assert await page.evaluate(across) == 0
        later = datetime.now(UTC) + timedelta(hours=1)
        await user.reserve(3600.0, iccid=UICC)
        await user.reserve(3600.0, begins=later, pick="any", tags={"card": "uicc"}, priority=3)
        await page.click("nav >> text=Reservations")
        await expect(page.locator("#reservations .row")).to_have_count(2)
        seen += await page.evaluate(CONTRAST)
        await page.screenshot(path=folder / f"reservations-{size}-{scheme}.png")
        assert await page.evaluate(across) == 0
    assert len(seen) > 40
    assert [each for each in seen if each[1] < 4.5] == []


async def test_a_tab_that_nobody_sees_rests(world: World, opened: tuple[Page, Seen]) -> None:
    page, _ = opened
    assert world.app._site is not None
    streams = world.app._site.desk._streams
    assert len(streams) == 1
    await page.clock.install()
    see = "document.dispatchEvent(new Event('visibilitychange'))"
    hide = "Object.defineProperty(document, 'hidden', {{ configurable: true, value: {} }});"
    await page.evaluate(hide.format("true") + see)
    await page.clock.fast_forward(31_000)
    await until(lambda: not streams)
    await world.host([uicc("8988211000000430099")], "other")
    await page.evaluate(hide.format("false") + see)
    await page.clock.resume()
    await expect(page.locator("#count")).to_have_text("3 readers")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")

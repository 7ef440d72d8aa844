"""The page at `/` in a real browser, beside a running connector."""

import json
import re
import signal

import pytest
from playwright.async_api import expect

from connector.cli.demo.kafka import first_bonds
from tests.page.chromium import violations

BONDS = first_bonds(5)
SAMPLE, SAMPLE_NAME = BONDS[0], "국고03250-5303(23-2)"
HIDE = (
    "Object.defineProperty(document, 'hidden', {configurable: true, get: () => %s});"
    " document.dispatchEvent(new Event('visibilitychange'))"
)
PRICE = re.compile(r"^\d{1,2},\d{3}(\.\d+)?$")
MOVED = re.compile(r"\S+ \S+ \S+")  # three points
MARKUP = "<img src=x onerror=alert(1)>"


def row(page, section, text):
    """Return the rows of a section that hold a text."""
    return page.locator(f"#{section} tbody tr").filter(has_text=text)


async def see(page, change):
    """Make the page see `/status` after `change`."""

    async def answer(route):
        response = await route.fetch()
        status = await response.json()
        change(status)
        await route.fulfill(response=response, body=json.dumps(status))

    await page.route("**/status", answer)


async def test_what_status_says_is_shown(connector, opened):
    """Session, bond, prices, sums, list and event appear within seconds."""
    connector.write("desk", {"instruments": BONDS})
    async with opened() as page:
        await expect(page.locator("#readiness")).to_have_text("Ready")
        await expect(row(page, "sessions", "Connected")).to_contain_text("5 of 41")
        bond = row(page, "instruments", SAMPLE)
        await expect(bond).to_contain_text("Active")
        await expect(bond.locator("td").nth(2)).to_have_text(PRICE)
        await expect(bond.locator("polyline")).to_have_attribute("points", MOVED)
        await expect(row(page, "lists", "desk")).to_contain_text("Accepted")
        await expect(row(page, "events", "Session up")).to_contain_text("slot 0")
        await expect(page.locator("#frames-verdict")).to_contain_text("holds")
        await expect(page.locator("#ticks-verdict")).to_contain_text("holds")
        await expect(page.locator("#frames dd").first).not_to_have_text("0")


async def test_a_price_is_shown_as_kis_sent_it(connector, opened):
    """Price, change, yield and volume show the last record's digits, only grouped."""
    connector.kis.rate = 0
    connector.write("desk", {"instruments": [SAMPLE]})
    await connector.until_state("ACTIVE", [SAMPLE])
    (record,) = await connector.kis.emit_ticks(SAMPLE)
    columns = record.split("^")
    async with opened() as page:
        cells = row(page, "instruments", SAMPLE).locator("td")
        await expect(cells.nth(2)).to_have_text(re.compile(r"\d"))
        shown = [text.replace(",", "") for text in await cells.all_text_contents()]
    assert shown[2] == columns[6]
    assert columns[4].lstrip("-") in shown[3]
    assert shown[4:7] == [columns[12], columns[7], columns[16]]
    assert shown[7].replace(":", "") == columns[2]


async def test_korean_names_are_marked_as_korean(connector, opened):
    """A bond's name is complete and marked as Korean for screen readers."""
    connector.write("desk", {"instruments": [SAMPLE]})
    async with opened() as page:
        name = row(page, "instruments", SAMPLE).get_by_text(SAMPLE_NAME, exact=True)
        await expect(name).to_have_attribute("lang", "ko")
        await expect(page.locator("html")).to_have_attribute("lang", "en")


async def test_a_subscription_change_appears_without_a_reload(connector, opened):
    """A bond comes and goes with its control record, and a refused one shows why."""
    async with opened() as page:
        await expect(page.locator("#instruments tbody")).to_contain_text("No bond is wanted")
        await page.evaluate("window.isTheSame = true")
        connector.write(SAMPLE, {})
        await expect(row(page, "instruments", SAMPLE)).to_contain_text("Active")
        await expect(page.locator("#announcements")).to_contain_text("is active")
        connector.write("desk", {"instruments": ["KR0000000000"]})
        await expect(row(page, "lists", "desk")).to_contain_text("Refused")
        await expect(row(page, "lists", "desk")).to_contain_text("KR0000000000")
        connector.write(BONDS[1], {})
        await expect(row(page, "instruments", BONDS[1])).to_contain_text("Active")
        connector.write(SAMPLE, None)
        await expect(row(page, "instruments", SAMPLE)).to_have_count(0)
        await expect(row(page, "instruments", BONDS[1])).to_have_count(1)
        connector.write(BONDS[1], None)
        await expect(page.locator("#instruments tbody")).to_contain_text("No bond is wanted")
        assert await page.evaluate("window.isTheSame")


async def test_a_connector_that_stopped_is_told_until_it_answers_again(connector, opened):
    """The page says in words when the connector stops answering and when it answers again."""
    async with opened() as page:
        await expect(page.locator("#connection")).to_have_text("Live")
        await connector.end()
        await expect(page.locator("#silence")).to_contain_text(
            "The connector does not answer (no connection). What is shown is from"
        )
        await expect(page.locator("#announcements")).to_contain_text("does not answer")
        await expect(page.locator("#connection")).to_have_text("Not answering")
        await expect(page.locator("#readiness")).to_have_text("Unknown")
        await connector.start()
        await expect(page.locator("#silence")).to_be_hidden()
        await expect(page.locator("#announcements")).to_contain_text("answers again")
        await expect(page.locator("#connection")).to_have_text("Live")
        page.complaints.expect_silence()


async def test_a_connector_that_hangs_is_told(connector, opened):
    """A connector that gives no answer for three seconds counts as not answering."""
    async with opened() as page:
        await expect(page.locator("#connection")).to_have_text("Live")
        connector.process.send_signal(signal.SIGSTOP)
        try:
            await expect(page.locator("#silence")).to_contain_text("no answer within 3 s")
        finally:
            connector.process.send_signal(signal.SIGCONT)
        await expect(page.locator("#silence")).to_be_hidden()


async def test_an_answer_that_cannot_be_shown_is_told_until_one_can(opened):
    """If an answer has an unknown form, the page says so and goes on asking."""
    async with opened() as page:
        await expect(page.locator("#connection")).to_have_text("Live")
        await see(page, lambda status: status["lists"].update(odd={"state": None}))
        await expect(page.locator("#silence")).to_contain_text("its answer cannot be shown")
        await expect(page.locator("#connection")).to_have_text("Not shown")
        await expect(page.locator("#readiness")).to_have_text("Unknown")
        async with page.expect_response("**/status"):
            pass
        await page.unroute("**/status")
        await expect(page.locator("#connection")).to_have_text("Live")
        await expect(page.locator("#silence")).to_be_hidden()
        page.complaints.clear()


async def test_a_hidden_tab_asks_nothing(connector, opened):
    """A hidden tab asks for nothing in ten seconds; shown again, it asks once a second."""
    async with opened() as page:
        await expect(page.locator("#connection")).to_have_text("Live")
        await page.clock.install()
        await page.reload()
        await expect(page.locator("#connection")).to_have_text("Live")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        await page.evaluate(HIDE % "true")
        await page.clock.run_for(10_000)
        assert asked == []
        await page.evaluate(HIDE % "false")
        async with page.expect_response("**/status"):
            await page.clock.run_for(1)
        async with page.expect_response("**/status"):
            await page.clock.run_for(1000)


async def test_a_tab_opened_in_the_background_asks_once(opened):
    """A tab that nobody has looked at shows its first answer and asks no further."""
    async with opened() as page:
        await page.clock.install()
        await page.add_init_script(HIDE % "true")
        asked = []
        page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/status") else None)
        await page.reload()
        await expect(page.locator("#identity")).to_contain_text("version")
        await page.clock.run_for(10_000)
        assert len(asked) == 1


async def test_status_is_the_only_source(connector, opened):
    """The page asks only the connector, and only for its own files and /status."""
    connector.write("desk", {"instruments": [SAMPLE]})
    async with opened() as page:
        await expect(page.locator("#connection")).to_have_text("Live")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        await page.reload()
        await expect(row(page, "instruments", SAMPLE)).to_contain_text("Active")
    base = f"http://127.0.0.1:{connector.port}/"
    assert set(asked) - {url for url in asked if url.startswith("data:")} == {
        base,
        f"{base}page.css",
        f"{base}page.js",
        f"{base}status",
    }


async def test_text_is_never_markup(connector, opened):
    """Names that look like markup are shown as they are."""
    connector.kis.rate = 0
    connector.write(MARKUP, {"instruments": [SAMPLE]})
    await connector.until_state("ACTIVE", [SAMPLE])
    (record,) = await connector.kis.emit_ticks(SAMPLE)
    await connector.kis.emit(f"0|H0BJCNT0|001|{record.replace(SAMPLE_NAME, MARKUP)}")
    async with opened() as page:
        await expect(row(page, "instruments", SAMPLE).locator("th")).to_contain_text(MARKUP)
        await expect(row(page, "lists", MARKUP)).to_have_count(1)
        assert await page.locator("img").count() == 0


@pytest.mark.parametrize(
    ("part", "figure", "by", "verdict"),
    [
        ("frames", "finished", 1, "The sum is off by -1."),
        ("frames", "received", 2, "The sum is off by 2."),
        ("ticks", "acknowledged", 1, "The sum is off by -1."),
    ],
)
async def test_a_sum_that_is_off_is_told(opened, part, figure, by, verdict):
    """A sum that is off shows its difference until it holds again."""
    async with opened() as page:
        await expect(page.locator(f"#{part}-verdict")).to_have_text("✓ The sum holds.")
        await see(page, lambda status: status[part].update({figure: status[part][figure] + by}))
        await expect(page.locator(f"#{part}-verdict")).to_have_text(f"✗ {verdict}")
        await expect(page.locator(f"#{part}-verdict")).to_have_class("verdict bad")
        await page.unroute("**/status")
        await expect(page.locator(f"#{part}-verdict")).to_have_text("✓ The sum holds.")


async def test_a_negative_count_is_told(opened):
    """A sum that only a negative count makes right does not count as right."""
    async with opened() as page:
        await see(
            page, lambda status: status["ticks"].update(acknowledged=status["ticks"]["decoded"] + 3, in_flight=-3)
        )
        await expect(page.locator("#ticks-verdict")).to_have_text("✗ In flight is negative.")


async def test_a_foreign_script_does_not_run(opened):
    """The page's policy stops a script that was put into the document."""
    async with opened() as page:
        await page.evaluate(
            "document.body.append("
            "Object.assign(document.createElement('script'), {textContent: 'window.isForeign = true'}))"
        )
        assert await page.evaluate("window.isForeign") is None
        assert any("Content Security Policy" in text for text in page.complaints)
        page.complaints.clear()


async def test_each_table_says_what_it_holds(connector, opened):
    """Each table has a caption; each header cell heads a column or a row."""
    connector.write("desk", {"instruments": [SAMPLE]})
    async with opened() as page:
        await expect(row(page, "instruments", SAMPLE)).to_contain_text("Active")
        tables = await page.locator("table").all()
        assert len(tables) == 4
        for table in tables:
            assert await table.locator("caption").text_content()
            assert await table.locator("thead th[scope=col]").count() == await table.locator("thead th").count() > 0
            assert await table.locator("tbody th[scope=row]").count() == await table.locator("tbody th").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(connector, opened, scheme):
    """axe-core finds no violation, light or dark, in good and bad states, answering or not."""
    connector.write("desk", {"instruments": BONDS})
    connector.write("wrong", b"{")
    async with opened(color_scheme=scheme) as page:
        await expect(row(page, "instruments", SAMPLE).locator("polyline")).to_have_attribute("points", MOVED)
        await expect(row(page, "lists", "wrong")).to_contain_text("Refused")
        assert await violations(page) == {}
        await connector.end()
        await expect(page.locator("#silence")).to_be_visible()
        assert await violations(page) == {}
        page.complaints.expect_silence()


async def test_light_and_dark_differ(opened):
    """The page follows the reader's colour scheme."""
    colours = {}
    for scheme in ("light", "dark"):
        async with opened(color_scheme=scheme) as page:
            colours[scheme] = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colours == {"light": "rgb(244, 246, 249)", "dark": "rgb(16, 21, 28)"}


async def test_the_keyboard_reaches_everything(connector, opened):
    """Tab reaches the skip link, then every link, table and slot, with a visible focus."""
    connector.write("desk", {"instruments": [SAMPLE]})
    async with opened() as page:
        await expect(page.locator("#sessions summary")).to_have_text("1 of 41")
        await expect(row(page, "events", "Session up")).to_have_count(1)
        wanted = await page.locator("a[href], summary, [tabindex='0']").count()
        reached = []
        for _ in range(wanted):
            await page.keyboard.press("Tab")
            reached.append(
                await page.evaluate(
                    """() => { const at = document.activeElement; const style = getComputedStyle(at);
                    return [at.outerHTML.slice(0, 60), style.outlineStyle, at.getBoundingClientRect().left >= 0] }"""
                )
            )
        assert len({html for html, _, _ in reached}) == wanted
        assert "Skip to the content" in reached[0][0]
        assert all(outline == "solid" and is_in_view for _, outline, is_in_view in reached)
        await page.locator("#sessions summary").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#sessions details")).to_contain_text(SAMPLE_NAME)


async def test_the_skip_link_leads_to_the_content(opened):
    """Enter on the skip link moves the focus past the navigation."""
    async with opened() as page:
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.closest('section')?.id") == "sessions"


async def test_a_narrow_window_scrolls_one_way_only(connector, opened):
    """At 320 pixels, or four times the zoom, only the tables scroll sideways."""
    connector.write("desk", {"instruments": BONDS})
    async with opened(viewport={"width": 320, "height": 640}) as page:
        await expect(row(page, "instruments", SAMPLE).locator("polyline")).to_have_attribute("points", MOVED)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320

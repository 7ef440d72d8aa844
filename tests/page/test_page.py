"""The page at `/` in a real browser, beside a running connector."""

import json
import re
import signal

import pytest
from playwright.async_api import expect

from connector.cli.demo.kafka import first_bonds
from connector.packaged_files import SCRIPTS
from tests.page.chromium import violations

BONDS = first_bonds(5)
SAMPLE, SAMPLE_NAME = BONDS[0], "국고03250-5303(23-2)"
ONE_TOO_MANY = "KR600593GA13"
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
        await expect(bond.locator("td").first).to_have_text(PRICE)
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
        await expect(cells.first).to_have_text(re.compile(r"\d"))
        shown = [text.replace(",", "") for text in await cells.all_text_contents()]
    assert shown[0] == columns[6]
    assert columns[4].lstrip("-") in shown[2]
    assert shown[3:6] == [columns[12], columns[7], columns[16]]
    assert shown[6].replace(":", "") == columns[2]


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
        *(f"{base}{name}" for name in SCRIPTS),
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
        assert len(tables) == 5
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
    """Tab reaches the skip link, then every link, table, heading and slot, with a visible focus."""
    connector.write("desk", {"instruments": [SAMPLE]})
    async with opened() as page:
        await expect(page.locator("#sessions summary")).to_have_text("1 of 41")
        await expect(row(page, "events", "Session up")).to_have_count(1)
        focusable = "a[href], button, input, summary, [tabindex='0']"
        wanted = await page.locator(focusable).filter(visible=True).count()
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


@pytest.mark.parametrize("width", [320, 390])
async def test_name_and_price_are_in_view_on_a_telephone(connector, opened, width):
    """A narrow window shows name and price of each bond, few lines high, without scrolling."""
    connector.write("desk", {"instruments": BONDS})
    async with opened(viewport={"width": width, "height": 800}) as page:
        bond = row(page, "instruments", SAMPLE)
        await expect(bond.locator("td").first).to_have_text(PRICE)
        for cell in (bond.locator("th"), bond.locator("td").first):
            box = await cell.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["height"] < 100


async def test_a_long_state_is_in_view_on_a_telephone(connector, opened):
    """A narrow window shows the words of a bond's state whole, without scrolling."""
    connector.write("desk", {"instruments": BONDS})
    async with opened(viewport={"width": 390, "height": 800}) as page:
        await expect(row(page, "instruments", SAMPLE).locator("td").first).to_have_text(PRICE)
        await see(page, want_one_too_many)
        state = row(page, "instruments", ONE_TOO_MANY).locator(".state")
        await expect(state).to_have_text("Waiting capacity")
        right = "element => element.getBoundingClientRect().right"
        table = page.locator(".scroll", has=page.locator("#instrument-rows"))
        assert await state.evaluate(right) <= await table.evaluate(right)


def want_one_too_many(status):
    """Add a bond that waits for a place, and of which no tick gave a name."""
    status["instruments"][ONE_TOO_MANY] = status["instruments"][SAMPLE] | {"state": "WAITING_CAPACITY"}


async def test_a_reader_finds_and_sorts_bonds(connector, opened):
    """Words narrow the rows down; a heading sorts up, sorts down, and gives the order back."""
    connector.write("desk", {"instruments": BONDS})
    async with opened() as page:
        bonds = page.locator("#instrument-rows tr")
        await expect(bonds).to_have_count(len(BONDS))
        await page.fill("#instruments-find", f"{SAMPLE.lower()} active")
        await expect(bonds).to_have_count(1)
        await expect(page.locator("#instruments-summary")).to_contain_text("1 shown")
        await page.fill("#instruments-find", "none such")
        await expect(bonds).to_have_text("No bond is like that.")
        await page.fill("#instruments-find", "")
        await expect(bonds).to_have_count(len(BONDS))
        volumes = page.locator("#instrument-rows td:nth-of-type(6)")
        await expect(volumes.filter(has_text="–")).to_have_count(0, timeout=30_000)  # each bond was traded
        connector.kis.rate = 0
        await connector.until_delivered()
        orders = []
        for order in ("ascending", "descending", None):
            await page.get_by_role("button", name="Day’s volume").click()
            assert await page.locator("#instruments th", has_text="Day’s volume").get_attribute("aria-sort") == order
            cells = await volumes.all_text_contents()
            orders.append([int(text.replace(",", "")) for text in cells])
        assert orders[0] == sorted(orders[0])
        assert orders[1] == sorted(orders[1], reverse=True)


async def test_three_hundred_bonds_leave_lists_and_events_within_reach(connector, opened):
    """The instruments scroll in their own table, so that the page stays short."""
    connector.write("desk", {"instruments": BONDS[:1]})
    async with opened() as page:
        await expect(row(page, "instruments", SAMPLE)).to_contain_text("Active")
        await see(page, multiply)
        await expect(page.locator("#instrument-rows tr")).to_have_count(300)
        assert await page.evaluate("document.documentElement.scrollHeight") < 2500


def multiply(status):
    """Make three hundred bonds of the first one."""
    (record,) = status["instruments"].values()
    status["instruments"] = {f"KR{number:010}": record for number in range(300)}


async def test_speed_and_latency_are_shown(connector, opened):
    """The page shows ticks a second and the latency that 99 of 100 ticks stayed below."""
    connector.write("desk", {"instruments": BONDS})
    async with opened() as page:
        facts = page.locator("#facts")
        await expect(facts).to_contain_text(re.compile(r"Ticks a second, last minute[1-9]\d*\.\d"))
        await expect(facts).to_contain_text(re.compile(r"p99 of the last minutebelow [\d.]+ m?s"))


async def test_nothing_is_green_while_nothing_answers(connector, opened):
    """When the connector stops answering, rows lose the colour of what may be untrue by now."""
    connector.write("desk", {"instruments": [SAMPLE]})
    async with opened() as page:
        lamp = row(page, "instruments", SAMPLE).locator(".state")
        await expect(lamp).to_have_text("Active")
        colour = "element => getComputedStyle(element).backgroundColor"
        green = await lamp.evaluate(colour)
        await connector.end()
        await expect(page.locator("#silence")).to_be_visible()
        assert await lamp.evaluate(colour) != green
        assert await page.locator(".lamp.good").count() == 0
        page.complaints.expect_silence()


async def test_dead_letters_by_reason_add_up(opened):
    """Reasons of records add up to the dead letters of the sum; those of frames stand apart."""
    letters = {"FIELD_VALUE": 2, "KAFKA_TOO_LARGE": 3, "FRAME_ARITY": 4}
    async with opened() as page:
        await see(page, lambda status: status["ticks"].update(dead_letters=letters))
        await expect(page.locator("#ticks")).to_contain_text("dead letters5")
        facts = page.locator("#facts")
        await expect(facts).to_contain_text("FIELD_VALUE 2 + KAFKA_TOO_LARGE 3 = 5")
        await expect(facts).to_contain_text("Dead letters of whole framesFRAME_ARITY 4")


async def test_a_frozen_kafka_is_a_warning(opened):
    """If frames wait and none is finished for a while, a warning says so beside "Ready"."""
    async with opened() as page:
        await see(page, lambda status: status["frames"].update(received=9, finished=2, pending=7))
        await expect(page.locator("#troubles")).to_contain_text(
            re.compile(r"Nothing was acknowledged for \d+ seconds, and 7 frames waited: look at Kafka")
        )
        await expect(page.locator("#readiness")).to_have_text("Ready, with a warning")
        await page.unroute("**/status")
        await expect(page.locator("#troubles")).to_be_hidden()
        await expect(page.locator("#readiness")).to_have_text("Ready")

"""`kis-bond coverage`: what of each bond's volume on a date the ticks account for."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, date, datetime
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from connector.cli import completion, coverage_topic
from connector.cli.options import Config, Json, load_settings
from connector.cli.output import cell, console, print_json
from connector.core import seoul_time
from connector.core.bonds import isin as bond_isin
from connector.core.coverage import dates
from connector.core.coverage.overview import (
    NO_RECORD,
    STATES,
    Row,
    is_lacking,
    is_wanted,
    missing_of,
    rows,
    total,
    wanted,
)
from connector.core.coverage.readable import COUNTS
from connector.core.phrase import named
from connector.core.printable import printable
from connector.core.status import decode
from connector.errors import NotInTime, RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.settings import Settings

EXAMPLES = "Examples: kis-bond coverage | kis-bond coverage --date 2026-09-11 --missing | kis-bond coverage --strict"
STYLES = {"COMPLETE": "green", "OPEN": "", "HOLES": "bold red", "UNPROVEN": "yellow", "ABSENT": "yellow"}
HEADING = f"{'instrument':<12}  {'state':<8}  {'covered':>15} / {'total':>15}  {'%':>6}  note"
FIRST_DATE = date(2000, 1, 1)
BY_TICKS = "nothing after the last trade is excluded"
CSV_FIELDS = ("instrument", "trade_date", "state", "reason", *COUNTS, "open_holes", "checked_at", "checked_by")


def coverage(
    context: typer.Context,
    *,
    day: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="The trade date. Default: today in Seoul.")
    ] = None,
    isin: Annotated[
        list[str] | None,
        typer.Option(
            "--isin", metavar="ISIN", autocompletion=completion.isins, help="Only this bond; may be repeated."
        ),
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Only bonds that are not complete.")] = False,
    to_csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the rows to this file, too.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with 5 if anything is missing, unproven, absent or unfinished.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show for each bond how much of its day's volume the ticks cover, and what is missing."""
    now = datetime.now(UTC)
    wrong = [fault for each in isin or [] if (fault := bond_isin.fault(each))]
    if wrong:
        raise RequestMalformed("\n".join(wrong))
    trade_date, today = _date(day, now), now.astimezone(seoul_time.SEOUL).date()
    settings = load_settings(context, config)
    found, reading = asyncio.run(_read(settings, trade_date, frozenset(isin or ()), round(now.timestamp() * 1000)))
    shown = [row for row in found if not missing or row.value["state"] != "COMPLETE"]
    sums = total(found) | {"trade_date": trade_date.isoformat(), "auditor_behind": reading.is_behind}
    if to_csv is not None:
        _write_csv(to_csv, shown, trade_date)
    if as_json:
        _print_json(shown, sums)
    else:
        _print(shown, sums, reading)
    lacking = [row.instrument for row in found if is_lacking(row, trade_date, today)]
    if strict and (lacking or reading.is_behind):
        raise NotInTime(_complaint(lacking, trade_date, is_behind=reading.is_behind))


def _date(text: str | None, now: datetime) -> date:
    if text is None:
        return now.astimezone(seoul_time.SEOUL).date()
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise RequestMalformed(f"--date: {printable(text)} is not a date: give it as YYYY-MM-DD.") from None
    if found < FIRST_DATE:
        raise RequestMalformed(f"--date: {found} is before {FIRST_DATE}: KIS had no feed then.")
    return found


async def _read(
    settings: Settings, trade_date: date, isins: frozenset[str], now_ms: int
) -> tuple[list[Row], coverage_topic.Reading]:
    # Imported only here, so that `--help` need not load the Kafka client and the calendar.
    from connector.cli import kafka_access
    from connector.core.market_calendar import is_trading_day

    reading, status = await asyncio.gather(
        coverage_topic.read(settings, trade_date, now_ms), kafka_access.read(settings, settings.topics.status)
    )
    records = {key: decode(record.value or b"") or {} for key, record in status.items()}
    # A closed day has no trades, so that no record of it is missed.
    expected = (wanted(records, trade_date) if is_trading_day(trade_date) else set()) | isins
    found = rows(reading.values, expected | reading.unreadable)
    return [row for row in found if not isins or row.instrument in isins], reading


def _print_json(shown: Sequence[Row], sums: dict[str, Any]) -> None:
    for row in shown:
        print_json({"instrument": row.instrument, **row.value})
    print_json({"sum": sums})


def _print(shown: Sequence[Row], sums: dict[str, Any], reading: coverage_topic.Reading) -> None:
    out = console()
    out.print(Text(HEADING, style="dim"))
    for row in shown:
        out.print(_line(row))
        for hole in row.holes:
            out.print(Text(_hole_line(hole), style="red" if is_wanted(hole) else "dim"))
    states = ", ".join(f"{count} {state}" for state in STATES if (count := sums["states"][state]))
    covered, volume = sums["covered_volume"], sums["accumulated_volume"] - sums["unwanted_volume"]
    out.print(f"{sums['bonds']:,} bonds" + (f": {states}" if states else ""))
    out.print(f"covered {covered:,} of the {volume:,} that were wanted ({_percent(covered, volume)} %)")
    out.print(f"missing {sums['missing_volume']:,}; traded before anybody asked {sums['unwanted_volume']:,}")
    if any(_checked_by(row) == "ticks" and row.value["state"] == "COMPLETE" for row in shown):
        out.print(f"by ticks: KIS was not asked for the day's volume, so {BY_TICKS}")
    for isin in sorted(reading.unreadable):
        out.print(Text(f"the record of {cell(isin)} cannot be read", style="yellow"))
    if reading.is_behind:
        out.print(Text("the auditor is more than 60 s behind the ticks, or is not running", style="bold red"))


def _line(row: Row) -> Text:
    value = row.value
    covered, volume = value["covered_volume"], value["accumulated_volume"]
    percent = _percent(covered, volume - value["unwanted_volume"])
    figures = (
        f"{covered:>15,} / {volume:>15,}  {percent:>6}"
        if value is not NO_RECORD
        else f"{'-':>15} / {'-':>15}  {'-':>6}"
    )
    note = value["reason"] or (f"by {_checked_by(row)}" if value["state"] == "COMPLETE" else "")
    state = Text(f"{value['state']:<8}", style=STYLES[value["state"]])
    return Text.assemble(f"{cell(row.instrument):<12}  ", state, f"  {figures}  {cell(str(note))}".rstrip())


def _hole_line(hole: dict[str, Any]) -> str:
    since, until = (_clock(hole[side]) for side in ("after", "before"))
    lacking, size = missing_of(hole), hole["to_volume"] - hole["from_volume"]
    part = f"{lacking:,}" if lacking == size else f"{lacking:,} of {size:,}"
    confirmed = ", KIS confirms" if hole["state"] == "CONFIRMED" else ""
    return f"  {since} to {until} KST {part} missing: {cell(hole['cause'] or 'just found')}{confirmed}"


def _clock(side: Any) -> str:
    """Return the time in Seoul of a hole's neighbour; the day's start and end have none."""
    at_ms = dates.parsed_ms(side.get("traded_at")) if side else None
    return "--:--:--" if at_ms is None else datetime.fromtimestamp(at_ms // 1000, seoul_time.SEOUL).strftime("%H:%M:%S")


def _percent(covered: int, volume: int) -> str:
    """Return the share in percent, rounded down: only what is complete is 100.00."""
    if volume <= 0:
        return "-"
    hundredths = covered * 10_000 // volume
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def _checked_by(row: Row) -> str | None:
    checked = row.value.get("checked") or {}
    return str(checked.get("by")) if checked else None


def _write_csv(path: Path, shown: Sequence[Row], trade_date: date) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, CSV_FIELDS, extrasaction="ignore")
    writer.writeheader()
    for row in shown:
        checked = row.value.get("checked") or {}
        own = {
            "instrument": row.instrument,
            "trade_date": trade_date.isoformat(),
            "open_holes": len(row.holes),
            "checked_at": checked.get("at"),
            "checked_by": checked.get("by"),
        }
        writer.writerow({**row.value, **own})
    try:
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
    except OSError as error:
        raise RequestMalformed(f"--csv: {printable(str(path))} could not be written: {error.strerror}.") from None


def _complaint(lacking: Sequence[str], trade_date: date, *, is_behind: bool) -> str:
    parts = []
    if lacking:
        parts.append(f"The ticks of {trade_date} are not proven complete for {named(lacking)}.")
    if is_behind:
        parts.append("The auditor is more than 60 s behind the ticks, or is not running.")
    return "\n".join(parts)

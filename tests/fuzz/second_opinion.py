"""A second reading of frames, from the contract alone: slow, naive, sharing no line of code."""

from decimal import Decimal

DIGITS = "0123456789"
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DOCUMENTED, MOST = 19, 37

# Wire order, as on KIS's portal: text, ISIN, time, decimal or volume; `?`: may be empty.
KINDS = {
    "STND_ISCD": "isin",
    "BOND_ISNM": "text?",
    "STCK_CNTG_HOUR": "time",
    "PRDY_VRSS_SIGN": "text?",
    "PRDY_VRSS": "decimal?",
    "PRDY_CTRT": "decimal?",
    "STCK_PRPR": "decimal",
    "CNTG_VOL": "volume",
    "STCK_OPRC": "decimal?",
    "STCK_HGPR": "decimal?",
    "STCK_LWPR": "decimal?",
    "STCK_PRDY_CLPR": "decimal?",
    "BOND_CNTG_ERT": "decimal?",
    "OPRC_ERT": "decimal?",
    "HGPR_ERT": "decimal?",
    "LWPR_ERT": "decimal?",
    "ACML_VOL": "volume",
    "PRDY_VOL": "volume?",
    "CNTG_TYPE_CLS_CODE": "text?",
}


def frame(raw, *, binary=False):  # noqa: PLR0911 - a return for each reason
    """Return a plain frame's records, each a list of columns, or the reason it has none."""
    if binary:
        return "FRAME_KIND"
    parts = raw.split(b"|", 3)
    if not all(_is_utf8(part) for part in parts[:3]):
        return "FRAME_NOT_UTF8"
    if len(parts) != 4:
        return "FRAME_HEADER"
    flag, tr_id, count = (part.decode() for part in parts[:3])
    if flag != "0" and flag != "1":  # noqa: PLR1714 - as the contract says it
        return "FRAME_FLAG"
    if tr_id != "H0BJCNT0":
        return "FRAME_TR"
    number = _counted(count)
    if not 1 <= number <= 999:
        return "FRAME_COUNT"
    return "DECRYPT" if flag == "1" else records(parts[3], number)


def records(payload, number):
    """Return the records of a payload, each a list of columns as bytes, or FRAME_ARITY."""
    columns = payload.split(b"^")
    fewer = len(columns) - 1
    if columns[-1] == b"" and fewer % number == 0 and DOCUMENTED <= fewer // number <= MOST:
        columns = columns[:-1]
    if len(columns) % number != 0 or not DOCUMENTED <= len(columns) // number <= MOST:
        return "FRAME_ARITY"
    each = len(columns) // number
    found = []
    while columns:
        record, columns = columns[:each], columns[each:]
        while len(record) > DOCUMENTED and record[-1] == b"":
            record = record[:-1]
        found.append(record)
    return found


def record(columns):
    """Return a record's values by column, or (reason, column) of its first bad column."""
    for (name, kind), raw in zip(KINDS.items(), columns, strict=False):
        if kind != "text?" and not _is_utf8(raw):
            return "FIELD_NOT_UTF8", name
    values = {}
    for (name, kind), raw in zip(KINDS.items(), columns, strict=False):
        text = _text(raw)
        if text == "":
            if not kind.endswith("?"):
                return "FIELD_EMPTY", name
            values[name] = None
            continue
        value = {"isin": _isin, "time": _time, "text": str, "decimal": _decimal, "volume": _volume}[kind.rstrip("?")](
            text
        )
        if isinstance(value, str) and value.startswith("FIELD_") and kind.rstrip("?") != "text":
            return value, name
        values[name] = value
    return values


def extra(columns):
    """Return the texts of a record's columns after the documented ones."""
    return [_text(raw) for raw in columns[DOCUMENTED:]]


def _is_utf8(raw):
    return raw == raw.decode("utf-8", "ignore").encode()


def _text(raw):
    """Return a text as UTF-8, else as CP949, else empty; it fits if it can be written back."""
    for encoding in ("utf-8", "cp949"):
        text = raw.decode(encoding, "replace")
        if "\ufffd" not in text or (encoding == "utf-8" and _is_utf8(raw)):
            return text
    return ""


def _counted(text):
    if text == "":
        return 0
    number = 0
    for character in text:
        if character not in DIGITS:
            return 0
        number = min(number * 10 + DIGITS.index(character), 1000)
    return number


def _only(text, allowed):
    return all(character in allowed for character in text)


def is_isin(text):
    """Return whether a text has the shape of an ISIN."""
    return (
        len(text) == 12
        and _only(text[:2], CAPITALS)
        and _only(text[2:11], CAPITALS + DIGITS)
        and _only(text[11], DIGITS)
    )


def _isin(text):
    return text if is_isin(text) else "FIELD_ISIN"


def _time(text):
    fits = len(text) == 6 and _only(text, DIGITS) and int(text[:2]) < 24 and int(text[2:4]) < 60 and int(text[4:]) < 60
    return text if fits else "FIELD_TIME"


def _decimal(text):
    whole, point, fraction = text.removeprefix("-").partition(".")
    if not whole or not _only(whole + fraction, DIGITS) or (point and not fraction):
        return "FIELD_NUMBER"
    while fraction.endswith("0"):
        fraction = fraction[:-1]
    return "FIELD_RANGE" if len(whole) > 14 or len(fraction) > 4 else Decimal(text)


def _volume(text):
    digits = text.removeprefix("-")
    if not digits or not _only(digits, DIGITS):
        return "FIELD_NUMBER"
    return "FIELD_RANGE" if digits != text or len(digits) > 18 else int(text)

"""A text is read in every way in which a peer may have spelled it, and mapped back."""

import base64
import html
import json
import quopri
import sys
import unicodedata
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.core.printable import printable
from connector.logs.redaction import HIDDEN, Redactor
from connector.logs.spellings import forms, views
from tests.cpu_time import TRIES, cpu_seconds

APPROVAL = "0123abcd-4567-89ef-0123-456789abcdef"
APP_SECRET = ("qX7+dE0123456789+/" * 10)[:178] + "=="
SECRETS = (
    APPROVAL,
    APP_SECRET,
    "p@ss w0rd/+&<9>",
    "암호암호암호9",
    "3d2f-canary",
    "quo\"te\\sew'ry",
    "😀-emoji-pass",
    "four word pass phrase",
)
GAPS = (
    "\n",
    "\r\n",
    "\r",
    "\r\n    ",
    " \n ",
    "\u2028",
    "\t",
    "\u200b",
    "\xad",
    "\ufeff",
    "\x00",
    "\x1b[0m",
    "\x1b[1;31m",
)
BREAKS_OF_MARKUP = (
    "<br>",
    "<br/>",
    "<wbr>",
    "&shy;",
    "&#8203;",
    "\\n",
    "\\r\\n",
    "%0D%0A",
    "\\u200b",
    "U+200B",
    "=\r\n",
    "=0A=\n",
    "=0D=0A=\r\n",
    "=0D=0A",
)
ENCODINGS = {
    "URL": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "each byte percent-encoded": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "JSON with escaped slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON with escaped dashes": lambda text: json.dumps(text)[1:-1].replace("-", "\\u002D"),
    "full width": lambda text: text.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)}),
    "dashes that keep lines together": lambda text: text.replace("-", "\u2011"),
    "marked up": lambda text: f"{text[:4]}</b><wbr><b>{text[4:]}",
    "HTML": html.escape,
    "HTML in HTML": lambda text: html.escape(html.escape(text)),
    "each character as HTML": lambda text: "".join(f"&#x{ord(character):X};" for character in text),
    "JSON of a URL": lambda text: json.dumps(quote(text, safe=""))[1:-1],
    "HTML of JSON": lambda text: html.escape(json.dumps(text)[1:-1]),
    "Python's repr": lambda text: repr(text)[1:-1],
    "Python's repr of bytes": lambda text: repr(text.encode())[2:-1],
    "Rust's escapes": lambda text: "".join(f"\\u{{{ord(character):x}}}" for character in text),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()).decode(),
    "all quoted-printable": lambda text: "".join(f"={byte:02X}" for byte in text.encode()),
    "base64": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hexadecimal": lambda text: text.encode().hex(),
    "capital hexadecimal": lambda text: text.encode().hex().upper(),
    "hexadecimal with colons": lambda text: text.encode().hex(":"),
    "hexadecimal with blanks": lambda text: text.encode().hex(" ").upper(),
    "hexadecimal with dashes": lambda text: text.encode().hex("-"),
}


def cleaned(secret, text):
    """Return the text as a redactor shows it that knows the secret."""
    redactor = Redactor()
    redactor.hide(secret)
    return redactor.clean(text)


def wrapped(text, gap, width):
    """Return the text with a gap after each `width` characters."""
    return gap.join(text[start : start + width] for start in range(0, len(text), width))


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("around", ["x {} y", "approval_key={}&x=1", '{{"message": "{}"}}', "<p>{}</p>"])
def test_an_encoded_secret_is_hidden(secret, encoding, around):
    """A secret is hidden however the text is encoded, and nothing around it is."""
    before, after = around.format("\0").split("\0")
    text = cleaned(secret, before + ENCODINGS[encoding](secret) + after)
    assert text.replace("=", "") == (before + HIDDEN + after).replace("=", "")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("gap", [*GAPS, *BREAKS_OF_MARKUP])
@pytest.mark.parametrize("width", [5, 7, 76])
def test_a_split_secret_is_hidden(secret, gap, width):
    """A secret is hidden though breaks of lines or invisible characters split it."""
    assert cleaned(secret, f"x {wrapped(secret, gap, width)} y") == f"x {HIDDEN} y"


INVISIBLE = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in {"Cf", "Zs"}]


@pytest.mark.parametrize("spell", [str, printable, lambda gap: f"&#x{ord(gap):X};", lambda gap: json.dumps(gap)[1:-1]])
def test_no_invisible_character_shows_a_split_secret(spell):
    """Unicode's format characters and its blanks, but the ordinary one, split no known secret."""
    secret = "canary-Passw0rd"
    redactor = Redactor()
    redactor.hide(secret)
    shown = [gap for gap in INVISIBLE if gap != " " and redactor.clean(wrapped(secret, spell(gap), 6)) != HIDDEN]
    assert shown == []


@pytest.mark.parametrize("secret", ["Caf^e_Pass|w0rd`x", "ÀÉ-Passwörd-µ", "½-of-the-secret∰"])
def test_html_names_a_character_with_capitals(secret):
    """A secret is hidden though names of HTML stand for its characters, whatever their case."""
    names = {text: name for name, text in html.entities.html5.items() if name.endswith(";") and not name.islower()}
    names = {text: name for name, text in html.entities.html5.items() if name.endswith(";")} | names
    text = "".join(f"&{names[each]}" if each in names else each for each in secret)
    assert text != secret
    for spelled in (text, quote(text), html.escape(text)):
        assert cleaned(secret, f"x {spelled} y") == f"x {HIDDEN} y"


@pytest.mark.parametrize(
    "gap", ["&nbsp;", "&NewLine;", "&Tab;", "&ZeroWidthSpace;", "&NoBreak;", "&shy;", "&ThinSpace;"]
)
def test_a_secret_that_html_splits_is_hidden(gap):
    """A character of HTML that shows nothing splits no secret."""
    assert cleaned(APPROVAL, f"x {wrapped(APPROVAL, gap, 9)} y") == f"x {HIDDEN} y"


@pytest.mark.parametrize(
    "secret", ["Pässwörd-Größe77", "Пароль-Ключ", "ΚΩΔΙΚΟΣ-σύμβολος", "Ｐassword-ÉÅŁ", "ĳssel-ǆ-ﬁx"]
)
@pytest.mark.parametrize("spell", [str.upper, str.lower, str.title, str.swapcase, lambda text: quote(text.upper())])
def test_a_secret_in_capitals_of_any_script_is_hidden(secret, spell):
    """Capitals of other letters than ASCII's are recognised, too."""
    assert cleaned(secret, f"x {spell(secret)} y") == f"x {HIDDEN} y"


@pytest.mark.parametrize("encoding", ["URL", "JSON", "HTML", "base64", "hexadecimal", "each character as HTML"])
@pytest.mark.parametrize("gap", GAPS)
def test_an_encoded_secret_in_wrapped_lines_is_hidden(encoding, gap):
    """A break may also split an escape."""
    assert (
        cleaned(APP_SECRET, f"x {wrapped(ENCODINGS[encoding](APP_SECRET), gap, 20)} y").replace("=", "")
        == f"x {HIDDEN} y"
    )


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("before", ["user:", "us:", "u:"])
@pytest.mark.parametrize("after", ["", "@", "@host"])
def test_a_secret_inside_base64_is_hidden(secret, before, after):
    """Base64 of `user:password` is no base64 of the password, but has its inner characters."""
    text = base64.b64encode(f"{before}{secret}{after}".encode()).decode()
    shown = cleaned(secret, text)
    assert HIDDEN in shown
    assert len(shown) - len(HIDDEN) <= 4 * (len(before) + len(after)) / 3 + 8


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("width", [3, 7, 20])
def test_a_break_inside_an_escape_of_json_is_undone_first(gap, width):
    """Where a break splits an escape, its first half is not taken for another one."""
    assert cleaned(APPROVAL, f"x {wrapped(APPROVAL.replace('-', chr(92) + 'u002d'), gap, width)} y") == f"x {HIDDEN} y"


def test_a_split_secret_that_was_cut_off_at_the_end_of_a_line_is_hidden():
    """Where the lines are joined, the end of a line is still where a text may be cut off."""
    shown = cleaned(APPROVAL, f"bad {APPROVAL[:5]}\u200b{APPROVAL[5:20]}\nnext line")
    assert shown == f"bad {HIDDEN}\nnext line"


@pytest.mark.parametrize("cut", ["%2", "%", "&#x2", "&amp", "\\u00", "\\", "="])
def test_half_an_escape_does_not_hide_that_a_secret_was_cut_off(cut):
    """The start of a secret is hidden where a text ends, even inside an escape."""
    shown = cleaned(APPROVAL, f'{{"m": "invalid approval : {quote(APPROVAL[:20])}{cut}", "n": 1}}')
    assert APPROVAL[:8] not in shown
    assert shown.startswith('{"m": "invalid approval : ****')


@pytest.mark.parametrize("gap", GAPS)
def test_a_split_secret_stays_hidden_where_the_text_was_made_printable(gap):
    """A text that was shown before the secret was known is hidden afterwards."""
    assert APPROVAL[-6:] not in cleaned(APPROVAL, printable(f"x {wrapped(APPROVAL, gap, 12)} y"))


@pytest.mark.parametrize(
    "text",
    [
        f"x {APPROVAL.replace('-', '%2D')} y",
        f"x {wrapped(APPROVAL, chr(0x200B), 9)} y",
        "{\\u0022secretkey\\u0022:\\u0022canary\\u0022}",
        "{&quot;secretkey&quot;: &quot;canary&quot;}",
        "%22appkey%22%3A%22canary%22",
        "password\\u003dcanary",
        "secret%3Dcanary next",
        "secret%253Dcanary",
        "t\u200boken=canary",
        "t&shy;oken: canary, next",
        "pass\u200bword=cana\u200bry",
        "token&#61;canary",
        "token&equals;canary<br>next",
        "https://kis.example/?x=1%26token%3Dcanary%26y",
    ],
)
def test_an_unknown_secret_is_hidden_in_another_spelling(text):
    """A shape is recognised in every reading of the text."""
    shown = Redactor().clean(text)
    assert HIDDEN in shown
    assert "canary" not in shown
    assert "4567" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "invalid token\nexpired",
        *("password:\nchange it", "password:\u200b\nchange", "password:\\nchange"),
        *("password:<br>change it", "password:&lt;br&gt;change", "token%3A%0Achange", "token:&#10;change"),
        *("password%3A%20change%20it", "the token&colon; &apos;&semi;&apos; there"),
        "a%20b%C3%A9 &amp; \\u00e9 =C3=A9 x",
    ],
)
def test_words_of_joined_lines_stay(text):
    """What ends a line announces nothing of the next."""
    assert Redactor().clean(text) == text


def test_a_value_ends_with_its_line():
    """The line after a value stays, though the escapes of both are undone."""
    shown = Redactor().clean("{token\\u003dcanary\\nnext line, password&#61;canary&#10;next, pwd%3Dcanary<br>next}")
    assert shown == f"{{token\\u003d{HIDDEN}\\nnext line, password&#61;{HIDDEN}&#10;next, pwd%3D{HIDDEN}<br>next}}"


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("separator", [" ", ", "])
def test_a_secret_as_a_list_of_bytes_is_hidden(secret, separator):
    """A secret is hidden where a debugger lists its bytes."""
    listed = separator.join(f"0x{byte:02x}" for byte in secret.encode())
    assert cleaned(secret, f"[{listed}]") == f"[0x{HIDDEN}]"


@pytest.mark.parametrize("separator", ["_", " ", ""])
def test_a_uuid_with_other_separators_is_hidden(separator):
    """A known approval key is hidden whatever separates its parts."""
    assert cleaned(APPROVAL, f"x {APPROVAL.replace('-', separator)} y") == f"x {HIDDEN} y"


def test_a_secret_in_an_attribute_is_hidden():
    """Only tags without attributes are skipped, because an attribute may quote the secret."""
    text = cleaned(APPROVAL, f"<a href='/?k={APPROVAL.replace('-', '%2D')}'>again</a>")
    assert text == f"<a href='/?k={HIDDEN}'>again</a>"


def test_a_text_without_escapes_is_read_once():
    """An ordinary text costs no second reading."""
    assert [view.text for view in views("An ordinary 문장, code=1008")] == ["an ordinary 문장, code=1008"]


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "%2d",
                "\\u002d",
                "&#45;",
                "=2D",
                "\n ",
                "\\n",
                "국",
                "%ea%b5%ad",
                "\u200b",
                "u+200b",
                "<br>",
                "\\",
                "%",
                "&",
                "=",
                "\\ud83d\\ude00",
                "\\ud83d",
                "\\x41",
                "%ff",
            ]
        )
    ).map("".join)
)
def test_each_character_is_mapped_back(text):
    """Every character of every view stands for a part of the text, in its order."""
    for view in views(text):
        assert len(view.text) == len(view.starts) == len(view.ends)
        assert all(0 <= start < end <= len(text) for start, end in zip(view.starts, view.ends, strict=True))
        assert list(view.starts) == sorted(view.starts)
        assert list(view.ends) == sorted(view.ends)


def test_the_forms_of_a_secret_are_few():
    """A passphrase of many words is not kept once for each blank."""
    assert len(forms("a b " * 1_000)) < 40


@pytest.mark.parametrize("secret", SECRETS)
def test_what_shows_nothing_of_a_secret_is_no_form(secret):
    """No form is so short that ordinary words would be hidden."""
    assert min(map(len, forms(secret))) >= 6


@pytest.mark.parametrize(
    "repeated",
    [
        "\\",
        "%",
        "%25",
        "&",
        "&amp;",
        "&#",
        "\x1b[",
        "\x1b]",
        "\x1b[0",
        "u+",
        "= ",
        " \n",
        "  ",
        "<br",
        "\\u",
        "\\u{",
        "=2",
        "\n=",
        "\xad",
    ],
)
def test_a_long_text_is_read_in_linear_time(repeated):
    """No escape makes the reading slower than linear."""

    def seconds(length):
        text = (repeated * length)[:length]
        return min(cpu_seconds(lambda: views(text)) for _ in range(TRIES))

    assert seconds(64_000) < 3 * 8 * seconds(8_000) + 0.01

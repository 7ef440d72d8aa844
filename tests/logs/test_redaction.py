"""Secrets are hidden by value and by shape."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.logs.redaction import HIDDEN, Redactor
from tests.cpu_time import TRIES, cpu_seconds, is_within
from tests.fuzz.growth import assert_linear

APPKEY = "PS" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hJ3k"
APPSECRET = ("abcDEF0123456789+/" * 10)[:178] + "=="
APPROVAL = "0123abcd-4567-89ef-0123-456789abcdef"
AES_KEY, AES_IV = "abcdefghijklmnopqrstuvwxyz012345", "0123456789abcdef"
REPLY = json.dumps({"body": {"output": {"iv": AES_IV, "key": AES_KEY}}})


def test_half_a_secret_is_not_left_where_hidden_ones_made_the_text_short():
    """The text is read a little beyond the limit, and where that ends, half a secret may stand."""
    cleaned = Redactor().clean(f"{APPKEY} " * 200, 3000)
    assert APPKEY[:4] not in cleaned
    assert cleaned.endswith("… (cut, 7400 characters)")


@pytest.mark.parametrize("secret", ["canary", "pass word/with+odd=chars", 'quo"te\\canary', "암호암호암호"])
def test_by_value(secret):
    """A known value is hidden anywhere, also in the form JSON gives it."""
    redactor = Redactor()
    redactor.hide(secret)
    for text in (f"x {secret} y", json.dumps({"x": secret}), json.dumps({"x": secret}, ensure_ascii=False)):
        cleaned = redactor.clean(text)
        assert HIDDEN in cleaned
        assert secret not in cleaned
        assert json.dumps(secret)[1:-1] not in cleaned


@pytest.mark.parametrize(
    "spell",
    [
        lambda secret: quote(secret, safe=""),
        lambda secret: quote(secret, safe="").replace("%2F", "%2f"),
        quote_plus,
        lambda secret: secret.replace("/", "\\/"),
        lambda secret: secret.replace("+", " "),
        html.escape,
        lambda secret: secret.replace("+", "&#43;"),
        lambda secret: secret.replace("/", "&#x2F;").replace("=", "&#x3D;"),
        lambda secret: secret.replace("+", "&#43;").replace("/", "&#x2F;").replace("=", "&#x3D;"),
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
        str.upper,
        str.lower,
    ],
)
def test_other_spellings(spell):
    """A known value is hidden as a URL, HTML or base64 spells it, and in any case."""
    secret = "aB3+dE6/gH9&jK2=="
    redactor = Redactor()
    redactor.hide(secret)
    assert redactor.clean(f"x {spell(secret)} y").replace("=", "") == f"x {HIDDEN} y"


def test_a_uuid_without_dashes():
    """An approval key is hidden without its dashes too."""
    redactor = Redactor()
    redactor.hide_issued(APPROVAL, kind="approval key")
    assert redactor.clean(f"x {APPROVAL.replace('-', '')} y") == f"x {HIDDEN} y"


@pytest.mark.parametrize(
    "end", [") is", "... is wrong", "*** is wrong", "</p>", "", "...", "…", '"}', '…"}', "'", '\\"}"', "\nnext"]
)
@pytest.mark.parametrize("left", [8, 9, 100, 179])
def test_a_secret_that_was_cut_off(end, left):
    """The start of a known value is hidden where a text or a quotation ends."""
    redactor = Redactor()
    redactor.hide(APPSECRET, "abcDEF01-another", "zzz")
    assert redactor.clean(f"bad secret {APPSECRET[:left]}{end}") == f"bad secret {HIDDEN}{end}"


@pytest.mark.parametrize(
    "end",
    [
        *(", retry", "; retry", " retry", ". Retry", ".. retry", "|x", "--x", " - x", "~x", "[...]", "`x", "\x00x"),
        *("\u201d x", "»x", " (truncated)", " [truncated]", "(x)", "는 틀렸습니다", "\uff0c x", ": x", "! x", "."),
        *(", retry with another", " \u200bx", "%2C%20retry", "\\u002c x", "&#44; x"),
    ],
)
@pytest.mark.parametrize("left", [12, 17, 100, 179])
def test_a_secret_that_was_cut_off_inside_a_sentence(end, left):
    """The start of a known value is hidden where the sentence goes on after it."""
    redactor = Redactor()
    redactor.hide(APPSECRET, "abcDEF01-another", "zzz")
    for text in (APPSECRET[:left], f"{APPSECRET[:6]}\u200b{APPSECRET[6:left]}"):
        assert redactor.clean(f"bad secret {text}{end}") == f"bad secret {HIDDEN}{end}"


def test_a_passphrase_that_was_cut_off_after_a_word():
    """A secret that has blanks itself is hidden up to the last word that is its own."""
    redactor = Redactor()
    redactor.hide("four word pass phrase, and more")
    assert redactor.clean("got four word pass phrase, but why") == f"got {HIDDEN} but why"
    assert redactor.clean("got four words") == "got four words"


def test_words_that_a_secret_begins_with_stay_inside_a_sentence():
    """A word shorter than twelve characters, or one that goes on otherwise, may be a word."""
    redactor = Redactor()
    redactor.hide("password1-canary", "kafka-canary-password")
    for text in ("password1, retry", "the host kafka-canary-host.example", "kafka-canary.example: refused"):
        assert redactor.clean(text) == text


@pytest.mark.parametrize("repeated", ["aaaaaaaa ", "aaaaaaaaaaaaaaa, ", "a ", "a a a a a a a a\u200b"])
def test_many_cut_off_secrets_do_not_hold_up_a_long_text(repeated):
    """The search for starts stays linear where each word may be one."""
    redactor = Redactor()
    redactor.hide(*("a" * 100 + f"{number:04d}" for number in range(512)))
    assert_linear(redactor.clean, f"\n{repeated}\n")


def test_a_short_or_inner_start_of_a_secret_stays():
    """Fewer than eight characters, or a start that the text goes on after, may be words."""
    redactor = Redactor()
    redactor.hide("instrument-canary")
    for text in ("the instrum", "instrument list"):
        assert redactor.clean(text) == text


def test_many_known_values_do_not_hold_up_a_long_text():
    """The search for starts takes time linear in the text, however many secrets start alike."""
    redactor = Redactor()
    redactor.hide(*(f"aaaaaaaa{number:04d}" + "a" * 100 for number in range(512)))
    assert is_within(1, lambda: redactor.clean("a" * 100_000))


def test_short_values_stay():
    """A value short enough to be an ordinary word is not hidden by value."""
    redactor = Redactor()
    redactor.hide("", "ab")
    assert redactor.clean("cab in lab") == "cab in lab"


def test_the_oldest_value_is_dropped():
    """Only the latest few hundred values are hidden."""
    redactor = Redactor()
    redactor.hide(*(f"secret-{number:04d}!" for number in range(600)))
    assert redactor.clean("secret-0599!") == HIDDEN
    assert redactor.clean("secret-0000!") == "secret-0000!"


def test_the_bound_counts_secrets():
    """A secret with many spellings displaces no more others than one with few."""
    redactor = Redactor()
    redactor.hide(*(f"secret+/={number:04d}" for number in range(512)))
    assert redactor.clean("secret+/=0000 secret&#43;&#x2F;&#x3D;0511") == f"{HIDDEN} {HIDDEN}"


def test_issued_values_displace_only_their_kind():
    """Keys of registrations displace only older ones: passwords and approval keys stay hidden."""
    redactor = Redactor()
    redactor.hide("canary-password")
    redactor.hide_issued("canary-approval", kind="approval key")
    for number in range(600):
        redactor.hide_issued(f"issued-{number:04d}!", kind="cipher key")
    cleaned = redactor.clean("canary-password canary-approval issued-0599!")
    assert cleaned == f"{HIDDEN} {HIDDEN} {HIDDEN}"
    assert redactor.clean("issued-0000!") == "issued-0000!"


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        (f"the key {APPKEY} came", [APPKEY]),
        (f"{APPSECRET}", [APPSECRET]),
        (f"approval {APPROVAL}", [APPROVAL]),
        ('{"appkey":"canary","secretkey":"canary2"}', ["canary"]),
        ("{'approval_key': 'canary', 'custtype': 'P'}", ["canary"]),
        ('{\\"appsecret\\": \\"canary\\"}', ["canary"]),
        ('{\\\\\\"appsecret\\\\\\": \\\\\\"canary\\\\\\"}', ["canary"]),
        ("sasl_plain_password=canary, next", ["canary"]),
        ("AppKey(appsecret='can ary')", ["can ary"]),
        ("SaslAuthenticateRequest(sasl_auth_bytes=b'\\x00user\\x00canary')", ["canary"]),
        ("Authorization: Bearer canary.token", ["canary"]),
        ("sent Basic dXNlcjpjYW5hcnk=", ["dXNlcjpjYW5hcnk="]),
        ("sent bearer canary12", ["canary12"]),
        ("sent bearer head.canary", ["canary"]),
        (f"sent bearer {'canary' * 4}", ["canary"]),
        (f"x={APPSECRET}&y", [APPSECRET]),
        (f"시크릿은{APPSECRET}입니다", [APPSECRET]),
        (REPLY, [AES_KEY, AES_IV]),
        *(
            (form.format(key=AES_KEY, iv=AES_IV), [AES_KEY, AES_IV])
            for form in (
                *("key={key}&iv={iv}", "key: {key}, iv: {iv}", "<key>{key}</key><iv>{iv}</iv>", "KEY={key};IV={iv}"),
                *('{{"key":{key},"iv":{iv}}}', 'key = {key}" iv = {iv}"', "aes_key => {key}, aes_iv => {iv}"),
                *("<key><![CDATA[{key}]]></key>\n<iv>\n{iv}</iv>", "key%3D{key}%26iv%3D{iv}"),
                *("&lt;key&gt;{key}&lt;/key&gt; iv:{iv}", "key={key}와 iv={iv}는", "key='{key}\niv='{iv}"),
            )
        ),
        (f"x_{APPROVAL}_y", [APPROVAL]),
        (f"승인키{APPROVAL}는, 앱키{APPKEY}는", [APPROVAL, APPKEY]),
        (json.dumps({"event": REPLY}), [AES_KEY, AES_IV]),
        (repr({"key": AES_KEY, "iv": AES_IV}), [AES_KEY, AES_IV]),
    ],
)
def test_by_shape(text, secrets):
    """A value that looks like a secret is hidden although nobody named it."""
    cleaned = Redactor().clean(text)
    assert HIDDEN in cleaned
    assert not [secret for secret in secrets if secret in cleaned]


@pytest.mark.parametrize(
    "text",
    [
        '{"event": "session_closed", "slot": 0, "key": "instrument/KR103502GA34"}',
        '{"appkey": null, "kafka.sasl_password_file": "/run/secrets/kafka"}',
        '{"tick_id": "0123456789abcdef0123456789abcdef"}',
        "Registration of KR103502GD31 was refused: OPSP0008 MAX SUBSCRIBE OVER",
        f"key={AES_KEY}0, iv={AES_IV[1:]}; monkey={AES_KEY}; iv -> {AES_IV}",
        "key: instrument/KR103502GA34 iv: 16 bytes <key>KR103502GA34</key> keys: 2",
        pytest.param("x" * 1_000, id="a long run of letters"),
        pytest.param("a1B2" * 1_000 + "==", id="long data in base64"),
    ],
)
def test_ordinary_lines_stay(text):
    """Ordinary log lines pass unchanged."""
    assert Redactor().clean(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "c.yaml: line 1, column 4: found character '%' that cannot start any token: correct the YAML there",
        "kis.appsecret: is needed with kis.appkey: set it",
        "registry.token: could not be read (No such file or directory)",
        "OPSP0011 invalid token: expired",
        "password: missing",
        "password: 15 characters at least",
        "kis-bond check says: secret: ok",
        "passphrase: incorrect",
        "texts may quote a secret: KIS's `OPSP0011` quotes the approval key",
        "EGW00105 유효하지 않은 AppSecret입니다.",
        '{"error_code":"EGW00123","error_description":"기간이 만료된 token 입니다."}',
        "Failed to authenticate: Token expired",
        "Authentication failed due to invalid credentials with SASL mechanism SCRAM-SHA-512",
        "The request did not contain the required Authorization header",
        "the journal frame 15 was decrypted with key 2 of 3",
        "100% of the frames arrived; 5 & 6 are late; a<b and b>c; C:\\temp\\new",
        "100%25 and %41 and =3D and &amp; stay",
        "error: token=expired; password=wrong; secret=missing",
        "Access token (JWT) is expired: token_type=Bearer, expires_in=86400",
        'password authentication failed for user "bond"',
        "invalid approval : NOT FOUND",
        "KIS의 token: 유효하지 않은 값",
        "Basic authentication is off; Bearer tokens are refused",
        'WWW-Authenticate: Basic realm="kafka"',
        "bearer instruments are traded; a bearer certificate, too.",
        "basic maintenance window. Basic requirements: none",
        "the basic non-negotiable terms; Basic request/response tests",
        "the password is 'wrong'; the token is expired; the secret is the appsecret of KIS",
        "unexpected token: EOF",
        "unexpected token: end of line",
        "unexpected token: % there",
        "the token: ';' there",
        "unexpected token '}': a comma or ']' is missing; token: '==' is no key",
        '{"unexpected token": "{", "next": 1}',
    ],
)
def test_ordinary_words_stay(text):
    """A word after the name of a secret stays if it is prose or a state, not a value."""
    assert Redactor().clean(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "password: canary",
        "password: canary, next",
        "password: 1234 next",
        "password: canary's",
        "password:canary next",
        "token: canary1 next",
        "token=canary next",
        "client_secret = canary",
        "clientSecret=canary",
        "Proxy-Authorization: Basic canary",
        "Authorization: Digest canary",
        "x" * 50 + "_password=canary",
        *("passwd=canary", "pwd: canary", "PWD=canary;Server=x", "db_passwd = 'canary'", "password is 'canary'"),
        *('the token is \\"canary\\".', "your secret is  'canary lost'", "_" * 4000 + "pwd is 'canary'"),
        "_" * 4000 + "token='canary'",
    ],
)
def test_a_value_after_the_name_of_a_secret_is_hidden(text):
    """A value alone after the name of a secret is hidden, even if it consists of letters."""
    assert "canary" not in Redactor().clean(text)


def test_a_cut_text_shows_no_part_of_a_secret():
    """Wherever a text is cut, no part of a secret that reaches beyond the limit is left."""
    redactor = Redactor()
    redactor.hide("canary-" * 20)
    for before in range(90, 250, 7):
        cut = redactor.clean("x" * before + "canary-" * 20 + "y" * 1000, 200)
        assert "canary" not in cut
        assert cut.endswith(f"(cut, {before + 1140} characters)")
    assert "canary" not in redactor.clean(("canary-" * 20 + " ") * 100, 200)
    assert "aB3d" not in redactor.clean(f"{APPSECRET} " * 100 + APPKEY, 200)
    assert redactor.clean("x " * 100, 200) == "x " * 100


NAMES = ("token", "password", "secret", "appkey", "key", "iv", "authorization", "sasl_auth_bytes", "Bearer", "PS")
PARTS = st.sampled_from(
    [
        *NAMES,
        *(
            "_",
            "-",
            "\\",
            '"',
            "'",
            '\\"',
            " ",
            "\t",
            "\n",
            "=",
            ":",
            ",",
            "a",
            "A",
            "1",
            "0-",
            "0000-",
            "/",
            "+",
            "b'",
        ),
        *("%", "%25", "&", "&amp;", "&#", "\\u", "\\n", "\u200b", "\x1b[", "U+", "=2D", "<br"),
        *(f'{name}="' for name in NAMES),
        *(f"{name}: " for name in NAMES),
        *(f"{name}='\\" for name in NAMES),
    ]
)


@settings(max_examples=100)
@example([], ["_"], [])
@example(["token", '="'], ["\\"], [])
@given(st.lists(PARTS, max_size=3), st.lists(PARTS, min_size=1, max_size=2), st.lists(PARTS, max_size=2))
def test_time_grows_linearly(before, repeated, after):
    """Eight times the text takes at most eight times as long, whatever is repeated in it."""
    redactor = Redactor()

    def seconds(count):
        text = "".join((*before, *repeated * count, *after))
        return min(cpu_seconds(lambda: redactor.clean(text)) for _ in range(TRIES))

    assert seconds(4_000) < 3 * 8 * seconds(500) + 0.01


@pytest.mark.parametrize(
    "repeated",
    [
        *("key ", "key\\", "iv>  ", "<key><![CDATA[", "key=>", "a" * 32 + "key=", "ps", "0-", "0000-"),
        *("bearer a", "bearer a.", "bearer ", "basic /", "password is ", "pwd is\n", "token: '' ", "token: ;"),
        *("token%3Da", "token&#61;a\\", "t\u200boken=", "token=\\u200b\\", "pwd=%25", "pwd:&amp;", "pwd:&amp;lt;"),
        *("&nbsp;", "&zerowidthspace", "U+1D17", "U+110BD", "=0A=\n", "=0D", "\u3000 "),
    ],
)
@pytest.mark.parametrize("before", ["", "token%3D", "key: "])
def test_each_pattern_takes_linear_time(before, repeated):
    """What a pattern begins with, repeated, holds up no search."""
    assert_linear(Redactor().clean, f"{before}\n{repeated.replace(chr(10), chr(13))}\nx")


@pytest.mark.parametrize("text", ["_" * 200_000, 'token="' + "\\" * 200_000, "token=" * 30_000, "key='" * 40_000])
def test_a_long_text_takes_less_than_a_second(text):
    """A record of Kafka's usual limit and more cannot hold up whoever logs it."""
    assert is_within(1, lambda: Redactor().clean(text))


@pytest.mark.parametrize(
    "value",
    [
        {"appkey": "canary"},
        {"a": {"key": AES_KEY}},
        {"message": '{"approval_key": "canary"}', "n": 1},
        {"password": 'a"b\\'},
    ],
)
def test_json_stays_json(value):
    """A JSON line is still valid JSON after redaction."""
    assert HIDDEN in json.dumps(json.loads(Redactor().clean(json.dumps(value))))


@pytest.mark.parametrize("known", ["secret", "password", "approval_key", "ecretkey"])
def test_a_secret_that_is_part_of_a_name_uncovers_no_other(known):
    """A known value inside a field's name is hidden, and so is what the name announces."""
    redactor = Redactor()
    redactor.hide(known)
    text = redactor.clean("{'secretkey': 'canary'} kafka_password=canary approval_key: canary")
    assert "canary" not in text
    assert known not in text

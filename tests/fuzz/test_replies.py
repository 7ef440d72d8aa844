"""No JSON message, good or damaged, upsets the reader of replies or the session."""

import json

from hypothesis import given
from hypothesis import strategies as st

from connector.core.kis.reply import Reply, parse
from connector.core.kis.reply_codes import REACTIONS
from tests.fuzz import checks

CODES = st.sampled_from([*REACTIONS, "OPSP4711", "", "x" * 21])
TEXTS = st.text(max_size=10) | st.sampled_from(
    ["(null)", checks.BOND, checks.OTHER_BOND, "PINGPONG", "pingpong", "H0BJCNT0"]
)
ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.lists(st.none(), max_size=2)
    | st.dictionaries(TEXTS, TEXTS, max_size=2)
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "header": ODD
        | st.fixed_dictionaries({}, optional={"tr_id": TEXTS | ODD, "tr_key": TEXTS | ODD, "datetime": ODD}),
        "body": ODD
        | st.fixed_dictionaries(
            {"rt_cd": st.sampled_from(["0", "1", "9"]) | ODD, "msg_cd": CODES | ODD},
            optional={
                "msg1": TEXTS | ODD,
                "output": ODD | st.fixed_dictionaries({"key": st.just("k" * 32) | ODD, "iv": st.just("i" * 16) | ODD}),
            },
        ),
    },
)


@given(MESSAGES)
def test_a_message_of_any_content_passes_every_check(message):
    """Any content in a reply's fields gives a ping, a reply or CTRL_SHAPE."""
    checks.control_message(json.dumps(message).encode())


@given(MESSAGES, st.data())
def test_a_torn_message_passes_every_check(message, data):
    """A message that is cut short or has foreign bytes passes the same checks."""
    raw = json.dumps(message).encode()
    at = data.draw(st.integers(0, len(raw)))
    checks.control_message(raw[:at] + data.draw(st.binary(max_size=4)) + raw[at + data.draw(st.integers(0, 8)) :])


@given(rt_cd=st.sampled_from("019"), code=st.sampled_from(sorted(REACTIONS)), tr_key=TEXTS, msg1=st.text(max_size=40))
def test_a_written_reply_is_read(rt_cd, code, tr_key, msg1):
    """A reply is read with its own texts, except for blanks around its message."""
    body = {"rt_cd": rt_cd, "msg_cd": code, "msg1": msg1}
    found = parse(json.dumps({"header": {"tr_id": "H0BJCNT0", "tr_key": tr_key}, "body": body}))
    assert found == Reply("H0BJCNT0", _writable(tr_key), rt_cd, code, _writable(msg1).strip())


def _writable(text):
    return text.encode("utf-8", "replace").decode()

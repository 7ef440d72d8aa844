"""What one event brings into the log is bounded."""

from connector.logs.bounds import LONGEST_TEXT, LONGEST_TRACEBACK, MOST_ITEMS, bounded, bounded_traceback, cut
from connector.logs.redaction import HIDDEN, Redactor


def redactor():
    """Return one that hides a long secret."""
    one = Redactor()
    one.hide("canary-" * 10)
    return one


def test_long_texts_are_cut():
    """The name of a list has 200 characters at most, any other text 1,000, at any depth."""
    fields = bounded({"list": "_" * 4000, "reason": "_" * 4000, "deep": [{"a": "_" * 4000}], "n": 1}, redactor())
    assert fields["list"] == "_" * 200 + "… (cut, 4000 characters)"
    assert fields["reason"] == fields["deep"][0]["a"] == "_" * 1000 + "… (cut, 4000 characters)"
    assert fields["n"] == 1


def test_short_texts_and_other_values_stay():
    """A lawful event is unchanged, and so is what the library still needs."""
    fields = {"list": "x " * 100, "reason": "y " * 500, "at": object(), "ok": True, "none": None, "exc_info": True}
    assert bounded(fields, redactor()) == fields


def test_items_and_depth_are_bounded():
    """Of a collection the first hundred items are shown, of nested ones a few levels."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    fields = bounded({"many": list(range(10_000)), "map": {str(n): n for n in range(10_000)}, "deep": deep}, redactor())
    assert fields["many"] == list(range(MOST_ITEMS))
    assert len(fields["map"]) == MOST_ITEMS
    assert fields["deep"] == [[[[["…"]]]]]


def test_fields_named_after_secrets_are_hidden():
    """A field with the name of a secret never shows its value."""
    fields = bounded({"appkey": "canary", "nested": {"clientSecret": "canary"}, "approval_key": None}, redactor())
    assert fields == {"appkey": HIDDEN, "nested": {"clientSecret": HIDDEN}, "approval_key": None}


def test_a_cut_shows_no_part_of_a_secret():
    """A secret that reaches beyond the limit is hidden as a whole."""
    assert "canary" not in cut("x" * (LONGEST_TEXT - 20) + "canary-" * 10 + "y" * 50, LONGEST_TEXT, redactor())


def test_a_traceback_is_cut_by_lines_and_as_a_whole():
    """Long lines of a traceback are cut, and the last line is still there."""
    text = bounded_traceback("Traceback:\n  at x\nError: " + "z " * 2500 + "\nlast", redactor())
    assert text.startswith("Traceback:\n  at x\nError: z z")
    assert text.endswith("… (cut, 5007 characters)\nlast")
    assert len(bounded_traceback("line\n" * 100_000, redactor())) < LONGEST_TRACEBACK + 100

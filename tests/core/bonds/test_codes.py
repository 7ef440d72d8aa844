"""What the codes of the bond master mean."""

import pytest

from connector.core.bonds import codes

# Codes as the comments of KIS's struct list them.
TYPES = {"A0": "장내소매채권", "C0": "국고채권", "F9": "주식관련사채"}
CLASSES = {
    "GA": "국고채",
    "MA": "통안채",
    "BA": "금융채",
    "SA": "비금융특수채",
    "CA": "회사채",
    "MB": "지방채",
    "99": "기타",
}
CLASSES_OF_F9 = {"03": "장내소액채권", "02": "기타채권", "04": "장내주식관련사채", "MM": "매매종류별"}
INTERESTS = {
    "01": "할인",
    "02": "복리",
    "03": "이표",
    "04": "금리연동",
    "05": "분할상환",
    "06": "거치단리",
    "07": "단리",
    "08": "FRN",
}
INTERESTS_OF_A0 = {
    "11": "할인채",
    "12": "복리채",
    "13": "이표채",
    "14": "단리채",
    "21": "이표채",
    "22": "복리채",
    "23": "단리채",
}
LATER = {"09": "복5단2", "15": "복5단2", "19": "기타", "29": "기타"}


@pytest.mark.parametrize(
    ("table", "terms"),
    [
        (codes.TYPES, TYPES),
        (codes.CLASSES, CLASSES | CLASSES_OF_F9),
        (codes.INTERESTS, INTERESTS | INTERESTS_OF_A0 | LATER),
    ],
)
def test_each_code_has_its_korean_term(table, terms):
    """Exactly the codes that KIS lists are spelled out, with KIS's own term in brackets."""
    assert table.keys() == terms.keys()
    for code, term in terms.items():
        english, korean = table[code].rstrip(")").split(" (")
        assert english.isascii()
        assert term in korean


def test_fixed_and_floating_interest_differ():
    """The codes from 11 are fixed rates, those from 21 floating ones."""
    assert {text.split(",")[0] for code, text in codes.INTERESTS.items() if code[0] == "1"} == {"fixed"}
    assert {text.split(",")[0] for code, text in codes.INTERESTS.items() if code[0] == "2"} == {"floating"}

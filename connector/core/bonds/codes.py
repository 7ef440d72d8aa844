"""What the two-character codes of KIS's bond master mean, in English with KIS's own term.

Source: koreainvestment/open-trading-api, stocks_info/종목마스터정보(채권).h.
A code means the same in rows of every type.
"""

from __future__ import annotations

TYPES = {
    "A0": "retail (장내소매채권)",
    "C0": "treasury market (국고채권)",
    "F9": "equity-linked or small-lot (주식관련사채, 소액채권)",
}

CLASSES = {
    "GA": "government (국고채)",
    "MA": "monetary stabilisation (통안채)",
    "BA": "financial (금융채)",
    "SA": "special, non-financial (비금융특수채)",
    "CA": "corporate (회사채)",
    "MB": "municipal (지방채)",
    "99": "other (기타)",
    "02": "other (기타채권)",
    "03": "small-lot (장내소액채권)",
    "04": "equity-linked (장내주식관련사채)",
    "MM": "by kind of trade (매매종류별)",
}

INTERESTS = {
    "01": "discount (할인)",
    "02": "compound (복리)",
    "03": "coupon (이표)",
    "04": "rate-linked (금리연동)",
    "05": "instalments (분할상환)",
    "06": "instalments, simple interest while deferred (분할상환, 거치단리)",
    "07": "simple (단리)",
    "08": "floating-rate note (FRN)",
    "09": "compound for 5 years, simple for 2 (복5단2)",
    "11": "fixed, discount (고정금리형 할인채)",
    "12": "fixed, compound (고정금리형 복리채)",
    "13": "fixed, coupon (고정금리형 이표채)",
    "14": "fixed, simple (고정금리형 단리채)",
    "15": "fixed, compound for 5 years, simple for 2 (고정금리형 복5단2)",
    "19": "fixed, other (고정금리형 기타)",
    "21": "floating, coupon (변동금리형 이표채)",
    "22": "floating, compound (변동금리형 복리채)",
    "23": "floating, simple (변동금리형 단리채)",
    "29": "floating, other (변동금리형 기타)",
}

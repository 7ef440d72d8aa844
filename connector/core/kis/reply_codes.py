"""What each KIS code asks us to do: the one table of OPSP codes.

Sources: KIS portal FAQ and koreainvestment/kis-ai-extensions:shared/commands/kis-help.md. Where
both are silent, we do what public clients do. An error with an unlisted code refuses the bond,
because KIS blocks clients that register again and again.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from connector.core.kis.reply import Reply


class Reaction(Enum):
    """What a reply asks us to do."""

    REGISTERED = "held by KIS"
    RELEASED = "not held by KIS"
    RETRY = "ask again, after longer and longer waits"
    FULL = "the session is full: the bond waits"
    REFUSE = "ask again in half an hour, or once a list newly wants the bond"
    REISSUE = "get a new approval key, then ask again"
    IN_USE = "another session uses the app key: close and wait long"


REACTIONS: Final[dict[str, Reaction]] = {
    "OPSP0000": Reaction.REGISTERED,  # SUBSCRIBE SUCCESS
    "OPSP0001": Reaction.RELEASED,  # UNSUBSCRIBE SUCCESS
    "OPSP0002": Reaction.REGISTERED,  # ALREADY IN SUBSCRIBE
    "OPSP0003": Reaction.RELEASED,  # UNSUBSCRIBE ERROR(not found!)
    "OPSP0007": Reaction.RETRY,  # SUBSCRIBE INTERNAL ERROR
    "OPSP0008": Reaction.FULL,  # MAX SUBSCRIBE OVER
    "OPSP0009": Reaction.RETRY,  # SUBSCRIBE ERROR : mci send failed
    "OPSP0010": Reaction.REISSUE,  # SUBSCRIBE WARNNING : invalid appkey
    "OPSP0011": Reaction.REISSUE,  # invalid approval : NOT FOUND
    "OPSP0017": Reaction.REFUSE,  # ERROR : htsid가잘못되었습니다
    "OPSP8991": Reaction.REFUSE,  # invalid tr_id
    "OPSP8992": Reaction.REFUSE,  # invalid tr_key
    "OPSP8993": Reaction.REFUSE,  # JSON PARSING ERROR : invalid tr_key
    "OPSP8994": Reaction.REFUSE,  # personalseckey not found
    "OPSP8995": Reaction.REFUSE,  # appsecret not found
    "OPSP8996": Reaction.IN_USE,  # ALREADY IN USE appkey
    "OPSP8997": Reaction.REFUSE,  # invalid tr_type
    "OPSP8998": Reaction.REFUSE,  # invalid custtype
    "OPSP8999": Reaction.RETRY,  # resource not available (ALLOC_CALL_PARAM)
    "OPSP9990": Reaction.REFUSE,  # tr_key not found
    "OPSP9991": Reaction.REFUSE,  # input not found
    "OPSP9992": Reaction.REFUSE,  # body not found
    "OPSP9993": Reaction.RETRY,  # internal error
    "OPSP9994": Reaction.REISSUE,  # INVALID appkey
    "OPSP9995": Reaction.RETRY,  # resource not available
    "OPSP9996": Reaction.REISSUE,  # appkey
    "OPSP9997": Reaction.REFUSE,  # custtype not found
    "OPSP9998": Reaction.REFUSE,  # header not found
    "OPSP9999": Reaction.REFUSE,  # invalid json format
}

SUCCESS: Final = "0"
# After an error with this rt_cd, KIS usually drops the socket.
ENDS_SESSION: Final = "9"
_DONE: Final = (Reaction.REGISTERED, Reaction.RELEASED)
_DONE_ALREADY: Final = ("OPSP0002", "OPSP0003")


def reaction(reply: Reply) -> Reaction:
    """Return what to do about a reply.

    Only OPSP0000 to OPSP0003 say whether KIS holds a bond. A success with any other code does not
    say it. Neither does an error with OPSP0000 or OPSP0001. In both cases we ask again, and KIS
    then answers OPSP0002 or OPSP0003.
    """
    known = REACTIONS.get(reply.msg_cd)
    if reply.rt_cd == SUCCESS:
        return known if known in _DONE else Reaction.RETRY
    if known in _DONE and reply.msg_cd not in _DONE_ALREADY:
        return Reaction.RETRY
    return known or Reaction.REFUSE

"""Looks at a subject of the schema registry: its compatibility level and its versions.

Source: Confluent's Schema Registry API: `GET` and `PUT /config/(subject)`, `GET
/subjects/(subject)/versions/(version)`.
"""

from typing import Final, NamedTuple
from urllib.parse import quote

from connector.settings import RegistrySettings
from connector.shell.registry import MAX_VERSIONS, avro_in, id_in
from connector.shell.registry_http import Answer, ask, content_of, shown

LEVELS: Final = (
    "NONE",
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
)
RECOMMENDED: Final = "FULL_TRANSITIVE"


class Version(NamedTuple):
    """One version of a subject: its number, the schema's id, and its text.

    The text of a schema that is not Avro's is left out.
    """

    number: int
    schema_id: int
    schema: str


async def level(settings: RegistrySettings, subject: str) -> str:
    """Return the level in force: the subject's, or else the registry's.

    Raises RegistryFailed.
    """
    path = quote(subject, safe="")
    answer = await ask(settings, "GET", f"/config/{path}?defaultToGlobal=true")
    if answer.status == 404 and answer.content is not None:  # Apicurio knows no default for a new subject
        answer = await ask(settings, "GET", "/config")
    return shown(str(content_of(answer, subject).get("compatibilityLevel", "unknown")))


async def set_level(settings: RegistrySettings, subject: str, wanted: str) -> None:
    """Set the subject's level. Raises RegistryFailed."""
    answer = await ask(settings, "PUT", f"/config/{quote(subject, safe='')}", {"compatibility": wanted})
    content_of(answer, subject)


async def versions(settings: RegistrySettings, subject: str) -> list[Version]:
    """Return the subject's versions, the latest first; none of a subject that does not exist.

    At most the latest MAX_VERSIONS numbers are looked at. Raises RegistryFailed.
    """
    found = list[Version]()
    number: int | str = "latest"
    for _ in range(MAX_VERSIONS):
        answer: Answer = await ask(settings, "GET", f"/subjects/{quote(subject, safe='')}/versions/{number}")
        if not answer.is_not_there:
            held = content_of(answer, subject)
            number = held.get("version", number)
            if isinstance(number, int):
                found.append(Version(number, id_in(answer, subject), avro_in(held)))
        if not isinstance(number, int) or number <= 1:
            break
        number -= 1  # the next lower number may be missing, if that version was deleted
    return found

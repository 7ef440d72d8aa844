"""The schema of ticks against its subject in the registry: what is held, and by which rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.core.printable import printable
from connector.core.ticks.compatibility import incompatibilities
from connector.core.ticks.same_schema import same_schema
from connector.errors import NotInTime
from connector.packaged_files import bond_tick
from connector.shell import registry, registry_subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.settings import Settings
    from connector.shell.registry_subject import Version


@dataclass(frozen=True, slots=True)
class Subject:
    """What the registry holds for ticks, the latest version first.

    `schema_id` is that of our schema, None if the subject does not hold it. `incompatible` says
    which versions do not fit our schema, and why.
    """

    name: str
    level: str
    schema_id: int | None
    versions: Sequence[Version]
    incompatible: Sequence[str]

    @property
    def drift(self) -> list[str]:
        """What keeps ticks from being written, or readers from reading them."""
        absent = [] if self.schema_id is not None else ["does not hold this schema: run kis-bond schema register"]
        return [*absent, *self.incompatible]

    @property
    def warnings(self) -> list[str]:
        """What may go wrong with a later schema."""
        return [] if (advice := advice_on(self.level)) is None else [advice]


def advice_on(level: str) -> str | None:
    """Return why another level would be better, or None."""
    if level == registry_subject.RECOMMENDED:
        return None
    return (
        f"compatibility level {printable(level)} accepts schemas that break readers: "
        f"kis-bond schema register --compatibility {registry_subject.RECOMMENDED}"
    )


async def look(settings: Settings) -> Subject:
    """Ask the registry about the subject. Raises NotInTime."""
    name = _name(settings)
    held = await registry_subject.versions(settings.registry, name)
    ours = next((each.schema_id for each in held if same_schema(each.schema, bond_tick())), None)
    level = await registry_subject.level(settings.registry, name)
    return Subject(name, level, ours, held, _incompatible(held))


async def register(settings: Settings, level: str | None) -> Subject:
    """Register our schema if it fits every version, and set a level if one is given.

    Raises NotInTime, which says what was not done.
    """
    found = await look(settings)
    if found.incompatible:
        raise NotInTime(
            "\n".join(
                [f"The schema was not registered: it does not fit {found.name}.", *_sentences(found.incompatible)]
            )
        )
    schema_id = await registry.register(settings.registry, found.name, bond_tick())
    if level is not None:
        try:
            await registry_subject.set_level(settings.registry, found.name, level)
        except NotInTime as error:
            raise NotInTime(
                f"The schema is registered under id {schema_id}, but the level was not set: {error}"
            ) from error
    return await look(settings)


def _name(settings: Settings) -> str:
    return f"{settings.topics.ticks}-value"


def _incompatible(held: Sequence[Version]) -> list[str]:
    return [
        f"version {each.number} does not fit: {printable(why)}"
        for each in held
        for why in incompatibilities(bond_tick(), each.schema, is_successor=False)
    ]


def _sentences(texts: Sequence[str]) -> list[str]:
    return [f"{text[0].upper()}{text[1:]}." for text in texts]

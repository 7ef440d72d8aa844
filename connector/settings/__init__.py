"""The settings: a YAML file, the environment over it, every mistake told at once."""

from connector.settings.model import (
    DeliverySettings,
    HttpSettings,
    JournalSettings,
    KafkaSettings,
    KisSettings,
    LogSettings,
    RegistrySettings,
    ReplicaSettings,
    Settings,
    TopicSettings,
    load,
)

__all__ = [
    "DeliverySettings",
    "HttpSettings",
    "JournalSettings",
    "KafkaSettings",
    "KisSettings",
    "LogSettings",
    "RegistrySettings",
    "ReplicaSettings",
    "Settings",
    "TopicSettings",
    "load",
]

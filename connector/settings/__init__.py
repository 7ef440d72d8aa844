"""The settings: a YAML file, overridden by the environment. All mistakes are reported at once."""

from connector.settings.model import (
    AuditSettings,
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
    "AuditSettings",
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

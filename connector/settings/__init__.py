"""The settings: a YAML file, overridden by the environment. All mistakes are reported at once."""

from connector.settings.model import Settings, load
from connector.settings.sections import (
    AuditSettings,
    DeliverySettings,
    HttpSettings,
    JournalSettings,
    KafkaSettings,
    KisSettings,
    LogSettings,
    OauthSettings,
    RegistrySettings,
    ReplicaSettings,
    TopicSettings,
)

__all__ = [
    "AuditSettings",
    "DeliverySettings",
    "HttpSettings",
    "JournalSettings",
    "KafkaSettings",
    "KisSettings",
    "LogSettings",
    "OauthSettings",
    "RegistrySettings",
    "ReplicaSettings",
    "Settings",
    "TopicSettings",
    "load",
]

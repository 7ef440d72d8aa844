"""Kafka clients, and reading and writing whole topics."""

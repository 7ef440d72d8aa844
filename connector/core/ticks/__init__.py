"""Turns a frame into Avro records."""

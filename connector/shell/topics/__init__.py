"""The control, status and event topics."""

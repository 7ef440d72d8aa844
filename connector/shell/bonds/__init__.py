"""Fetches the bond master file and keeps a copy."""

"""Fetching the bond master file and keeping a copy."""

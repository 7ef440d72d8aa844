"""Keeps a copy of the bond master."""

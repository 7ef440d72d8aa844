"""Which replica runs which slot, and which slot carries which bond."""

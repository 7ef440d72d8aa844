"""Code that never waits: it takes texts and times, and returns values."""

"""What never waits: text and time in, values out."""

"""What KIS says on a session, and what we ask of it."""

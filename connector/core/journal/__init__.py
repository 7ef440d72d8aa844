"""The journal without its disk: the bytes of its files, and what became of each frame's number."""

"""The lists of wanted bonds."""

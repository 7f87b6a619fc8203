"""Measurements of the service. `python -m bench NAME` prints one table; README.md has a command per table."""

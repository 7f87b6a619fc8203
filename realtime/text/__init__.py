"""Tokens to words to transcript; standard library only."""

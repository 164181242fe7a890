"""Leeward: push code, get a URL."""

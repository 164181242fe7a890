"""In-memory twins of the adapters, for tests."""

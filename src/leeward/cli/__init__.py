"""The lee command."""

"""The engine of one machine: Docker."""

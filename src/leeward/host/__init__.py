"""The machine that the platform runs on."""

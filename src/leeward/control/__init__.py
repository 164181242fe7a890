"""The loops that make wishes true."""

"""What every adapter of a port has to do."""

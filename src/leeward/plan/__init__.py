"""Pure decisions that all adapters share."""

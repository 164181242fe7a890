"""What may be asked of the platform: the use cases."""

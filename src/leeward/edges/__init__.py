"""What takes requests to instances."""

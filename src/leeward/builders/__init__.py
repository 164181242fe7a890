"""What turns source into images."""

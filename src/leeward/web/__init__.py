"""The dashboard's door."""

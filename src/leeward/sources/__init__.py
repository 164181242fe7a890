"""Where the user's files come from."""

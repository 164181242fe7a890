"""The pages: each turns what services say into a template's context."""

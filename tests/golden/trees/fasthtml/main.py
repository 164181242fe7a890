from fasthtml.common import *

app, rt = fast_app()


@rt("/")
def get():
    return P("Hello")


serve()

# ruff: noqa: F403, F405

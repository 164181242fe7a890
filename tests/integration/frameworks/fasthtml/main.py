from fasthtml.common import H1, fast_app, serve

app, rt = fast_app()


@rt("/")
def get():
    return H1("Hello from FastHTML")


serve()

"""Greet, by Flask."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    """The greeting."""
    return "hello from flask\n"

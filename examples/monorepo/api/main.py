"""Count orders."""

from itertools import count

from fastapi import FastAPI

app = FastAPI(title="shop-api")
orders = count(1)


@app.get("/health")
def health() -> dict[str, str]:
    """Whether requests can be answered."""
    return {"status": "ok"}


@app.post("/orders")
def order() -> dict[str, int]:
    """Take one order; its number."""
    return {"number": next(orders)}

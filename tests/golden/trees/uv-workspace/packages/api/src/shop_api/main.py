from bottle import Bottle
from shop_lib import greeting

app = Bottle()


@app.get("/health")
def health() -> dict[str, str]:
    return {"hello": greeting()}

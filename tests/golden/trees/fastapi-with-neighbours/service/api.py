from database import connect
from fastapi import FastAPI

app = FastAPI()
connect()


@app.get("/")
async def root() -> str:
    return "hello"

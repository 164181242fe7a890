from database import connect
from fastapi import FastAPI

app = FastAPI(lifespan=connect)


@app.get("/")
async def root() -> str:
    return "hello"

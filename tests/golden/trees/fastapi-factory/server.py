from fastapi import FastAPI


def create_app() -> FastAPI:
    made = FastAPI(openapi_url=None)
    return made

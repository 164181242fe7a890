"""Order something every ten seconds, over the network that both apps share."""

import os
import time

import httpx

API = os.environ.get("API_URL", "http://shop-api:8080")

while True:
    try:
        print("order", httpx.post(f"{API}/orders", timeout=5).json()["number"], flush=True)
    except httpx.HTTPError as error:
        print(f"{API} does not answer: {error}", flush=True)
    time.sleep(10)

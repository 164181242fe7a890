"""Show what finrag-backend knows: a table, and a chart of one symbol."""

import os

import httpx
import polars as pl
import streamlit as st

BACKEND = os.environ.get("BACKEND_URL", "http://finrag-backend:8080")

st.set_page_config(page_title="finrag", layout="wide")
st.title("finrag")


@st.cache_data(ttl=10)
def ask(path: str) -> object:
    """What the backend answers."""
    answer = httpx.get(f"{BACKEND}{path}", timeout=5)
    answer.raise_for_status()
    return answer.json()


try:
    summary = pl.DataFrame(ask("/summary"))
    symbol = st.selectbox("Symbol", summary["symbol"].to_list())
    prices = pl.DataFrame(ask(f"/prices/{symbol}?last=120"))
except httpx.HTTPError as error:
    st.error(f"The backend at {BACKEND} does not answer: {error}")
    st.stop()

st.dataframe(summary, hide_index=True)
st.line_chart(prices, x="day", y=["close", "mean_20"])

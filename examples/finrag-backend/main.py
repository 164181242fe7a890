"""Answer questions about prices: FastAPI, polars for the numbers, boto3 for the archive of reports."""

import os
from datetime import date, timedelta
from functools import lru_cache

import boto3
import polars as pl
from fastapi import FastAPI, HTTPException

app = FastAPI(title="finrag-backend")
SYMBOLS = {"ACME": 120.0, "GLOBEX": 64.0, "INITECH": 31.0, "UMBRELLA": 210.0}
DAYS = 250


@lru_cache(maxsize=1)
def prices() -> pl.DataFrame:
    """A year of closing prices, made up but the same on every instance."""
    first = date(2026, 1, 2)
    frames = []
    for number, (symbol, start) in enumerate(SYMBOLS.items(), 1):
        seed, close, rows = number * 7919, start, []
        for day in range(DAYS):
            seed = (seed * 1103515245 + 12345) % 2**31
            close *= 1 + (seed / 2**31 - 0.49) / 25
            rows.append({"symbol": symbol, "day": first + timedelta(days=day), "close": round(close, 2)})
        frames.append(pl.DataFrame(rows))
    return pl.concat(frames)


@lru_cache(maxsize=1)
def archive() -> object:
    """The client for the bucket of reports. Makes no request: credentials and bucket come from the environment."""
    return boto3.client(
        "s3",
        region_name=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        endpoint_url=os.environ.get("S3_ENDPOINT") or None,
        aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "none"),
        aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "none"),
    )


@app.get("/health")
def health() -> dict[str, str]:
    """Whether requests can be answered."""
    return {"status": "ok"}


@app.get("/")
def index() -> dict[str, object]:
    """Who answers, and what can be asked."""
    return {
        "app": "finrag-backend",
        "release": os.environ.get("LEEWARD_RELEASE", "none"),
        "ask": ["/symbols", "/prices/ACME?last=30", "/summary", "/report/ACME"],
    }


@app.get("/symbols")
def symbols() -> list[str]:
    """What there are prices of."""
    return sorted(SYMBOLS)


@app.get("/prices/{symbol}")
def series(symbol: str, last: int = 90) -> list[dict[str, object]]:
    """Closing prices of the last days, with the average of 20 days."""
    found = prices().filter(pl.col("symbol") == symbol.upper())
    if found.is_empty():
        raise HTTPException(404, f"there are no prices of '{symbol}'")
    with_mean = found.with_columns(pl.col("close").rolling_mean(20).round(2).alias("mean_20"))
    return with_mean.tail(max(1, min(last, DAYS))).with_columns(pl.col("day").cast(pl.String)).to_dicts()


@app.get("/summary")
def summary() -> list[dict[str, object]]:
    """Return, volatility and deepest fall of each symbol over the year."""
    daily = (
        prices()
        .sort("symbol", "day")
        .with_columns(
            pl.col("close").pct_change().over("symbol").alias("change"),
            (pl.col("close") / pl.col("close").cum_max().over("symbol") - 1).alias("fall"),
        )
    )
    return (
        daily.group_by("symbol", maintain_order=True)
        .agg(
            pl.col("close").last().alias("close"),
            ((pl.col("close").last() / pl.col("close").first() - 1) * 100).round(1).alias("return_percent"),
            (pl.col("change").std() * 252**0.5 * 100).round(1).alias("volatility_percent"),
            (pl.col("fall").min() * 100).round(1).alias("deepest_fall_percent"),
        )
        .to_dicts()
    )


@app.get("/report/{symbol}")
def report(symbol: str) -> dict[str, str]:
    """A link to a report in the bucket, signed here; nothing is asked of the bucket."""
    if symbol.upper() not in SYMBOLS:
        raise HTTPException(404, f"there is no report on '{symbol}'")
    where = {"Bucket": os.environ.get("REPORTS_BUCKET", "reports"), "Key": f"{symbol.upper()}.pdf"}
    return {"url": archive().generate_presigned_url("get_object", Params=where, ExpiresIn=300)}

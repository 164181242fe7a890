"""Measurements, each printed as one line of JSON."""

import json


def figure(name: str, value: float, unit: str, **about: object) -> None:
    """Print one figure."""
    print(json.dumps({"name": name, "value": round(value, 4), "unit": unit, **about}), flush=True)

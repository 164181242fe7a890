"""The HTTP API: decode, call one service, encode."""

from leeward.api.app import create_api

__all__ = ["create_api"]

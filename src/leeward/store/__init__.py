"""What Leeward remembers, on SQLite and files."""

from leeward.store.open import OpenStores, open_stores

__all__ = ["OpenStores", "open_stores"]

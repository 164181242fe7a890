"""The use cases: what may be asked of the platform."""

from leeward.services.all import Services
from leeward.services.seen import Seen

__all__ = ["Seen", "Services"]

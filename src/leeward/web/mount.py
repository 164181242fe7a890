"""Put the dashboard on the control plane's door."""

from fastapi import FastAPI

from leeward.services.all import Services
from leeward.web.site import create_site


def mount_web(app: FastAPI, services: Services) -> None:
    """Add the dashboard's pages; whatever the routes that are there already do not answer is theirs."""
    app.mount("/", create_site(services), name="dashboard")

import os

WSGI_APPLICATION = "shop.wsgi.application"
STATIC_ROOT = "staticfiles"
DATABASE_URL = os.environ["DATABASE_URL"]

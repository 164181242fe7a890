import os

DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["DATABASE_NAME"]}}
STATIC_ROOT = "static"
WSGI_APPLICATION = "shop.wsgi.application"

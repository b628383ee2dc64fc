"""The HTTP server: answers look-ups from the online store alone. The only package that imports a web framework."""

from featurestore.server.app import create_app

__all__ = ["create_app"]

"""The HTTP server that pages talk to. The only user of flask and openai."""

from llmtrack.collector.app import create_app

__all__ = ["create_app"]

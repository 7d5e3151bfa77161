"""Talking to models: any OpenAI-compatible server, and the built-in demo."""

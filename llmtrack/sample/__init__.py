"""Sample sessions that look like real visits: what `llmtrack demo` shows, and what the benchmarks read."""

from llmtrack.sample.visits import sessions

__all__ = ["sessions"]

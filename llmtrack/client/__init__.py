"""For applications with a chat of their own: logs what their OpenAI client asks and what models answer.

from llmtrack.client import track

with track(client, session_id=…, chat_session_id=…, endpoint="https://collector", ingest_key=…) as tracked:
    tracked.chat.completions.create(…)
"""

from llmtrack.client.tracking import Tracking, track

__all__ = ["Tracking", "track"]

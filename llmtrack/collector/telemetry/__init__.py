"""What the collector says of itself: figures, logs, requests, its own health."""

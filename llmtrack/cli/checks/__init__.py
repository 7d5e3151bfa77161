"""What `llmtrack doctor` and `serve --check` look at."""

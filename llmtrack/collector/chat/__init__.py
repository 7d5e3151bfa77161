"""The calls of a chat: a question, its answer, and what is recorded of both."""

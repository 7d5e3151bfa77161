"""Commands that answer a question over many sessions."""

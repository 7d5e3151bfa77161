"""The tables that leave llmtrack."""

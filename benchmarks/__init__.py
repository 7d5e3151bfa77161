"""How fast llmtrack is, beside floors and peers measured in the same run. Nothing here is a test."""

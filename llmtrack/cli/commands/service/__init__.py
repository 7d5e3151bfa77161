"""Commands that run the collector and look after it."""

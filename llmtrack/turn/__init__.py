"""One question and its answer: what the collector and the client of applications both read and record."""

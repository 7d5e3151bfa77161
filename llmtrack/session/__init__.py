"""What a session is: names, limits, ids, times and values of any shape, documents to clean columns."""

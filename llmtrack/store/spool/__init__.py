"""What waits on disk until the database takes it."""

"""Taking sessions and events in."""

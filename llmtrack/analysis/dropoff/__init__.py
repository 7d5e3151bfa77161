"""Where people stop."""

"""How far people get through a sequence of steps."""

"""Groups of an experiment compared, with the user as the unit."""

"""Can an experiment be trusted."""

"""What each report draws on a terminal, one file a report."""

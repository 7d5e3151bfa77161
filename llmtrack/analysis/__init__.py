"""Pure functions: pandas frames in, small named results out. No I/O."""

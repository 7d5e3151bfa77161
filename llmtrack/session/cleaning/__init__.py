"""Documents of any writer to clean columns: what is stored twice, out of order or by another clock is mended here."""

"""Where sessions live. The only user of pymongo and of Parquet files."""

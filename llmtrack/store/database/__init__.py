"""Sessions in a MongoDB-protocol database: the only place that writes there."""

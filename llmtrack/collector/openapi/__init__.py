"""The collector's own description: its OpenAPI document."""

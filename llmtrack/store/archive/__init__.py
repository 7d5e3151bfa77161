"""The archive: sessions as Parquet parts beside an append-only manifest, in a folder or in an object store.

    ARCHIVE/_manifest.jsonl                     which parts there are, which of their rows count (manifest.py)
    ARCHIVE/month=2026-08/part-….parquet        sessions: typed columns and the whole document (schema.py)
    ARCHIVE/month=2026-08/_part-….ids           session_id → row (part.py)

A part is read only when the manifest names it. Everything else follows from one order of steps: move.py.
"""

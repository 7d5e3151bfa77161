"""Tables as Parquet files, written batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

_TYPES: Final = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("ms", "UTC"),
}


class ParquetTable:
    """A Parquet file with columns of these types ("text", "integer", "number", "boolean" or "time")."""

    def __init__(self, file: IO[bytes], types: Mapping[str, str]) -> None:
        self._schema = pa.schema([(name, _TYPES[kind]) for name, kind in types.items()])
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def write(self, rows: Any) -> None:
        """Add the rows of a DataFrame with these columns, as a row group."""
        self._writer.write_table(pa.Table.from_pandas(rows, self._schema, preserve_index=False))

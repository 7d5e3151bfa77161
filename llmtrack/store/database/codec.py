"""How documents are decoded: whole, only as far as columns need them, or not at all."""

from __future__ import annotations

from datetime import UTC

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from llmtrack.session.document import Document

WHOLE: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
COLUMNS: CodecOptions[Document] = CodecOptions(  # ms are what batches want: no need to build datetimes
    datetime_conversion=DatetimeConversion.DATETIME_MS, unicode_decode_error_handler="replace"
)
RAW: CodecOptions[RawBSONDocument] = CodecOptions(RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS)

"""The collector, which what is logged goes to."""

from tests.collector.conftest import serve as serve

"""One or more runs as a self-contained HTML page that opens from disk without a network."""

from glassnet.report.render import render, write_report

__all__ = ["render", "write_report"]

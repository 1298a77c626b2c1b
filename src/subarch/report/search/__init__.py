"""How a search looks: one page while it runs and when it is done, and a few lines of Markdown."""

from subarch.report.search.page import search_page
from subarch.report.search.summary import search_summary

__all__ = ["search_page", "search_summary"]

"""The article: published numbers, runs, tables and figures."""

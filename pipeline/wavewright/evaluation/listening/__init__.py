"""Listening tests: what is asked, the page that listeners get, and what their answers say."""

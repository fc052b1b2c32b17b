"""Tests beyond one machine: Ray, and a ledger on a server.

They take longest and sort before most others, so that no worker of pytest-xdist runs them alone at the end.
"""

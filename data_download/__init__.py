"""Fetch real data sets, check them, and sort them into the one layout that the kit reads."""

"""Verdicts over runs that other programs trained: their sources, the file of claims, the judgement and its files."""

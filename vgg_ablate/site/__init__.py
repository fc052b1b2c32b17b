"""One static web site over all results folders."""

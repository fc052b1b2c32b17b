"""The claims of the VGG paper and their verdicts: computed, tested by a study, or out of reach here.

A package of its own, which only the command line imports: neither the arithmetic nor the reports depend on what one
paper claims.
"""

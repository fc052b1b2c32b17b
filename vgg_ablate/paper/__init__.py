"""What the VGG paper claims, and where each claim stands: computed exactly, tested by a study, or out of reach here."""

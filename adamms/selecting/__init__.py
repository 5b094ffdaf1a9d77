"""Step 3 as arithmetic: from all candidates' answers to the chosen one, and how far to trust it; no models here."""

"""Step 3: which coefficient, judged by how much the answers of neighbouring candidates differ."""

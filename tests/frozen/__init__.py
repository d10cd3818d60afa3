"""What users see must not change: commands of an earlier commit beside today's.

Compared are the status, the last line, and of a run its files, figures, weights and answers.
"""

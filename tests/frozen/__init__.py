"""What users see must not change: the commands of an earlier commit beside today's, bit by bit."""

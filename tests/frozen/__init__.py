"""What users see must not change: commands of an earlier commit beside today's.

Compared are the status, all that a command says, and what it leaves: a run's files, figures,
weights and answers, pages, pictures and exported programs. The earlier commit's runs are also used
and resumed by today's package. Three differences are meant, and left out: today's package records
the instruction set, and the ladder of `parity` and `doctor` say more (their last line is compared).
`demo` is only refused here; its page has tests of its own.
"""

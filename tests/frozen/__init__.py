"""What users see must not change: this compares an earlier commit's commands with today's.

It compares the exit status, everything a command prints, and everything it leaves: a run's files,
figures, weights and answers, pages, pictures and exported programs. Today's package also uses and
resumes the earlier commit's runs. Three differences are intended and left out: today's package
records the instruction set, and `parity`'s ladder and `doctor` print more (only their last line is
compared). `demo` is only refused here; its page has its own tests.
"""

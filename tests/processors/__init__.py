"""The proof on every instruction set that this machine can pretend to have: `nox -s processors`."""

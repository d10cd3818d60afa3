"""The ladder on every instruction set that this machine can offer: `nox -s processors`."""

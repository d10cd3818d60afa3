"""Change modules in small ways, and record which changes no test detects: `nox -s mutants`."""

"""The one error that is the user's to mend."""


class UserError(Exception):
    """Bad usage or bad input, told in one line that names the culprit and the remedy.

    The command line prints the line on stderr and exits with status 2.
    """

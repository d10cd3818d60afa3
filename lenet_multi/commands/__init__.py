"""One module for each verb of `lenet-multi`; `--help` imports them all, so they import little."""

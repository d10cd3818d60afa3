"""One file for each verb of `lenet-multi`; imported to show its help, so none is slow."""

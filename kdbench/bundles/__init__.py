"""Results bundles: what a store knows of one suite, without weights, to be sent, verified and merged."""

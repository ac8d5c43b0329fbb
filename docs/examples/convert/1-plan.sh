transmla convert sample ./sample-mla --keep 25% --dry-run

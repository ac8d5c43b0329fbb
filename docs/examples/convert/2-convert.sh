transmla convert sample ./sample-mla --keep 25% --samples 16

transmla convert sample ./sample-mla --keep 12.5% --samples 16

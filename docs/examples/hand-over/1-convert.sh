transmla convert sample ./mla --format deepseek --keep 25% --samples 16

transmla compare sample ./healed --max-tokens 2000

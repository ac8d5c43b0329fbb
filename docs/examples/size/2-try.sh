for keep in 50% 12.5%; do
  transmla convert sample ./keep-$keep --keep $keep --samples 8 --quiet
  transmla compare sample ./keep-$keep --max-tokens 2000 --json
done

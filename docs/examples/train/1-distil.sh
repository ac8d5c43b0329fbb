transmla distill ./sample-mla ./healed --teacher sample \
  --text sample --validation sample --rate 5e-4 --steps 12

printf 'A line of your own text.\n%.0s' $(seq 400) > book.txt
# #region convert
transmla convert sample ./own-text --kv-rank 48 --rope-dim 16 \
  --calibration book.txt --samples 8 --sequence-length 128
# #endregion convert

transmla convert sample ./long --keep 50% --samples 16 &
sleep 3 && kill -9 $! || true
wait || true
# #region resume
transmla convert sample ./long --keep 50% --samples 16 --resume
# #endregion resume

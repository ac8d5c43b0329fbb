transmla convert sample ./mla-bias-free \
  --format deepseek-bias-free --keep 50% --samples 16
transmla export ./mla-bias-free mla.gguf --dtype f16

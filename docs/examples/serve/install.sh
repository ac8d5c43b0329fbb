npm install @transmla/server @transmla/generation @transmla/kernels \
  @transmla/models @transmla/tensor-io

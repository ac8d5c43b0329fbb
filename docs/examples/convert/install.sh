npm install @transmla/conversion @transmla/generation @transmla/kernels \
  @transmla/models @transmla/sample-model @transmla/tensor-io
